"""What `fit`, `step` and `update` refuse before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD
from helpers import small_net


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"epochs": -1}, ValueError, ["epochs", "-1"]),
        ({"epochs": 1.5}, TypeError, ["epochs", "1.5"]),
        ({"epochs": None}, TypeError, ["epochs", "None"]),
        ({"batch_size": 0}, ValueError, ["batch_size", "0"]),
        ({"batch_size": "all"}, TypeError, ["batch_size", "all"]),
        ({"optimizer": "adamw"}, ValueError, ["optimizer", "adamw", "sgd", "adam"]),
        ({"optimizer": 0.1}, TypeError, ["optimizer", "0.1"]),
        ({"optimizer": SGD}, TypeError, ["optimizer", "SGD"]),
        ({"validation": 3}, TypeError, ["validation", "(X, Y)"]),
        ({"validation": ()}, TypeError, ["validation", "(X, Y)"]),
        ({"patience": 0}, ValueError, ["patience", "0"]),
        ({"patience": 1.0}, TypeError, ["patience", "1.0"]),
        ({"tol": -1.0}, ValueError, ["tol", "-1.0"]),
        ({"tol": np.nan}, ValueError, ["tol", "nan"]),
        ({"l2": -1e-9}, ValueError, ["l2", "-1e-09"]),
        ({"l2": np.inf}, ValueError, ["l2", "inf"]),
        ({"l2": "big"}, TypeError, ["l2", "big"]),
        ({"callback": 3}, TypeError, ["callback", "3"]),
    ],
    ids=str,
)
def test_fit_refuses_arguments_before_training(net, X, Y, arguments, error, words):
    before = net.parameters.copy()
    with pytest.raises(error) as caught:
        net.fit(X, Y, **{"epochs": 1, **arguments})
    for word in words:
        assert word in str(caught.value)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.history is None


def test_counts_beyond_the_machine_are_as_good_as_all(net, X, Y):
    net.fit(X, Y, epochs=2, batch_size=10**30, patience=10**30)
    again = small_net()
    again.fit(X, Y, epochs=2, batch_size=None)
    np.testing.assert_array_equal(net.parameters, again.parameters)


@pytest.mark.parametrize("optimizer", ["momentum", 3, None, SGD])
def test_update_and_step_refuse_an_unknown_optimizer(net, X, Y, optimizer):
    net.forward(X)
    net.backward(Y)
    for call in (lambda: net.update(optimizer), lambda: net.step(X, Y, optimizer)):
        with pytest.raises((TypeError, ValueError), match="optimizer"):
            call()
