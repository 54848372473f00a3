"""The command line as a whole: help, exit codes, one line per error, and no heavy imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from chainrule.cli import main
from chainrule.cli.main import COMMANDS
from chainrule.datasets import DATASETS


def run(*words: object, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=60
    )


def test_version(capsys):
    import chainrule

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"chainrule {chainrule.__version__}\n"


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"    {command} " in printed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_examples(capsys, command):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: chainrule {command}")
    assert f"examples:\n  chainrule {command}" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "commands:"),
        (["prophesy"], "invalid choice: 'prophesy'"),
        (["train", "--epochs", "0"], "--epochs: must be at least 1, got 0"),
        (["train", "--epochs", "many"], "--epochs: 'many' is not a whole number"),
        (["train", "--lr", "0"], "--lr: must be above 0"),
        (["train", "--lr", "inf"], "--lr: must be finite"),
        (["train", "--l2", "-1"], "--l2: must be at least 0, got -1"),
        (["train", "--hidden", "64,x"], "--hidden: 'x' is not a whole number"),
        (["train", "--test-fraction", "1"], "--test-fraction: must be at least 0 and below 1"),
        (["train", "--optimizer", "adm"], "invalid choice: 'adm' (choose from"),
        (["train", "data.csv"], "--target COL is needed"),
        (["train", "data.csv", "--target", "y", "--dataset", "penguins"], "exclude each other"),
        (["train", "--plot", "loss.txt"], "--plot must end in .png, .pdf, .svg"),
        (["train", "--output", "a.png", "--plot", "a.png"], "name the same file"),
        (["predict", "model"], "required: DATA"),
        (["derive"], "give SIZES, such as 3-4-1, or --preset NAME"),
        (["derive", "3"], "needs at least inputs and outputs"),
        (["derive", "3-4-1", "--loss", "log_loss", "--output", "relu"], "needs output='sigmoid'"),
        (["derive", "3-4-1", "--loss", "huber(0)"], "--loss: delta must be positive, got 0"),
        (["derive", "3-4-1", "--against", "hubert"], "--against: loss must be one of 'squared_error', "),
        (["derive", "3-4-1", "--loss", "quantile(0.1, 0.9)"], "needs 2 outputs"),
        (["check", "3-0-1"], "must be at least 1, got 0"),
        (["check", "3-1", "--seed", "99999999999999999999"], "--seed: must be at most 18446744073709551615, got"),
        (["check", "3-1", "--rows", "99999999999999999999"], "--rows: must be at most 9223372036854775807, got"),
        (["bench", "--only", "zzz"], "--only 'zzz' is in the name of no case; there are: seed 3-4-1"),
        (["export", "a.safetensors", "a.c", "--name", "a b"], "--name: name must be letters, digits and underscores"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(capsys, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from what `chainrule train` may have written
    assert main(words) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_failure_is_one_line(tmp_path):
    result = run("train", "absent.csv", "--target", "y", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "chainrule: error: absent.csv: No such file or directory\n"


def test_even_a_fault_of_the_program_is_one_line(capsys, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("chainrule.derivation.derive", fail)
    assert main(["derive", "3-4-1"]) == 1
    assert capsys.readouterr().err == "chainrule: error: unexpected KeyError: 'surprise'; please report this\n"


def test_interrupt_exits_with_130(capsys, monkeypatch):
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chainrule.derivation.derive", interrupt)
    assert main(["derive", "3-4-1"]) == 130
    assert capsys.readouterr().err == "chainrule: error: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs groups of processes")
def test_interrupted_bench_is_one_line():
    command = [sys.executable, "-m", "chainrule", "bench", "--seconds", "60"]
    # Ctrl-C reaches the whole group: the command, and the process of its own that measures.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline().startswith("chainrule ")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "chainrule: error: interrupted\n")


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="this system has no SIGPIPE to die of")
def test_a_reader_that_leaves_early_is_no_traceback(tmp_path):
    penguins = DATASETS["penguins"].path
    assert main(["train", "--quiet", "--epochs", "1", "--output", str(tmp_path / "m.safetensors")]) == 0
    command = f"{sys.executable} -m chainrule predict {tmp_path}/m.safetensors {penguins} | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--version"], ["rich", "matplotlib", "csv"]),
        (["derive", "3-4-1"], ["rich", "matplotlib", "csv", "chainrule.reference"]),
        (["check", "3-4-1"], ["rich", "matplotlib", "csv"]),
    ],
)
def test_commands_import_what_they_need_only(words, heavy):
    code = f"""
import sys
from chainrule.cli import main
assert main({words!r}) == 0
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stderr == "[]\n"


@pytest.mark.parametrize("absent", ["rich", "matplotlib"])
def test_missing_extra_is_named(capsys, monkeypatch, tmp_path, absent):
    monkeypatch.chdir(tmp_path)
    find_spec = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == absent else find_spec(name))
    assert main(["train"]) == 1
    assert capsys.readouterr().err == f"chainrule: error: 'train' needs {absent}: pip install 'chainrule[cli]'\n"
    assert list(tmp_path.iterdir()) == []
