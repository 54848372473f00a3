"""Nets are copied and pickled whole: what goes on from a copy has the bits of what goes on from the net."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading

import numpy as np
import pytest

from chainrule import SGD, Adam, Net
from chainrule.schedules import ReduceOnPlateau

X = np.random.default_rng(0).standard_normal((60, 3))
Y = np.tanh(X[:, :1])


class NamedNet(Net):
    """A user's own."""


def copies(net):
    return [copy.copy(net), copy.deepcopy(net), *(pickle.loads(pickle.dumps(net, p)) for p in (2, 5))]


@pytest.mark.parametrize("kind", [Net, NamedNet])
@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9), Adam(lr=0.01)], ids=str)
@pytest.mark.parametrize("interrupted", [False, True])
def test_copies_go_on_as_the_net_does(kind, optimizer, interrupted):
    net = kind([3, 8, 4, 1], "tanh", "identity", dropout=0.1, dtype="float64", threads=1)
    options = {"optimizer": optimizer, "schedule": ReduceOnPlateau(patience=0), "batch_size": 1}
    net.fit(X, Y, epochs=3, time_limit=1e-5 if interrupted else None, **options)
    net.freeze(1)
    for other in copies(net):
        assert type(other) is kind
        assert (other.config, other.seed, other.threads, other.frozen) == (
            net.config,
            net.seed,
            net.threads,
            net.frozen,
        )
        assert other.history.stopped == ("time" if interrupted else "epochs")
        assert not np.shares_memory(other.parameters, net.parameters)
        original = copy.deepcopy(net)
        for each in (original, other):
            each.fit(X, Y, epochs=4, **options)
        assert other.parameters.tobytes() == original.parameters.tobytes()
        assert other.epochs_trained == original.epochs_trained


def test_a_net_goes_to_another_process():
    net = Net([3, 4, 1], seed=0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(net.predict, (X,)), net.predict(X))


class Scaled(Net):
    def __init__(self, *arguments, scale):
        super().__init__(*arguments, seed=0)
        self.scale = [scale]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_attributes_of_users_are_kept(again):
    net = Scaled([2, 1], scale=3)
    net.note = "of mine"
    other = again(net)
    assert (type(other), other.scale, other.note) == (Scaled, [3], "of mine")
    assert (other.scale is net.scale) == (again is copy.copy)
    assert other.parameters.base is not net.parameters.base
    np.testing.assert_array_equal(other.parameters, net.parameters)


def test_a_copy_goes_on_within_an_epoch():
    """As a net that Ctrl-C has stopped after 20 of 60 rows."""
    X = np.random.default_rng(0).random((60, 2))
    net, whole = Net([2, 1], seed=0), Net([2, 1], seed=0)
    whole.fit(X, X[:, :1], epochs=1, batch_size=10, shuffle=False, optimizer="sgd")
    for first in (0, 10):
        net.step(X[first : first + 10], X[first : first + 10, :1], "sgd")
    net._core.resume_epoch(20, 1.0, 20.0, 60, 10, False)
    other = pickle.loads(pickle.dumps(net))
    assert other._core.epoch_in_progress == net._core.epoch_in_progress
    other.fit(X, X[:, :1], epochs=1, batch_size=10, shuffle=False, optimizer="sgd")
    np.testing.assert_array_equal(other.parameters, whole.parameters)


class Slotted(Net):
    __slots__ = ("__private", "scale", "unset")

    def __init__(self, *arguments, scale):
        super().__init__(*arguments, seed=0)
        self.scale, self.__private = scale, "mine"

    @property
    def private(self):
        return self.__private


def test_attributes_in_slots_are_kept():
    for other in copies(Slotted([2, 1], scale=[3])):
        assert (type(other), other.scale, other.private) == (Slotted, [3], "mine")
        assert not hasattr(other, "unset")


def test_a_net_that_knows_itself():
    net = Net([2, 1], seed=0)
    net.me, net.trainer = net, {"net": net}
    for again in (copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))):
        other = again(net)
        assert other is other.me is other.trainer["net"] is not net


class Locked(Net):
    """As the documentation of pickle has it."""

    def __init__(self, *arguments):
        super().__init__(*arguments, seed=0)
        self.lock, self.note = threading.Lock(), "mine"

    def __getstate__(self):
        state = self.__dict__.copy()
        del state["lock"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.lock = threading.Lock()


class Delegating(Net):
    def __init__(self, *arguments):
        super().__init__(*arguments, seed=0)
        self.inner = {"note": "mine"}

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_subclasses_with_methods_of_pickles_own():
    locked = Locked([2, 1])
    for other in copies(locked):
        assert (other.note, other.lock is locked.lock) == ("mine", False)
        np.testing.assert_array_equal(other.predict(X[:, :2]), locked.predict(X[:, :2]))
    for other in copies(Delegating([2, 1])):
        assert other.get("note") == "mine"
