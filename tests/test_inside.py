"""Looking inside: hidden activations, input gradients, Jacobians, the summary."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import Net, reference
from chainrule.config import ACTIVATIONS
from helpers import OUTPUTS_AND_LOSSES, draw, relative_error


def differences(function, X, step=1e-4):
    """How `function` of the inputs changes with each of them, (..., features), by five-point differences."""
    slopes = []
    for column in np.eye(X.shape[1]) * step:
        near, far = (function(X + n * column) - function(X - n * column) for n in (1, 2))
        slopes.append((8 * near - far) / (12 * step))
    return np.stack(slopes, axis=-1)


def smooth_net(output="identity", loss="half_squared_error", **arguments):
    return Net([3, 7, 6, 4], ["tanh", "silu"], output, loss, dtype="float64", seed=3, **arguments)


@pytest.mark.parametrize(("output", "loss"), OUTPUTS_AND_LOSSES)
def test_input_gradient_of_every_loss(output, loss):
    net = smooth_net(output, loss)
    X, Y, weights = draw(net, 9)
    gradient = net.input_gradient(X, Y, sample_weight=weights)
    assert gradient.shape == X.shape
    rows = [
        differences(lambda Z, i=i: net.loss(np.vstack([X[:i], Z, X[i + 1 :]]), Y, weights), X[i : i + 1])
        for i in range(9)
    ]
    assert relative_error(gradient, np.stack(rows)) < 1e-7


@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 300])
def test_jacobian_of_every_output(output, rows):
    net = smooth_net(output, dropout=0.4)
    X, _, _ = draw(net, rows)
    jacobian = net.jacobian(X)
    assert jacobian.shape == (rows, 4, 3)
    assert relative_error(jacobian, differences(net.predict, X)) < 1e-7
    for number in range(4):
        assert (net.input_gradient(X, output=number) == jacobian[:, number]).all()
        assert (net.input_gradient(X, output=number - 4) == jacobian[:, number]).all()


def test_a_single_output_needs_no_number():
    net = Net([3, 5, 1], seed=0)
    X, _, _ = draw(net, 4)
    assert (net.input_gradient(X) == net.jacobian(X)[:, 0]).all()


def test_activations_are_those_of_predict():
    net = smooth_net("softmax", dropout=0.5, input_noise=0.3)
    X, _, _ = draw(net, 300)
    hidden1, hidden2, outputs = net.activations(X)
    assert (outputs == net.predict(X)).all()
    assert hidden1.shape == (300, 7)
    assert relative_error(hidden1, np.tanh(X @ net.weights[0] + net.biases[0])) < 1e-12
    H = hidden1 @ net.weights[1] + net.biases[1]
    assert relative_error(hidden2, H / (1 + np.exp(-H))) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ValueError, "which output from 0 to 3"),
        ({"output": 4}, IndexError, "from 0 to 3"),
        ({"output": 1.5}, TypeError, "output must be an integer, got 1.5"),
        ({"output": 1, "sample_weight": np.ones(5)}, ValueError, "sample_weight"),
        ({"output": 1, "Y": np.ones((5, 4))}, ValueError, "both"),
    ],
)
def test_what_input_gradient_refuses(arguments, error, words):
    net = smooth_net()
    with pytest.raises(error, match=words):
        net.input_gradient(np.ones((5, 3)), **arguments)


def test_summary_says_what_the_net_is():
    net = smooth_net("softmax", "cross_entropy", dropout=[0.25, 0])
    net.freeze(1)
    lines = net.summary().splitlines()
    assert len(lines) == 6
    assert lines[1].split() == ["hidden", "1", "3", "7", "tanh", "28", "dropout", "0.25"]
    assert lines[2].split() == ["hidden", "2", "7", "6", "silu", "48", "frozen"]
    assert lines[3].split() == ["output", "6", "4", "softmax", "28"]
    assert lines[4].startswith("104 parameters, 56 trained")
    assert "cross_entropy" in lines[5]


def test_a_trace_is_a_mapping_and_says_what_it_lacks():
    net = Net([2, 3, 1], seed=0)
    trace = net.trace([[0.5, -1.0]], [[1.0]])
    assert list(trace)[:3] == ["H", "Z", "O"]
    assert len(trace) == len(list(trace))
    with pytest.raises(KeyError, match="'Q'; this trace has H, Z, O"):
        trace["Q"]
    text = str(trace)
    assert all(f"{name} {trace[name].shape}\n{trace[name]}" in text for name in trace)
    assert text.endswith(f"loss\n{trace.loss}")


def test_views_of_layers_are_shown_as_lists():
    net = Net([2, 1], hidden=[], seed=0)
    assert repr(net.weights) == repr(list(net.weights))


def test_the_reference_derives_the_same_rule():
    arguments = {"sizes": [2, 3, 1], "seed": 0}
    assert reference.Net(**arguments).derivation(latex=True) == Net(**arguments).derivation(latex=True)
