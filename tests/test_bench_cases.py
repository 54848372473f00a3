"""Which activations and losses the peers of `chainrule bench` know, and that they mean the same by them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.bench import cases, measure
from chainrule.cli import main
from chainrule.config import ACTIVATIONS, HIDDEN_ACTIVATIONS
from chainrule.losses import LOSSES

#: Of peers that know many, what they do not; and of those that know few, what they do.
UNKNOWN = {
    "numpy": set(),
    "torch": {"log_cosh", "quantile", "quantile(0.2, 0.7)"},
    "jax": {"huber", "huber(0.3)", "log_cosh", "quantile", "quantile(0.2, 0.7)", "cross_entropy(0.1)"},
}
KNOWN_TO_SKLEARN = {"identity", "sigmoid", "tanh", "relu"}


def takes_part(peer, sizes, hidden="tanh", output=None, loss=None, dtype="float64"):
    """Whether the peer trains the net; then it has learned the same weights, to the tolerance of the dtype."""
    pytest.importorskip(peer)
    case = cases.create_case(sizes, hidden, output, loss, batch_size=5)
    return peer in measure._check_training(case, dtype, [peer], threads=1)


@pytest.mark.parametrize("peer", UNKNOWN)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_that_peers_know(peer, name):
    dtype = "float32" if (peer, name) == ("torch", "hard_sigmoid") else "float64"
    if name in HIDDEN_ACTIVATIONS:
        assert takes_part(peer, (6, 7, 4), hidden=name, dtype=dtype) == (name not in UNKNOWN[peer])
    assert takes_part(peer, (6, 7, 4), output=name, dtype=dtype) == (name not in UNKNOWN[peer])


def test_torch_has_no_hard_sigmoid_in_float64():
    assert not takes_part("torch", (6, 7, 4), hidden="hard_sigmoid")


@pytest.mark.parametrize("peer", UNKNOWN)
@pytest.mark.parametrize("loss", [*LOSSES, "huber(0.3)", "quantile(0.2, 0.7)", "cross_entropy(0.1)"])
def test_losses_that_peers_know(peer, loss):
    assert takes_part(peer, (6, 7, 4), loss=loss) == (loss not in UNKNOWN[peer])


@pytest.mark.parametrize("hidden", HIDDEN_ACTIVATIONS)
def test_scikit_learn_takes_part_where_it_has_the_same_activation(hidden):
    assert takes_part("sklearn", (6, 7, 1), hidden) == (hidden in KNOWN_TO_SKLEARN)


@pytest.mark.parametrize("peer", ["numpy", "torch", "sklearn", "onnxruntime"])
@pytest.mark.parametrize(("hidden", "output"), [("gelu", "identity"), ("tanh", "exp"), ("relu", "softmax")])
def test_predictions_of_peers_that_know_the_activations(peer, hidden, output):
    pytest.importorskip(peer)
    case = cases.one_row(cases.create_case((5, 6, 3), hidden, output))
    known = peer == "numpy" or hidden == "relu" or peer == "torch"
    measurement = measure.measure_prediction(case, "float64", [peer], threads=1, seconds=0.001)
    assert (peer in measurement.best) == known


@pytest.mark.parametrize(
    ("loss", "allowed"), [("log_loss", {0.0, 1.0}), ("hinge", {-1.0, 1.0}), ("cross_entropy", {0, 1, 2, 3})]
)
def test_targets_suit_the_loss(loss, allowed):
    _, Y = cases.data(cases.create_case((3, 4), loss=loss), "float32", 4)
    assert set(np.unique(Y)) == allowed


def test_state_is_counted_by_the_arrays_of_the_rule():
    held = {
        rule: cases.create_case((3, 4), optimizer=rule).bytes_held("float32") for rule in ("sgd", "rmsprop", "nadam")
    }
    assert held == {"sgd": 2 * 64, "rmsprop": 3 * 64, "nadam": 4 * 64}


def test_a_loss_with_a_constant_is_named_and_a_peer_without_it_left_out(capfd):
    pytest.importorskip("sklearn")
    options = ["--net", "3-4-1", "--loss", "huber( 0.50 )", "--peers", "numpy,sklearn", "--seconds", "0.01"]
    assert main(["bench", *options, "--json"]) == 0
    captured = capfd.readouterr()
    (case,) = json.loads(captured.out)["cases"]
    assert (case["case"], case["loss"]) == ("3-4-1 relu, batch 32, huber(0.5)", "huber(0.5)")
    assert case["best"].keys() == {"chainrule", "numpy"}
    lines = captured.err.splitlines()
    assert lines[3].split()[-1] == "-"
    assert all(len(line) <= 120 for line in lines)
    assert "- is no equivalent" in captured.err
