"""Targets, class indices and weights of rows: their shapes, types and ranges."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, Net
from helpers import FEATURES, INTEGERS, OUTPUTS, ROWS, draw


@pytest.mark.parametrize("shape", [(5, 2), (6, 1), (6,), (6, 3), (2, 6), (12,), (6, 2, 1), ()])
def test_wrong_shape_of_targets(net, X, shape):
    for call in (
        lambda Y: net.loss(X, Y),
        lambda Y: net.fit(X, Y),
        lambda Y: net.step(X, Y, "sgd"),
        lambda Y: (net.forward(X), net.backward(Y)),
    ):
        with pytest.raises(ValueError, match=r"Y has shape \(.*\); expected \(6, 2\)$"):
            call(np.zeros(shape))


def test_targets_of_a_single_output_may_be_a_vector():
    net = Net([FEATURES, 1], hidden=[], seed=0)
    X, Y, _ = draw(net, ROWS)
    assert net.loss(X, Y[:, 0]) == net.loss(X, Y)
    with pytest.raises(ValueError, match=r"Y has shape \(1, 6\); expected \(6, 1\) or \(6,\)$"):
        net.loss(X, Y.T)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), r"sample_weight has shape \(5,\); expected \(6,\)"),
        (np.ones((6, 1)), r"sample_weight has shape \(6, 1\); expected \(6,\)"),
        (1.0, r"sample_weight has shape \(\); expected \(6,\)"),
        (np.array([1, 1, 1, -0.5, 1, 1]), "sample_weight must be from 0 to 1e30; it is -0.5 at row 3"),
        (np.zeros(6), "sample_weight must not be zero for every row"),
        (np.full(6, 1e-60), "sample_weight must not be zero for every row"),
        (np.full(6, 1e-31), "sample_weight must not be zero for every row, or below 1e-30"),
        (np.full(6, 1e31), "sample_weight must be from 0 to 1e30"),
        (np.full(6, 1e39), "sample_weight must be finite as float32; it is 1e\\+39 at row 0"),
    ],
    ids=str,
)
def test_wrong_weights(net, X, Y, weights, message):
    before = net.parameters.copy()
    for call in (
        lambda: net.loss(X, Y, weights),
        lambda: net.fit(X, Y, sample_weight=weights),
        lambda: net.step(X, Y, "sgd", weights),
        lambda: (net.forward(X), net.backward(Y, weights)),
        lambda: net.fit(X, Y, validation=(X, Y, weights)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    np.testing.assert_array_equal(net.parameters, before)


@pytest.fixture
def classifier():
    return Net([FEATURES, 5, 4], output="softmax", loss="cross_entropy", seed=0)


@pytest.fixture
def labels():
    return np.array([0, 1, 2, 3, 3, 0])


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("column", [False, True])
def test_indices_of_any_integer_type_are_one_hot_rows(classifier, X, labels, dtype, column):
    given = labels.astype(dtype)
    given = given[:, np.newaxis] if column else given
    one_hot = np.eye(4)[labels]
    assert classifier.loss(X, given) == classifier.loss(X, one_hot)
    for Y in (given, one_hot):
        classifier.step(X, Y, SGD(lr=1e-30))
        gradients = classifier.gradients.copy()
    np.testing.assert_array_equal(classifier.gradients, gradients)
    indexed, hot = (Net([FEATURES, 5, 4], output="softmax", loss="cross_entropy", seed=0) for _ in range(2))
    indexed.fit(X, given, epochs=3, batch_size=4)
    hot.fit(X, one_hot, epochs=3, batch_size=4)
    np.testing.assert_array_equal(indexed.parameters, hot.parameters)


@pytest.mark.parametrize("bad", [-1, 4, 5, 2**31, -(2**31), 2**32, 2**62, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("column", [False, True])
def test_out_of_range_is_refused_before_anything_is_written(classifier, X, labels, bad, column):
    labels[4] = bad
    labels = labels[:, np.newaxis] if column else labels
    parameters, gradients = classifier.parameters.copy(), classifier.gradients.copy()
    for call in (
        lambda: classifier.loss(X, labels),
        lambda: classifier.fit(X, labels),
        lambda: classifier.fit(X, np.zeros(6, int), validation=(X, labels)),
        lambda: classifier.step(X, labels, "sgd"),
        lambda: (classifier.forward(X), classifier.backward(labels)),
    ):
        with pytest.raises(ValueError, match=r"Y must be class indices from 0 to 3; it is .* at row 4"):
            call()
    np.testing.assert_array_equal(classifier.parameters, parameters)
    np.testing.assert_array_equal(classifier.gradients, gradients)


def test_largest_unsigned_label(classifier, X, labels):
    labels = labels.astype(np.uint64)
    labels[2] = 2**64 - 1
    with pytest.raises(ValueError, match="class indices from 0 to 3"):
        classifier.loss(X, labels)


def test_floating_indices_are_refused(classifier, X, labels):
    for given in (labels.astype(float), labels.astype(float)[:, np.newaxis]):
        with pytest.raises(TypeError, match=r"Y must hold integer class indices.*float64"):
            classifier.loss(X, given)


def test_rows_of_probabilities(classifier, X):
    soft = np.random.default_rng(0).dirichlet(np.ones(4), ROWS)
    assert classifier.loss(X, soft.astype(np.float16)) == pytest.approx(classifier.loss(X, soft), rel=1e-2)
    negative, halved = soft.copy(), soft.copy()
    negative[5, 2] = -0.1
    halved[1] /= 2
    with pytest.raises(ValueError, match=r"probabilities, from 0 to 1; it is -0\.1.* at row 5, column 2"):
        classifier.loss(X, negative)
    with pytest.raises(ValueError, match=r"row 1 sums to 0\.5"):
        classifier.loss(X, halved)
    with pytest.raises(ValueError, match=r"expected \(6,\) class indices or \(6, 4\)"):
        classifier.loss(X, soft[:, :3])


def test_log_loss_takes_probabilities(X):
    net = Net([FEATURES, OUTPUTS], hidden=[], loss="log_loss", seed=0)
    Y = np.full((ROWS, OUTPUTS), 0.5)
    assert np.isfinite(net.loss(X, Y))
    for bad in (-1e-6, 1.001, np.nan, np.inf):
        Y[3, 1] = bad
        with pytest.raises(ValueError, match=r"Y must be probabilities, from 0 to 1; it is .* at row 3, column 1"):
            net.loss(X, Y)
