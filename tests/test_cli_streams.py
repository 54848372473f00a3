"""Standard input and output in place of files, other formats than CSV, and disks and pipes that take no more."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import main
from chainrule.datasets import DATASETS
from chainrule.tables import read_table

PENGUINS = DATASETS["penguins"].path
QUICK = ["train", "--quiet", "--epochs", "2"]

needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(in_empty_folder):
    assert main([*QUICK, "--output", "m.safetensors"]) == 0
    return "m.safetensors"


@pytest.fixture
def give(monkeypatch):
    """Put bytes on standard input."""

    def give_bytes(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give_bytes


def shell(command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}  # or output meets its end too soon
    command = command.replace("chainrule", f"{sys.executable} -m chainrule", 1)
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, env=environment)


def test_train_from_standard_input(give, capsys, tmp_path):
    give(PENGUINS.read_bytes())
    assert main(["train", "-", "--target", "species", "--epochs", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("data: standard input, 333 rows\n")
    assert "next: chainrule predict stdin.safetensors DATA\n" in printed
    assert sorted(os.listdir()) == ["stdin-loss.png", "stdin.safetensors"]
    assert main([*QUICK, "--output", "file.safetensors"]) == 0
    assert np.array_equal(Net.load("stdin.safetensors").parameters, Net.load("file.safetensors").parameters)


@pytest.mark.parametrize("options", [[], ["--output", "-"]])
def test_predict_from_standard_input_to_standard_output(model, give, capsys, options):
    assert main(["predict", model, str(PENGUINS)]) == 0
    expected = capsys.readouterr()
    give(PENGUINS.read_bytes())
    assert main(["predict", model, "-", *options]) == 0
    assert capsys.readouterr() == expected
    assert "-" not in os.listdir()


@needs_shell
def test_pipes(model):
    result = shell(f"chainrule predict {model} - < {PENGUINS} | tail -n +2 | sort | uniq -c")
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["Adelie", "Chinstrap", "Gentoo"]


def test_faults_of_standard_input_are_named_so(model, give, capsys):
    give(b"island,sex\nBiscoe,male\n")
    assert main(["predict", model, "-"]) == 1
    assert "error: standard input has no columns 'bill_length_mm'" in capsys.readouterr().err
    give(b"a,y\n1,2\n?,3\n")
    assert main(["train", "-", "--target", "y", "--test", "0", "--validation", "0"]) == 1
    assert "error: standard input, line 3, column 'a': '?' stands for a missing value" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output", "--plot"])
def test_models_and_pictures_do_not_go_to_standard_output(capsys, option):
    assert main(["train", option, "-"]) == 2
    assert "go to files, not to standard output" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_other_formats_give_the_same_model_and_predictions(kind, model, give, capsys, tmp_path):
    table = read_table(PENGUINS)
    columns = {name: table.numbers(name) if table.is_numeric(name) else table.text(name) for name in table.names}
    path = tmp_path / f"penguins.{kind}"
    if kind == "npz":
        np.savez(path, **columns)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns), path)
    assert main([*QUICK, str(path), "--target", "species"]) == 0
    assert np.array_equal(Net.load("penguins.safetensors").parameters, Net.load(model).parameters)
    assert main(["predict", model, str(PENGUINS)]) == 0
    expected = capsys.readouterr()
    assert main(["predict", model, str(path)]) == 0
    assert capsys.readouterr() == expected
    give(path.read_bytes())
    assert main(["predict", model, "-"]) == 0
    assert capsys.readouterr() == expected


def test_arrays_of_numbers(capsys):
    X = np.random.default_rng(0).normal(size=(200, 3))
    np.save("xy.npy", np.c_[X, X @ [1, -2, 3]].astype(np.float32))
    np.save("x.npy", X[:5])
    assert main(["train", "xy.npy", "--target", "3", "--quiet"]) == 0
    assert main(["predict", "xy.safetensors", "x.npy", "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)["predictions"]["predicted_3"]
    np.testing.assert_allclose(predicted, X[:5] @ [1, -2, 3], atol=0.5)


@pytest.mark.parametrize("name", ["p.parquet", "p.npy", "p.NPZ"])
def test_predictions_do_not_pretend_to_be_another_format(model, capsys, name):
    assert main(["predict", model, str(PENGUINS), "--output", name]) == 2
    assert "predictions are written as CSV" in capsys.readouterr().err


def refuse_to_write(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("words", "full"),
    [
        ([*QUICK, "--force", "--output", "m.safetensors"], "m.safetensors"),
        ([*QUICK, "--output", "n.safetensors"], "n.safetensors"),
        (["predict", "m.safetensors", str(PENGUINS), "--output", "p.csv"], "p.csv"),
    ],
)
def test_full_disk(model, capsys, monkeypatch, tmp_path, words, full):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", refuse_to_write)
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == f"chainrule: error: {full}: No space left on device"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@needs_shell
@pytest.mark.parametrize("command", ["derive 3-4-1", "--help", "predict {model} {table}", "inspect {model} --json"])
def test_full_device(model, command):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    result = shell(f"chainrule {command.format(model=model, table=PENGUINS)} > /dev/full")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "chainrule: error: No space left on device"
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr


@needs_shell
def test_closed_streams(model):
    for redirected, fault in {
        f"predict {model} {PENGUINS} >&-": "standard output is closed; give --output FILE",
        f"predict {model} - <&-": "standard input is closed",
    }.items():
        result = shell(f"chainrule {redirected}")
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1] == f"chainrule: error: {fault}"


@needs_shell
def test_a_reader_that_has_left(model):
    # The reader closes the pipe before anything is written.
    command = f"chainrule predict {model} {PENGUINS}".replace("chainrule", f"{sys.executable} -m chainrule", 1)
    process = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    with process.stderr as errors:
        lines = errors.read().splitlines()
    assert process.wait(60) == 1
    assert [line.split(":")[0] for line in lines] == ["score", "chainrule"]
    assert lines[-1] == "chainrule: error: standard output was closed before all was written"


@needs_shell
@pytest.mark.parametrize("errors", ["", ":surrogateescape", ":backslashreplace"])
def test_names_beyond_the_encoding_of_the_terminal(model, errors):
    os.rename(model, "größe.safetensors")
    result = shell(f"PYTHONUTF8=0 PYTHONIOENCODING=ascii{errors} chainrule inspect größe.safetensors")
    assert result.returncode == 0
    assert result.stdout.startswith("model: gr\\xf6\\xdfe.safetensors, ")


@needs_shell
def test_a_report_that_nobody_takes_says_where_the_model_is():
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    result = shell("chainrule train --epochs 2 --json > /dev/full")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "chainrule: error: No space left on device; the model is in penguins.safetensors"
    )
    assert Net.load("penguins.safetensors").epochs_trained == 2


@needs_shell
@pytest.mark.parametrize("encoding", ["utf-8:surrogateescape", "utf-8", "ascii"])
def test_names_that_are_no_text_are_written_as_they_are(model, encoding):
    name = b"m\xff.safetensors"
    os.rename(model, name)
    command = [sys.executable, "-m", "chainrule", "inspect", name]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    assert subprocess.run(command, capture_output=True, env=environment, timeout=60).stdout.startswith(
        b"model: " + name
    )
