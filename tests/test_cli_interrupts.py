"""``chainrule train`` keeps what was learned: signals at any moment, divergence, and files that cannot be written."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import interrupt, main
from helpers import run_python

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")

MODEL = "penguins.safetensors"
SHORT = ["train", "--quiet", "--epochs", "4"]
ENDLESS = ["train", "--epochs", "100000000", "--patience", "none", "--threads", "1"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(times=1, number=signal.SIGINT):
    for _ in range(times):
        os.kill(os.getpid(), number)


def after_fit(monkeypatch, deed):
    """Let `deed(net)` happen just when the fit is done."""
    fit = Net.fit

    def fit_and_more(self, *args, **arguments):
        history = fit(self, *args, **arguments)
        deed(self)
        return history

    monkeypatch.setattr(Net, "fit", fit_and_more)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_signals_when_the_fit_ends_leave_the_model(times, monkeypatch, capsys):
    after_fit(monkeypatch, lambda net: press(times))
    assert main(SHORT) == 130
    assert re.fullmatch(rf"chainrule: interrupted after epoch 4; .* is in {MODEL}\n", capsys.readouterr().err)
    assert Net.load(MODEL).epochs_trained == 4


@pytest.mark.parametrize("times", [1, 3])
def test_signals_while_the_model_is_written_wait(times, monkeypatch):
    save = Net.save

    def press_and_save(self, *args, **arguments):
        press(times)
        save(self, *args, **arguments)

    monkeypatch.setattr(Net, "save", press_and_save)
    assert main(SHORT) == 130
    assert Net.load(MODEL).epochs_trained == 4


def test_a_fit_that_lost_its_record_is_saved(monkeypatch, capsys):
    def lose(net):
        net.history = None
        raise KeyboardInterrupt

    after_fit(monkeypatch, lose)
    assert main(SHORT) == 130
    assert "interrupted after epoch 4; the network as it then was" in capsys.readouterr().err
    assert Net.load(MODEL).epochs_trained == 4


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_interrupted_pictures_say_where_the_model_is(name, code, monkeypatch, capsys):
    number = getattr(signal, name)
    monkeypatch.setattr("chainrule.cli.train.plot_history", lambda *arguments: press(2, number))
    assert main(SHORT) == code
    assert capsys.readouterr().err == f"chainrule: error: interrupted; the model is in {MODEL}\n"
    assert Net.load(MODEL).epochs_trained == 4


def test_signals_while_matplotlib_is_loaded_wait(monkeypatch, capsys):
    loaded = []
    monkeypatch.setattr("chainrule.cli.train.warm_up", lambda path: (press(2), loaded.append(path)))
    assert main(SHORT) == 130
    assert capsys.readouterr().err == "chainrule: error: interrupted\n"
    assert len(loaded) == 1
    assert os.listdir() == []


def test_matplotlib_is_loaded_before_the_fit():
    script = """
import sys
from chainrule import Net
from chainrule.cli import main
def fit(*args, **arguments):
    print("matplotlib.backends.backend_agg" in sys.modules)
    sys.exit()
Net.fit = fit
main(["train", "--quiet"])
"""
    assert run_python(script).stdout == "True\n"


def start_training():
    """Start a run without an end, and return when it trains."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "chainrule", *ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not process.stdout.readline().startswith("rows:"):
        assert process.poll() is None
    time.sleep(1)
    return process


@pytest.mark.parametrize("pause", [0.002, 0.003, 0.004])
def test_two_ctrl_c_close_together_save_the_model(pause):
    process = start_training()
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    assert f"in {MODEL}" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert Net.load(MODEL).epochs_trained > 0


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_other_signals_save_the_model_too(name, code):
    process = start_training()
    process.send_signal(getattr(signal, name))
    errors = process.communicate(timeout=60)[1]
    assert re.fullmatch(rf"chainrule: interrupted after epoch \d+; the best network so far is in {MODEL}\n", errors)
    assert process.returncode == code
    assert np.isfinite(Net.load(MODEL).parameters).all()


def test_a_terminal_that_hangs_up_fails_the_progress_bar_and_not_the_run(monkeypatch):
    def hang_up(net):
        press(number=signal.SIGHUP)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    after_fit(monkeypatch, hang_up)
    assert main(SHORT) == 129
    assert Net.load(MODEL).epochs_trained == 4


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ignored_signals_stay_ignored(name, monkeypatch):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        after_fit(monkeypatch, lambda net: press(3, number))
        assert main(SHORT) == 0
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back(monkeypatch):
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    assert main(SHORT) == 0
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


def test_handlers_of_others_are_left_alone(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        patch.setattr(signal, "signal", None)  # which cannot be called
        with interrupt.catch_interrupts() as interrupts:
            assert interrupts.first is None


def test_training_in_another_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(SHORT)))
    thread.start()
    thread.join()
    assert codes == [0]


def diverging(tmp_path):
    """A command whose training diverges, but not in its first epochs."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(100, 2))
    rows = [f"{a},{b},{a * b}" for a, b in X]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,y", *rows]))
    words = ["--hidden", "none", "--optimizer", "sgd", "--lr", "3", "--patience", "none", "--batch-size", "all"]
    return ["train", "data.csv", "--target", "y", *words, "--quiet", "--output", "m.safetensors"]


def test_what_was_learned_before_divergence_is_saved(tmp_path, capsys):
    assert main(diverging(tmp_path)) == 1
    errors = capsys.readouterr().err
    assert errors.endswith("; the network as it was before that is in m.safetensors\n")
    assert "diverged" in errors
    assert "smaller --lr" in errors
    assert errors.count("\n") == 1
    net = Net.load("m.safetensors")
    assert net.epochs_trained > 0
    assert np.isfinite(net.parameters).all()


@pytest.fixture
def spare_folder(tmp_path, monkeypatch):
    folder = tmp_path / "spare"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_model_that_cannot_be_written_goes_to_the_temporary_folder(tmp_path, monkeypatch, capsys, spare_folder):
    (tmp_path / "out").mkdir()
    after_fit(monkeypatch, lambda net: (tmp_path / "out").rmdir())
    assert main([*SHORT, "--output", "out/m.safetensors"]) == 1
    [saved] = spare_folder.iterdir()
    problem = "out/m.safetensors: No such file or directory"
    assert capsys.readouterr().err == f"chainrule: error: {problem}; the model is in {saved}\n"
    assert re.fullmatch(r"m-\w+\.safetensors", saved.name)
    assert Net.load(saved).epochs_trained == 4


def test_the_first_error_is_told_where_the_temporary_folder_fails_too(tmp_path, monkeypatch, capsys, spare_folder):
    (tmp_path / "out").mkdir()
    after_fit(monkeypatch, lambda net: ((tmp_path / "out").rmdir(), spare_folder.rmdir()))
    assert main([*SHORT, "--output", "out/m.safetensors"]) == 1
    assert capsys.readouterr().err == "chainrule: error: out/m.safetensors: No such file or directory\n"


def test_nothing_is_left_of_a_copy_that_failed_too(monkeypatch, capsys, spare_folder):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    after_fit(monkeypatch, lambda net: resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1])))
    try:
        assert main(SHORT) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capsys.readouterr().err == f"chainrule: error: {MODEL}: File too large\n"
    assert list(spare_folder.iterdir()) == []


def test_pictures_that_fail_say_where_the_model_is(monkeypatch, capsys):
    def fail(*arguments):
        raise ValueError("no colours")

    monkeypatch.setattr("chainrule.cli.train.plot_history", fail)
    assert main(SHORT) == 1
    assert capsys.readouterr().err == f"chainrule: error: no colours; the model is in {MODEL}\n"


def test_a_matplotlib_that_does_not_load_is_refused_before_training(tmp_path):
    command = [sys.executable, "-m", "chainrule", *ENDLESS]
    result = subprocess.run(
        command, env={**os.environ, "MPLBACKEND": "nonsense"}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert re.fullmatch(r"chainrule: error: .*'nonsense'.*\n", result.stderr)
    assert os.listdir() == []
