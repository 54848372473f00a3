"""``chainrule derive`` and ``chainrule check``, which take a network from the command line."""

from __future__ import annotations

import json

import pytest

from chainrule.cli import main
from chainrule.config import ACTIVATIONS, HIDDEN_ACTIVATIONS, NetConfig
from chainrule.derivation import compare, derive
from chainrule.losses import LOSSES
from chainrule.presets import PRESETS


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ([], {}),
        (["--hidden", "tanh", "--output", "identity"], {"hidden": "tanh", "output": "identity"}),
        (["--loss", "log_loss"], {"loss": "log_loss", "output": "sigmoid"}),
        (
            ["--loss", "huber(0.5)", "--hidden", "gelu", "--output", "selu"],
            {"loss": "huber(0.5)", "hidden": "gelu", "output": "selu"},
        ),
        (["--no-bias", "--reduction", "sum"], {"bias": False, "reduction": "sum"}),
    ],
)
@pytest.mark.parametrize("latex", [False, True])
def test_derive_prints_the_derivation(capsys, options, config, latex):
    assert main(["derive", "3-4-1", *options, *(["--latex"] if latex else [])]) == 0
    expected = derive(NetConfig.create([3, 4, 1], **config, dtype="float64"), latex=latex)
    assert capsys.readouterr().out == expected.rstrip("\n") + "\n"


def test_derive_chooses_the_output_that_the_loss_needs(capsys):
    assert main(["derive", "3-4-2", "--loss", "cross_entropy"]) == 0
    assert "softmax" in capsys.readouterr().out


def test_derive_against_another_loss(capsys):
    assert (
        main(["derive", "3-4-1", "--output", "sigmoid", "--loss", "log_loss", "--against", "half_squared_error"]) == 0
    )
    configs = [NetConfig.create([3, 4, 1], loss=loss, dtype="float64") for loss in ("log_loss", "half_squared_error")]
    assert capsys.readouterr().out == compare(*configs).rstrip("\n") + "\n"


def test_derive_against_the_same_loss_with_another_constant(capsys):
    assert main(["derive", "3-4-1", "--loss", "huber", "--against", "huber(0.5)"]) == 0
    configs = [NetConfig.create([3, 4, 1], loss=loss, dtype="float64") for loss in ("huber", "huber(0.5)")]
    assert capsys.readouterr().out == compare(*configs).rstrip("\n") + "\n"


@pytest.mark.parametrize("name", PRESETS)
def test_derive_takes_presets(capsys, name):
    assert main(["derive", "--preset", name]) == 0
    assert capsys.readouterr().out == derive(PRESETS[name].config()).rstrip("\n") + "\n"


def test_options_override_a_preset(capsys):
    assert main(["derive", "5-2-1", "--preset", "000", "--hidden", "tanh", "--reduction", "sum"]) == 0
    config = NetConfig.create([5, 2, 1], hidden="tanh", reduction="sum", bias=False)
    assert capsys.readouterr().out == derive(config).rstrip("\n") + "\n"


@pytest.mark.parametrize("latex", [False, True])
def test_derive_as_json_holds_every_formula_of_the_page(capsys, latex):
    words = ["derive", "5-4-3-2", "--loss", "cross_entropy", *(["--latex"] if latex else [])]
    assert main(words) == 0
    page = capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    rule = json.loads(capsys.readouterr().out)
    assert rule["network"].startswith("5-4-3-2 (sigmoid, sigmoid, softmax), cross_entropy")
    equations = [equation for section in rule["sections"] for equation in section["equations"]]
    assert len(equations) > 30
    unbroken = "".join(page.split())
    for equation in equations:
        for formula in equation["right"]:
            assert "".join(formula.split()) in unbroken
    assert equations[1]["counts_to"] == {"i": "N", "k": 5, "l": 4}
    assert [section["assigns"] for section in rule["sections"]] == [False] * 5 + [True]


def test_derive_against_as_json(capsys):
    words = [
        "derive",
        "3-4-1",
        "--output",
        "sigmoid",
        "--loss",
        "log_loss",
        "--against",
        "half_squared_error",
        "--json",
    ]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    terms = {term["term"]: term for term in told["terms"]}
    assert terms["delta_O"] == {
        "term": "delta_O",
        "a": "(Yhat - Y) / N",
        "b": "(Yhat - Y) .* Yhat .* (1 - Yhat) / N",
        "same": False,
    }
    assert terms["dW2"]["same"]
    assert told["deltas_of_target_0"][0] == {"output": 0.5, "a": 0.5, "b": 0.125}
    assert "Different: L, dL/dYhat[i,1], delta_O." in told["sentences"]


@pytest.mark.parametrize(
    "options",
    [
        ["3-4-1"],
        ["5-4-3-2", "--hidden", "relu", "--output", "identity", "--loss", "squared_error", "--reduction", "sum"],
        ["3-4-1", "--loss", "log_loss", "--no-bias"],
        ["8-5-4", "--hidden", "tanh", "--loss", "cross_entropy", "--rows", "50", "--seed", "3"],
        ["3-4-1", "--dtype", "float32"],
        ["3-2", "--output", "tanh"],
        *(["3-4-4", "--loss", loss] for loss in (*LOSSES, "huber(0.5)", "quantile(0.2, 0.7)", "cross_entropy(0.1)")),
        *(["3-4-2", "--hidden", name] for name in HIDDEN_ACTIVATIONS),
        *(["3-4-2", "--output", name] for name in ACTIVATIONS),
    ],
)
def test_check_passes(capsys, options):
    assert main(["check", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"network: {options[0]}")
    assert [line[:4] for line in lines[1:]] == ["pass"] * 4


def test_check_fails_on_a_wrong_gradient(capsys, monkeypatch):
    from chainrule import Net

    correct = Net.backward

    def wrong(self, *args):
        loss = correct(self, *args)
        self.gradients[0] *= 1.001
        return loss

    monkeypatch.setattr(Net, "backward", wrong)
    assert main(["check", "3-4-1"]) == 1
    verdicts = [line[:4] for line in capsys.readouterr().out.splitlines()[1:]]
    assert verdicts == ["FAIL", "pass", "pass", "FAIL"]


def test_check_as_json(capsys):
    assert main(["check", "3-4-2", "--loss", "cross_entropy", "--threads", "1", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert printed.err == ""
    assert (result["sizes"], result["activations"], result["loss"]) == (
        [3, 4, 2],
        ["sigmoid", "softmax"],
        "cross_entropy",
    )
    assert [check["passed"] for check in result["checks"]] == [True] * 4
    assert all(0 <= check["error"] <= check["limit"] for check in result["checks"])
