"""Nets whose parameters outgrow the cache are moved layer by layer, without storing gradients: nobody can tell."""

import numpy as np
import pytest

from chainrule import DivergenceError, Net
from chainrule.optimizers import SGD, NAdam, RMSprop, Rprop

SIZES = [130, 1024, 300, 1]


def data(rows, dtype=np.float32):
    random = np.random.default_rng(0)
    return random.standard_normal((rows, SIZES[0])).astype(dtype), random.random((rows, 1)).astype(dtype)


def fitted(rows, threads=1, frozen=(), batch_size=100, **options):
    X, Y = data(rows)
    net = Net(SIZES, "tanh", "identity", seed=1, threads=threads)
    net.freeze(*frozen)
    return net, net.fit(X, Y, batch_size=batch_size, epochs=2, **options)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", NAdam(), RMSprop(momentum=0.9), Rprop()], ids=repr)
@pytest.mark.parametrize("rows", [100, 250])
@pytest.mark.parametrize("penalty", [{}, {"l2": 0.01}, {"l2": 0.01, "penalize_biases": True}], ids=repr)
def test_same_bits_as_with_stored_gradients(optimizer, rows, penalty):
    # Clipping needs all gradients first; at such a length it changes none of them.
    options = {"optimizer": optimizer, "batch_size": rows if optimizer == Rprop() else 100, **penalty}
    streamed, history = fitted(rows, **options)
    stored, expected = fitted(rows, clip_value=1e30, **options)
    np.testing.assert_array_equal(streamed.parameters, stored.parameters)
    np.testing.assert_array_equal(history.loss, expected.loss)


def test_same_bits_for_any_number_of_threads():
    expected, _ = fitted(250)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(fitted(250, threads=threads)[0].parameters, expected.parameters)


def test_frozen_layers_stay():
    net, _ = fitted(100, frozen=[1])
    before = Net(SIZES, "tanh", "identity", seed=1)
    np.testing.assert_array_equal(net.weights[1], before.weights[1])
    assert (net.weights[0] != before.weights[0]).any()


def test_a_gradient_that_overflows_moves_nothing():
    net = Net([600, 600], hidden=[], output="identity", seed=1)
    net.parameters = 0.0
    with pytest.raises(DivergenceError, match="gradient"):
        net.fit(np.full((10, 600), 1e22, np.float32), np.full((10, 600), 1e17, np.float32), epochs=1)
    assert not net.parameters.any()


def test_an_update_that_overflows_leaves_finite_parameters():
    X, Y = data(100)
    net = Net(SIZES, "tanh", "identity", seed=1)
    with pytest.raises(DivergenceError):
        net.fit(X, Y, epochs=3, batch_size=100, optimizer=SGD(lr=1e38))
    assert np.isfinite(net.parameters).all()
