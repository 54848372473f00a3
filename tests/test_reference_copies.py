"""The reference net written to, copied and pickled: as the net that it is the reference of."""

import copy
import pickle

import numpy as np
import pytest

import chainrule
from chainrule.reference import Net

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))


def trained(optimizer="adam"):
    net = Net([3, 4, 2], output="identity", seed=0, dropout=0.1)
    net.fit(X, Y, epochs=3, batch_size=8, optimizer=optimizer)
    net.freeze(0)
    return net


def test_what_is_assigned_is_written_into_the_net():
    net, other = Net([3, 4, 2], seed=0), chainrule.Net([3, 4, 2], seed=1)
    arena = net.parameters
    net.parameters = other.parameters
    np.testing.assert_allclose(net.predict(X), other.predict(X), rtol=1e-5)
    for layer in range(2):
        net.weights[layer] = np.array(other.weights[layer]) + 1
        net.biases[layer] = 0.5
    assert net.parameters is arena
    np.testing.assert_array_equal(arena[:12], other.parameters[:12] + 1)
    np.testing.assert_array_equal(arena[-6:], 0.5)
    net.gradients = np.ones(arena.size)
    assert (net.weight_gradients[1] == 1).all()
    for name in ("parameters", "gradients"):
        with pytest.raises(ValueError, match=f"{name} must have the shape"):
            setattr(net, name, np.ones(3))
    with pytest.raises(AttributeError):
        net.weights = list(other.weights)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam", "rmsprop"])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "deep", "pickle"]
)
def test_a_copy_goes_on_by_itself_to_the_same_bits(copied, optimizer):
    net = trained(optimizer)
    twin = copied(net)
    before = net.parameters.copy()
    twin.fit(X, Y, epochs=4, batch_size=8, optimizer=optimizer)
    np.testing.assert_array_equal(net.parameters, before)
    assert not np.array_equal(twin.parameters, before)
    assert twin.frozen == (0,)
    net.fit(X, Y, epochs=4, batch_size=8, optimizer=optimizer)
    np.testing.assert_array_equal(net.parameters, twin.parameters)
    assert net.epochs_trained == twin.epochs_trained == 7
    twin.parameters[:] = 0
    assert not twin.predict(X).any()


def test_a_copy_within_an_epoch_goes_on_there():
    def press(state):
        raise KeyboardInterrupt

    net = trained()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=2, batch_size=8, optimizer="adam", callback=press)
    twin = copy.deepcopy(net)
    for each in (net, twin):
        each.fit(X, Y, epochs=1, batch_size=8, optimizer="adam")
    np.testing.assert_array_equal(net.parameters, twin.parameters)


def test_masked_numbers_are_refused():
    net = Net([3, 2], seed=0)
    masked = np.ma.masked_array(X, False)
    for call in (lambda: net.predict(masked), lambda: net.loss(X, np.ma.masked_array(Y, False))):
        with pytest.raises(TypeError, match="must not be masked"):
            call()


@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e300])
def test_numbers_that_the_net_cannot_hold_are_named_as_by_the_core(bad):
    weights = np.ones(len(X))
    bad_X, bad_Y, bad_weights = (np.array(values, dtype=float) for values in (X, Y, weights))
    bad_X[3, 1] = bad_Y[3, 0] = bad_weights[3] = bad
    messages = []
    for net in (Net([3, Y.shape[1]], seed=0), chainrule.Net([3, Y.shape[1]], seed=0)):
        for call in (
            lambda net: net.predict(bad_X),
            lambda net: net.loss(X, bad_Y),
            lambda net: net.fit(X, Y, sample_weight=bad_weights),
            lambda net: net.fit(X, Y, validation=(bad_X, Y)),
        ):
            with pytest.raises(ValueError, match="must be finite as float32; it is ") as caught:
                call(net)
            messages.append(str(caught.value))
    assert messages[:4] == messages[4:]


@pytest.mark.parametrize(
    ("weight", "words"),
    [(1e-40, "must not be zero for every row, or below 1e-30"), (1e31, "must be from 0 to 1e30|1e\\+30")],
)
def test_weights_that_are_too_small_or_large_are_refused_as_by_the_core(weight, words):
    for kind in (Net, chainrule.Net):
        with pytest.raises(ValueError, match=words):
            kind([3, 2], seed=0).loss(X, Y, sample_weight=np.full(len(X), weight))
