"""Penalties, clipping and limits of the reference's fit, one step at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule import SGD, DivergenceError
from chainrule.reference import Net
from chainrule.reference.regularization import clip_gradients
from chainrule.regularization import Regularization

LR = 0.1


def build(**arguments):
    net = Net([3, 4, 2], "tanh", "identity", dtype="float64", seed=3, **arguments)
    net.parameters[:] += np.random.default_rng(1).standard_normal(net.parameters.size)
    return net


def step_of(**regularization):
    """The net before, its plain gradient, and the net after one step with these arguments."""
    before, after = build(), build()
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((6, 3)), random.standard_normal((6, 2))
    before.forward(X)
    before.backward(Y)
    after.fit(X, Y, epochs=1, batch_size=None, optimizer=SGD(lr=LR), **regularization)
    return before, after


def weight_part(net):
    """1 for weights, 0 for biases."""
    return np.arange(net.parameters.size) < sum(W.size for W in net.weights)


@pytest.mark.parametrize("penalize_biases", [False, True])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_penalties_add_their_gradient(l1, l2, penalize_biases):
    before, after = step_of(l1=l1, l2=l2, penalize_biases=penalize_biases)
    w = before.parameters
    penalty = (l1 * np.sign(w) + l2 * w) * (1 if penalize_biases else weight_part(before))
    np.testing.assert_allclose(after.parameters, w - LR * (before.gradients + penalty), rtol=1e-13)


def test_l1_leaves_a_weight_of_zero_alone():
    net = Net([2, 1], output="identity", init="zeros", dtype="float64", seed=0)
    net.fit(np.zeros((1, 2)), [[0.0]], epochs=1, optimizer="sgd", l1=1.0)
    np.testing.assert_array_equal(net.parameters, 0)


def test_clipping_by_value():
    before, after = step_of(clip_value=0.2)
    assert (np.abs(before.gradients) > 0.2).any()
    clipped = np.clip(before.gradients, -0.2, 0.2)
    np.testing.assert_allclose(after.parameters, before.parameters - LR * clipped, rtol=1e-13)


@pytest.mark.parametrize("share", [0.5, 0.999, 1.001, 2.0])
def test_clipping_by_norm(share):
    norm = np.linalg.norm(step_of()[0].gradients)
    before, after = step_of(clip_norm=share * norm)
    expected = before.parameters - LR * min(share, 1.0) * before.gradients
    np.testing.assert_allclose(after.parameters, expected, rtol=1e-13)


def test_the_order_is_penalties_then_value_then_norm():
    before, after = step_of(l2=0.5, clip_value=0.3, clip_norm=0.4)
    g = np.clip(before.gradients + 0.5 * before.parameters * weight_part(before), -0.3, 0.3)
    assert np.linalg.norm(g) > 0.4
    g *= 0.4 / np.linalg.norm(g)
    np.testing.assert_allclose(after.parameters, before.parameters - LR * g, rtol=1e-13)


def test_max_norm_scales_the_columns_that_are_too_long():
    _, free = step_of()
    limit = 1.5
    _, limited = step_of(max_norm=limit)
    lengths = np.concatenate([np.linalg.norm(W, axis=0) for W in free.weights])
    assert lengths.min() < limit < lengths.max()
    for W, expected in zip(limited.weights, free.weights, strict=True):
        for unit in range(W.shape[1]):
            length = np.linalg.norm(expected[:, unit])
            if length <= limit:
                np.testing.assert_array_equal(W[:, unit], expected[:, unit])
            else:
                np.testing.assert_allclose(W[:, unit], expected[:, unit] * limit / length, rtol=1e-13)
    for b, expected in zip(limited.biases, free.biases, strict=True):
        np.testing.assert_array_equal(b, expected)


@pytest.mark.parametrize("limit", ["clip_norm", "clip_value"])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_clipping_hides_no_divergence(limit, bad):
    with pytest.raises(DivergenceError, match="gradient"):
        clip_gradients(np.array([1.0, bad]), Regularization(**{limit: 1.0}))


def test_norms_of_float32_do_not_overflow():
    gradients = np.full(4, 1e30, np.float32)
    with np.errstate(over="ignore"):  # as in a fit
        clip_gradients(gradients, Regularization(clip_norm=1.0))
    np.testing.assert_allclose(gradients, 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"l1": -1.0}, ValueError),
        ({"l2": math.nan}, ValueError),
        ({"l1": None}, TypeError),
        ({"max_norm": 0.0}, ValueError),
        ({"clip_norm": -1}, ValueError),
        ({"clip_value": math.inf}, ValueError),
        ({"clip_value": "small"}, TypeError),
        ({"penalize_biases": 1}, TypeError),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_named(arguments, error):
    (name,) = arguments
    with pytest.raises(error, match=name):
        step_of(**arguments)


def test_penalties_per_weight_are_shared_by_the_minibatch():
    settings = Regularization(l1=2.0, l2=1.0, clip_norm=3.0, per_weight=True)
    assert settings.of_minibatch(4.0) == Regularization(l1=0.5, l2=0.25, clip_norm=3.0)
    assert settings.of_minibatch(0.0) == Regularization(clip_norm=3.0)
    assert Regularization(l2=1.0).of_minibatch(4.0) == Regularization(l2=1.0)
