"""``chainrule inspect``: what a model file holds, for the eyes and as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from chainrule import SGD, Net
from chainrule.cli import main
from chainrule.datasets import DATASETS, load_auto_mpg


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def inspect(capsys, model: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["inspect", model, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_model_of_train(capsys, tmp_path):
    words = ["train", "--quiet", "--hidden", "8,4", "--activation", "relu,tanh", "--dropout", "0.25,0.5"]
    assert main([*words, "--epochs", "3", "--seed", "7", "--optimizer", "adamw"]) == 0
    facts = inspect(capsys, "penguins.safetensors")
    batches = -(-216 // 32)
    assert facts == {
        "model": "penguins.safetensors",
        "bytes": (tmp_path / "penguins.safetensors").stat().st_size,
        "sizes": [9, 8, 4, 3],
        "activations": ["relu", "tanh", "softmax"],
        "loss": "cross_entropy",
        "reduction": "mean",
        "bias": True,
        "parameters": 9 * 8 + 8 + 8 * 4 + 4 + 4 * 3 + 3,
        "dtype": "float32",
        "dropout": [0.25, 0.5],
        "input_noise": 0.0,
        "frozen_layers": [],
        "epochs_trained": 3,
        "optimizer": "adamw",
        "steps": 3 * batches,
        "seed": 7,
        "table": {
            "task": "classification",
            "target": "species",
            "classes": ["Adelie", "Chinstrap", "Gentoo"],
            "features": ["island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"],
            "inputs": facts["table"]["inputs"],
        },
        "other_entries": [],
    }
    assert len(facts["table"]["inputs"]) == 9
    assert facts["table"]["inputs"][0] == "island=Biscoe"


def test_in_words(capsys):
    assert main(["train", "--quiet", "--dataset", "auto_mpg", "--epochs", "2", "--hidden", "5"]) == 0
    assert main(["inspect", "auto_mpg.safetensors"]) == 0
    printed = capsys.readouterr().out
    inputs = load_auto_mpg().X.shape[1]
    assert f"network: {inputs}-5-1, relu, identity\n" in printed
    assert "loss: squared_error, mean over rows\n" in printed
    assert "trained: 2 epochs, 16 steps of adam, seed 0\n" in printed
    assert f"target: '{DATASETS['auto_mpg'].target}', regression\n" in printed
    assert f"{inputs} inputs" in printed
    assert "dropout" not in printed


def test_model_of_a_net(capsys):
    net = Net([3, 4, 2], "tanh", "identity", "huber(0.5)", "sum", bias=False, dtype="float64", input_noise=0.5, seed=3)
    net.freeze(0)
    net.step(np.ones((2, 3)), np.ones((2, 2)), SGD(lr=0.1))
    net.save("net.safetensors", metadata={"author": "me"})
    facts = inspect(capsys, "net.safetensors")
    assert (facts["loss"], facts["reduction"], facts["bias"], facts["dtype"]) == ("huber(0.5)", "sum", False, "float64")
    assert (facts["optimizer"], facts["steps"], facts["epochs_trained"]) == ("sgd", 1, 0)
    assert (facts["frozen_layers"], facts["input_noise"], facts["table"]) == ([0], 0.5, None)
    assert facts["other_entries"] == ["author"]
    assert main(["inspect", "net.safetensors"]) == 0
    printed = capsys.readouterr().out
    for line in (
        "parameters: 20, float64, no biases",
        "input noise: 0.5",
        "frozen layers: 0",
        "other entries: 'author'",
    ):
        assert f"{line}\n" in printed


def test_untrained_net(capsys):
    Net([2, 1], seed=0).save("net.safetensors")
    facts = inspect(capsys, "net.safetensors")
    assert (facts["optimizer"], facts["steps"]) == (None, 0)
    assert main(["inspect", "net.safetensors"]) == 0
    assert "trained: 0 epochs, no steps, seed 0\n" in capsys.readouterr().out


def test_refused(capsys, tmp_path):
    Net([2, 1]).save("whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "torn.safetensors").write_bytes(whole[:-1])
    (tmp_path / "text.safetensors").write_text("no model")
    Net([2, 1]).save("strange.safetensors", metadata={"table": "{"})
    for model, message in {
        "absent": "absent.safetensors: No such file or directory",
        "torn": "torn.safetensors: not a safetensors file",
        "text": "text.safetensors: not a safetensors file",
        "strange": "strange.safetensors: ",
    }.items():
        for options in ([], ["--json"]):
            assert main(["inspect", f"{model}.safetensors", *options]) == 1
            printed = capsys.readouterr()
            assert printed.err.startswith(f"chainrule: error: {message}")
            assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no names for open files here")
def test_pipe(capsys, tmp_path):
    """A pipe can be read once, and has no size."""
    assert main(["train", "--quiet", "--epochs", "1", "--hidden", "4"]) == 0
    expected = inspect(capsys, "penguins.safetensors")
    content = (tmp_path / "penguins.safetensors").read_bytes()
    for options in (["--json"], []):
        end, start = os.pipe()
        assert os.write(start, content) == len(content)
        os.close(start)
        try:
            assert main(["inspect", f"/dev/fd/{end}", *options]) == 0
        finally:
            os.close(end)
        printed = capsys.readouterr().out
        if options:
            assert json.loads(printed) == expected | {"model": f"/dev/fd/{end}", "bytes": None}
        else:
            assert printed.startswith(f"model: /dev/fd/{end}\nnetwork: ")
