"""The options of ``chainrule train``: what `Net` and `fit` are given, limits of time, JSON, and refusals."""

from __future__ import annotations

import json
import math
import os
import shutil

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import main
from chainrule.cli.outputs import to_json
from chainrule.datasets import DATASETS


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fit_arguments(monkeypatch):
    """What `Net.fit` was given last."""
    given: dict[str, object] = {}
    fit = Net.fit

    def watched(self, X, Y, **arguments):
        given.clear()
        given.update(arguments)
        return fit(self, X, Y, **arguments)

    monkeypatch.setattr(Net, "fit", watched)
    return given


def train(*words: str) -> Net:
    assert main(["train", "--quiet", "--force", "--epochs", "2", *words]) == 0
    return Net.load("auto_mpg.safetensors" if "auto_mpg" in words else "penguins.safetensors")


def train_as_json(capsys, *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["train", "--json", "--force", *words]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--batch-size", "7"], "batch_size", 7),
        (["--batch-size", "all"], "batch_size", None),
        ([], "batch_size", 32),
        (["--optimizer", "rprop"], "batch_size", None),
        (["--schedule", "cosine"], "schedule", "cosine"),
        (["--patience", "none"], "patience", None),
        (["--patience", "3"], "patience", 3),
        (["--l2", "0.25"], "l2", 0.25),
        (["--time-limit", "9.5"], "time_limit", 9.5),
        (["--class-weight", "balanced"], "class_weight", "balanced"),
        (["--class-weight", "Gentoo=2,Adelie=0.5"], "class_weight", {2: 2.0, 0: 0.5}),
        (["--validation", "0"], "validation", None),
    ],
)
def test_options_of_fit(fit_arguments, words, name, value):
    train(*words)
    assert fit_arguments[name] == value


@pytest.mark.parametrize("option", ["--learning-rate", "--lr"])
def test_learning_rate(fit_arguments, option):
    train("--optimizer", "sgd", option, "0.125")
    assert (fit_arguments["optimizer"].name, fit_arguments["optimizer"].lr) == ("sgd", 0.125)


def test_options_of_the_net():
    net = train("--hidden", "6,5", "--activation", "gelu", "--dropout", "0.25", "--loss", "cross_entropy(0.1)")
    assert (net.config.activations, net.config.dropout) == (("gelu", "gelu", "softmax"), (0.25, 0.25))
    assert str(net.config.loss) == "cross_entropy(0.1)"
    net = train("--hidden", "6,5", "--activation", "tanh,relu", "--dropout", "0,0.5")
    assert (net.config.activations[:2], net.config.dropout) == (("tanh", "relu"), (0, 0.5))


@pytest.mark.parametrize("loss", ["absolute_error", "huber(0.5)", "quantile(0.5)", "log_cosh", "poisson"])
def test_losses_of_regression_learn(capsys, loss):
    result = train_as_json(capsys, "--dataset", "auto_mpg", "--loss", loss)
    assert result["loss"] == loss.replace("quantile(0.5)", "quantile")
    assert result["test"]["R^2"] > 0.75


def test_quantiles_lie_above_their_share_of_the_rows(capsys):
    path = str(DATASETS["auto_mpg"].path)
    predicted = []
    for quantile in ("0.1", "0.9"):
        train("--dataset", "auto_mpg", "--loss", f"quantile({quantile})", "--epochs", "300")
        assert main(["predict", "auto_mpg.safetensors", path, "--json"]) == 0
        predicted.append(json.loads(capsys.readouterr().out)["predictions"]["predicted_mpg"])
    assert np.mean(np.array(predicted[0]) < np.array(predicted[1])) > 0.9


def test_time_limit(capsys):
    result = train_as_json(capsys, "--epochs", "100000000", "--patience", "none", "--time-limit", "0.3")
    assert result["stopped"] == "time"
    assert 0.3 <= result["seconds"] < 5
    assert main(["train", "--force", "--epochs", "100000000", "--patience", "none", "--time-limit", "0.3"]) == 0
    assert "(the time limit of 0.3 s)" in capsys.readouterr().out


def test_time_limit_within_the_first_epoch(capsys, tmp_path):
    result = train_as_json(capsys, "--time-limit", "1e-9")
    assert (result["epochs"], result["best_epoch"], result["plot"]) == (0, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["penguins.safetensors"]
    assert main(["train", "--force", "--time-limit", "1e-9"]) == 0
    assert "training: 0 epochs" in capsys.readouterr().out


def test_interrupt_within_an_epoch_saves_what_was_learned(monkeypatch, capsys):
    fit = Net.fit

    def interrupted(self, *args, **arguments):
        fit(self, *args, **arguments)
        self.history.stopped = "interrupted"
        raise KeyboardInterrupt

    monkeypatch.setattr(Net, "fit", interrupted)
    assert main(["train", "--epochs", "4", "--json"]) == 130
    printed = capsys.readouterr()
    assert json.loads(printed.out)["stopped"] == "interrupted"
    assert printed.err == (
        "chainrule: interrupted after epoch 4; the network as it then was is in penguins.safetensors\n"
    )
    assert Net.load("penguins.safetensors").epochs_trained == 4


def test_interrupt_before_anything_was_learned(monkeypatch, capsys, tmp_path):
    def interrupted(self, *args, **arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Net, "fit", interrupted)
    assert main(["train", "--quiet"]) == 130
    assert capsys.readouterr().err == "chainrule: error: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_json_is_what_is_printed_without_it(capsys):
    result = train_as_json(capsys, "--epochs", "20", "--seed", "3")
    assert main(["train", "--force", "--epochs", "20", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert f"test: accuracy {result['test']['accuracy']:.4f}\n" in printed
    assert f"baseline: accuracy {result['baseline']['accuracy']:.4f} " in printed
    losses = f"loss {result['training_loss']:.4g}, validation {result['validation_loss']:.4g}"
    assert f"best epoch: {result['best_epoch']}, {losses}\n" in printed
    rows = result["rows"]
    assert f"rows: {rows['train']} training, {rows['validation']} validation, {rows['test']} test\n" in printed
    assert (result["model"], result["plot"]) == ("penguins.safetensors", "penguins-loss.png")
    assert (result["task"], result["seed"], result["epochs"], len(result["features"])) == ("classification", 3, 20, 6)


def test_json_has_no_words_for_numbers_that_are_not_finite():
    assert json.loads(to_json({"a": math.nan, "b": [1.5, -math.inf], "c": {"d": math.inf}})) == {
        "a": None,
        "b": [1.5, None],
        "c": {"d": None},
    }


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads(threads):
    assert np.array_equal(train("--threads", threads).parameters, train().parameters)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--loss", "huber"], "--loss huber does not suit classification, the task here; allowed: cross_entropy"),
        (["--dataset", "auto_mpg", "--loss", "cross_entropy"], "does not suit regression"),
        (["--dataset", "auto_mpg", "--loss", "quantile(0.1, 0.9)"], "give one quantile, such as 'quantile(0.9)'"),
        (["--dataset", "auto_mpg", "--class-weight", "balanced"], "--class-weight is for classification"),
        (["--class-weight", "Gento=2"], "no class is called 'Gento'; there are 'Adelie', 'Chinstrap', 'Gentoo'"),
        (["--class-weight", "even"], "--class-weight: must be balanced, or weights such as yes=10,no=1"),
        (["--class-weight", "Gentoo=x"], "--class-weight: 'x' is not a number"),
        (["--activation", "relu,reul"], "--activation: 'reul' is no activation; choose from identity, "),
        (["--activation", "relu,relu,relu"], "--activation has 3 values for 2 hidden layers"),
        (["--dropout", "0.1,0.1,0.1"], "--dropout has 3 values for 2 hidden layers"),
        (["--dropout", "1"], "--dropout: must be at least 0 and below 1"),
        (["--time-limit", "0"], "--time-limit: must be above 0"),
        (["--batch-size", "some"], "--batch-size: 'some' is not a whole number"),
        (["--patience", "0"], "--patience: must be at least 1"),
        (["--schedule", "cosin"], "invalid choice: 'cosin'"),
    ],
)
def test_wrong_usage(capsys, tmp_path, words, message):
    assert main(["train", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizer", "rprop", "--batch-size", "32"], "batch_size must be None, or at least the 216 rows"),
        (["--optimizer", "rprop", "--schedule", "cosine"], "rprop"),
        (["--target", "specis"], "did you mean 'species'?"),
        (["--dataset", "auto_mpg", "--target", "horsepower", "--ignore", "milage"], "has no column 'milage'"),
    ],
)
def test_refused(capsys, tmp_path, words, message):
    assert main(["train", "--quiet", *words]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


def test_counts_are_not_negative(capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,y\n" + "".join(f"{i},{i}\n" for i in range(30)) + "1,-2\n")
    assert main(["train", "data.csv", "--target", "y", "--task", "regression", "--loss", "poisson"]) == 1
    assert "data.csv, line 32, column 'y': -2 is below 0, and --loss poisson is for counts" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="links and names of any bytes are those of POSIX")
class TestNames:
    def train(self, *words):
        return main(["train", "--quiet", "--force", "--epochs", "2", *words])

    @pytest.mark.parametrize(
        "words",
        [
            ["--output", "folder/../one.png", "--plot", "one.png"],
            ["--output", "model", "--plot", "link.png"],
            ["--output", "model", "--report", "link.html"],
            ["--output", "model", "--checkpoint", "folder/../model"],
        ],
        ids=["dots", "picture", "page", "checkpoint"],
    )
    def test_outputs_that_are_one_file_are_refused(self, words, capsys):
        os.mkdir("folder")
        for link in ("link.png", "link.html"):
            os.symlink("model", link)
        assert self.train(*words) == 2
        assert "file" in capsys.readouterr().err
        assert sorted(os.listdir()) == ["folder", "link.html", "link.png"]

    def test_bytes_that_are_no_text(self):
        name = os.fsdecode(b"data\xff.csv")
        shutil.copy(DATASETS["penguins"].path, name)
        assert self.train(name, "--target", "species", "--report", "page.html") == 0
        assert sorted(map(os.fsencode, os.listdir())) == [
            b"data\xff-loss.png",
            b"data\xff.csv",
            b"data\xff.safetensors",
            b"page.html",
        ]

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
    def test_a_device_without_an_end_is_refused(self, capsys):
        assert self.train("/dev/zero", "--target", "a") == 1
        assert capsys.readouterr().err == "chainrule: error: /dev/zero: Not a regular file\n"
