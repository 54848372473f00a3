"""``chainrule train``: files written, scores, refusals, Ctrl-C, the terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import main
from chainrule.cli.results import best_epoch
from chainrule.datasets import DATASETS
from chainrule.files import read_metadata
from chainrule.history import History
from chainrule.tables import TableEncoder, read_table

PNG = b"\x89PNG\r\n"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def flats(tmp_path):
    """A table with numbers, text and an integer class."""
    generator = np.random.default_rng(0)
    lines = ["area,city,rooms,rent"]
    for _ in range(200):
        area, city = generator.uniform(20, 120), generator.choice(["Ulm", "Köln"])
        lines.append(f"{area:.1f},{city},{1 + area // 40:.0f},{8 * area + (100 if city == 'Köln' else 0):.2f}")
    path = tmp_path / "flats.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def printed_score(printed: str, name: str) -> float:
    found = re.search(rf"^test: .*?{re.escape(name)} (-?[\d.]+)", printed, re.MULTILINE)
    assert found, printed
    return float(found[1])


@pytest.mark.parametrize(
    ("dataset", "name", "least", "task"),
    [("penguins", "accuracy", 0.95, "classification"), ("auto_mpg", "R^2", 0.82, "regression")],
)
def test_bundled_data(capsys, tmp_path, dataset, name, least, task):
    assert main(["train", "--dataset", dataset]) == 0
    printed = capsys.readouterr().out
    assert printed_score(printed, name) > least
    assert task in printed
    assert "\x1b" not in printed
    assert len(printed.splitlines()) <= 12
    assert f"next: chainrule predict {dataset}.safetensors {DATASETS[dataset].path}" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{dataset}-loss.png", f"{dataset}.safetensors"]
    assert (tmp_path / f"{dataset}-loss.png").read_bytes().startswith(PNG)


def test_penguins_are_the_default(capsys):
    assert main(["train", "--epochs", "1"]) == 0
    assert capsys.readouterr().out.startswith("data: penguins.csv, 333 rows (11 of 344 rows")


def test_the_model_holds_network_and_encoding(flats, tmp_path):
    words = ["train", str(flats), "--target", "rent", "--hidden", "7,5", "--activation", "tanh", "--dtype", "float64"]
    assert main([*words, "--epochs", "2", "--output", "rents.safetensors", "--plot", "curve.svg", "--quiet"]) == 0
    net = Net.load(tmp_path / "rents.safetensors")
    assert net.config.sizes == (4, 7, 5, 1)
    assert net.config.activations == ("tanh", "tanh", "identity")
    assert net.config.dtype == "float64"
    encoder = TableEncoder.from_dict(json.loads(read_metadata(tmp_path / "rents.safetensors")["table"]))
    assert encoder.feature_names == ("area", "city=Köln", "city=Ulm", "rooms")
    assert encoder.encode_features(read_table(flats)).shape == (200, 4)
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_users_table_is_learned(flats, capsys):
    assert main(["train", str(flats), "--target", "rent"]) == 0
    assert printed_score(capsys.readouterr().out, "R^2") > 0.99
    assert main(["train", str(flats), "--target", "city", "--ignore", "rooms", "--output", "city.safetensors"]) == 0
    assert "classification, 2 classes: Köln" in capsys.readouterr().out


def test_task_can_be_given(flats, capsys):
    assert main(["train", str(flats), "--target", "rooms", "--epochs", "1"]) == 0
    assert "rooms, classification, 3 classes: 1 " in capsys.readouterr().out
    assert main(["train", str(flats), "--target", "rooms", "--epochs", "1", "--task", "regression", "--force"]) == 0
    assert "rooms, regression, from 1 to 3" in capsys.readouterr().out


def test_same_seed_same_model(tmp_path):
    models = []
    for name, seed in (("a", "4"), ("b", "4"), ("c", "5")):
        output = tmp_path / f"{name}.safetensors"
        assert main(["train", "--epochs", "3", "--seed", seed, "--output", str(output), "--quiet"]) == 0
        models.append(Net.load(output).parameters.copy())
    assert np.array_equal(models[0], models[1])
    assert not np.array_equal(models[0], models[2])


def test_training_on_all_rows(capsys):
    assert (
        main(["train", "--epochs", "2", "--test-fraction", "0", "--validation-fraction", "0", "--hidden", "none"]) == 0
    )
    printed = capsys.readouterr().out
    assert "rows: 333 training, 0 validation, 0 test" in printed
    assert "test: no test rows" in printed
    assert "network: 9-3 softmax" in printed


def test_quiet(capfd):
    assert main(["train", "--epochs", "1", "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("existing", ["penguins.safetensors", "penguins-loss.png"])
def test_existing_output_is_kept_without_force(tmp_path, capsys, existing):
    (tmp_path / existing).write_text("precious")
    assert main(["train"]) == 1
    assert capsys.readouterr() == ("", f"chainrule: error: {existing} exists; give --force to replace it\n")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "precious")]
    assert main(["train", "--epochs", "1", "--force"]) == 0
    assert Net.load("penguins.safetensors").config.outputs == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "absent/m.safetensors"], "there is no folder absent"),
        (["--output", "."], ".: Is a directory"),
        (["--output", "flats.csv", "--force"], "flats.csv is read by this command and would be overwritten"),
        (["--target", "price"], "has no column 'price'; it has 'area', 'city', 'rooms', 'rent'"),
        (["--target", "city", "--task", "regression"], "is not a number, as regression needs"),
        (["--target", "rent", "--ignore", "colour"], "has no column 'colour'"),
        (["--test-fraction", "0.9"], "leave no rows to train on"),
        (["--optimizer", "sgd", "--lr", "1e30"], "diverged.*smaller --lr"),
        (["--hidden", "9999999999"], "need|many"),
    ],
)
def test_refused(flats, capsys, options, message):
    target = [] if "--target" in options else ["--target", "rent"]
    assert main(["train", str(flats), *target, *options]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.startswith("chainrule: error: ")
    assert error.count("\n") == 1
    assert os.listdir() == ["flats.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "bad.csv is empty"),
        ("a,y\n", "bad.csv has a header but no rows"),
        ("a,y\n1,2\n3\n", "bad.csv, line 3: 1 field, but the header names 2 columns"),
        ("a,y\n1,2\n,3\n", "bad.csv, line 3, column 'a': the value is missing"),
        ("a,y\n1,2\n3,NA\n", "bad.csv, line 3, column 'y': 'NA' stands for a missing value"),
        ("a,y\n1,2\ninf,3\n", "bad.csv, line 3, column 'a': 'inf' is infinite"),
        ("a,y\n1,2\n3,2\n", "the target column 'y' has one value only, '2'"),
        ("y\n1\n2\n", "bad.csv has no column to predict 'y' from"),
    ],
)
def test_bad_table(tmp_path, capsys, content, message):
    (tmp_path / "bad.csv").write_text(content)
    assert main(["train", "bad.csv", "--target", "y", "--test-fraction", "0", "--validation-fraction", "0"]) == 1
    assert message in capsys.readouterr().err
    assert os.listdir() == ["bad.csv"]


def train_in_background(*words: str, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "chainrule", "train", "--epochs", "1000000", "--patience", "1000000", *words]
    return subprocess.Popen(command, **options)


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_ctrl_c_saves_the_best_network_so_far(tmp_path):
    with (tmp_path / "out.txt").open("wb") as out, (tmp_path / "err.txt").open("wb") as err:
        process = train_in_background(stdout=out, stderr=err, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        wait_for(lambda: "rows:" in (tmp_path / "out.txt").read_text())
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert re.fullmatch(
        r"chainrule: interrupted after epoch \d+; the best network so far is in penguins.safetensors\n",
        (tmp_path / "err.txt").read_text(),
    )
    assert printed_score((tmp_path / "out.txt").read_text(), "accuracy") > 0.9
    assert np.isfinite(Net.load("penguins.safetensors").parameters).all()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_terminal_shows_a_bar_with_both_losses():
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "train", "--epochs", "200"],
        stdout=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(terminal)
    shown = b""
    while chunk := read_some(controller):
        shown += chunk
    assert process.wait(30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"epoch.*loss [\d.]+.*validation [\d.]+", text)
    assert "accuracy" in text


def read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux ends a pseudo-terminal so
        return b""


@pytest.mark.parametrize(
    ("losses", "best"), [([3.0, 1.0, 2.0], 1), ([3.0, 2.0, np.nan], 1), ([np.inf, np.nan, np.inf], 2), ([], None)]
)
def test_the_best_epoch_is_one_whose_loss_is_a_number(losses, best):
    history = History(
        loss=np.zeros(len(losses)), validation_loss=np.array(losses), epochs=len(losses), stopped="epochs"
    )
    assert best_epoch(history) == best
