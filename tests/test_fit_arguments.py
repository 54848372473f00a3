"""What `fit`, `step` and `update` refuse before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, Net, reference
from chainrule.schedules import Step
from helpers import FEATURES, OUTPUTS, draw, name_of, small_net


@pytest.fixture(params=[Net, reference.Net], ids=["core", "reference"])
def net(request):
    return request.param([FEATURES, 4, OUTPUTS], output="identity", seed=2)


@pytest.fixture(params=[Net, reference.Net], ids=["core", "reference"])
def classifier(request):
    return request.param([FEATURES, 4, 3], output="softmax", loss="cross_entropy", seed=2)


def accuracy(Y, predictions):
    return np.mean(predictions.argmax(axis=1) == Y)


def refuses(net, X, Y, arguments, error, words):
    before = net.parameters.copy()
    with pytest.raises(error) as caught:
        net.fit(X, Y, **{"epochs": 1, **arguments})
    for word in words:
        assert word in str(caught.value)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.history is None
    assert net.epochs_trained == 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"epochs": -1}, ValueError, ["epochs", "-1"]),
        ({"epochs": 1.5}, TypeError, ["epochs", "1.5"]),
        ({"epochs": None}, TypeError, ["epochs", "None"]),
        ({"batch_size": 0}, ValueError, ["batch_size", "0"]),
        ({"batch_size": "all"}, TypeError, ["batch_size", "all"]),
        ({"batch_size": 2, "optimizer": "rprop"}, ValueError, ["batch_size", "None", "6 rows", "rprop", "got 2"]),
        ({"optimizer": "momentum"}, ValueError, ["optimizer", "momentum", "sgd", "adam", "adamw"]),
        ({"optimizer": 0.1}, TypeError, ["optimizer", "0.1"]),
        ({"optimizer": SGD}, TypeError, ["optimizer", "SGD"]),
        ({"schedule": "linear"}, ValueError, ["schedule", "linear", "'cosine'"]),
        ({"schedule": 0.1}, TypeError, ["schedule", "0.1", "'cosine'"]),
        (
            {"schedule": Step(), "optimizer": "rprop", "batch_size": None},
            ValueError,
            ["schedule", "None", "rprop", "Step"],
        ),
        ({"validation": 3}, ValueError, ["validation", "(X, Y)", "(0, 1)", "3"]),
        ({"validation": 0.0}, ValueError, ["validation", "(X, Y)", "(0, 1)", "0.0"]),
        ({"validation": 1.0}, ValueError, ["validation", "(X, Y)", "(0, 1)", "1.0"]),
        ({"validation": np.nan}, ValueError, ["validation", "(X, Y)", "(0, 1)", "nan"]),
        ({"validation": True}, TypeError, ["validation", "(X, Y)", "(0, 1)", "True"]),
        ({"validation": "some"}, TypeError, ["validation", "(X, Y)", "(0, 1)", "some"]),
        ({"validation": ()}, TypeError, ["validation", "(X, Y)"]),
        ({"validation": np.ones((2, FEATURES))}, TypeError, ["validation", "(X, Y)"]),
        ({"validation": (np.ones((2, 9)), np.ones((2, OUTPUTS)))}, ValueError, ["validation X", "9"]),
        ({"class_weight": "balanced"}, ValueError, ["class_weight", "labels"]),
        ({"metrics": accuracy}, TypeError, ["metrics", "accuracy", "dict"]),
        ({"metrics": {"accuracy": 3}}, TypeError, ["metrics", "callable", "3"]),
        ({"metrics": {1: accuracy}}, TypeError, ["metrics", "accuracy", "1"]),
        ({"metrics": [accuracy, accuracy]}, ValueError, ["metrics", "accuracy", "twice"]),
        ({"metrics": {"loss": accuracy}}, ValueError, ["metrics", "'loss'"]),
        ({"monitor": 3}, TypeError, ["monitor", "3", "'loss'"]),
        ({"monitor": "accuracy"}, ValueError, ["monitor", "accuracy", "'loss'"]),
        ({"monitor": "validation_loss"}, ValueError, ["monitor", "validation_loss", "'loss'"]),
        ({"monitor": ("loss", "up")}, ValueError, ["monitor", "up", "'min'", "'max'"]),
        ({"monitor": ("loss", "max", 1)}, TypeError, ["monitor", "pair", "('loss', 'max', 1)"]),
        ({"patience": 0}, ValueError, ["patience", "0"]),
        ({"patience": 1.0}, TypeError, ["patience", "1.0"]),
        ({"tol": -1.0}, ValueError, ["tol", "-1.0"]),
        ({"tol": np.nan}, ValueError, ["tol", "nan"]),
        ({"l1": -1.0}, ValueError, ["l1", "-1.0"]),
        ({"l2": -1e-9}, ValueError, ["l2", "-1e-09"]),
        ({"l2": np.inf}, ValueError, ["l2", "inf"]),
        ({"l2": "big"}, TypeError, ["l2", "big"]),
        ({"max_norm": 0.0}, ValueError, ["max_norm", "positive", "0.0"]),
        ({"clip_norm": -1.0}, ValueError, ["clip_norm", "positive", "-1.0"]),
        ({"clip_value": "small"}, TypeError, ["clip_value", "small"]),
        ({"penalize_biases": 1}, TypeError, ["penalize_biases", "1"]),
        ({"time_limit": 0}, ValueError, ["time_limit", "positive", "0"]),
        ({"time_limit": np.inf}, ValueError, ["time_limit", "finite", "inf"]),
        ({"time_limit": "1 h"}, TypeError, ["time_limit", "1 h"]),
        ({"callback": 3}, TypeError, ["callback", "3"]),
    ],
    ids=name_of,
)
def test_fit_refuses_arguments_before_training(net, X, Y, arguments, error, words):
    refuses(net, X, Y, arguments, error, words)


@pytest.mark.parametrize(
    ("class_weight", "error", "words"),
    [
        ("even", ValueError, ["'balanced'", "even"]),
        (2.0, TypeError, ["'balanced'", "2.0"]),
        ([1.0, 2.0, 3.0], TypeError, ["'balanced'", "[1.0, 2.0, 3.0]"]),
        ({3: 1.0}, ValueError, ["class 3", "0 to 2"]),
        ({-1: 1.0}, ValueError, ["class", "-1"]),
        ({"a": 1.0}, TypeError, ["class", "'a'"]),
        ({1: -2.0}, ValueError, ["class_weight[1]", "-2.0"]),
        ({1: None}, TypeError, ["class_weight[1]", "None"]),
        ({0: 0, 1: 0, 2: 0}, ValueError, ["every row"]),
    ],
    ids=str,
)
def test_class_weights_that_are_refused(classifier, X, class_weight, error, words):
    labels = np.array([0, 1, 2, 0, 1, 2])
    refuses(classifier, X, labels, {"class_weight": class_weight}, error, ["class_weight", *words])


def test_class_weights_need_labels(classifier, X):
    refuses(classifier, X, np.eye(3)[[0, 1, 2, 0, 1, 2]], {"class_weight": {0: 2.0}}, ValueError, ["class_weight"])


def test_no_row_may_be_held_out_of_too_few(net, classifier, X, Y):
    refuses(net, X[:1], Y[:1], {"validation": 0.5}, ValueError, ["validation=0.5", "1 rows"])
    refuses(classifier, X[:3], [0, 1, 2], {"validation": 0.5}, ValueError, ["validation=0.5", "3 rows of 3 classes"])


@pytest.mark.parametrize("arguments", [{"validation": 0.5}, {"class_weight": "balanced"}], ids=str)
def test_bad_data_are_named_by_the_rows_that_the_user_knows(classifier, X, arguments):
    labels = np.array([0, 1, 2, 0, 1, 3])
    refuses(classifier, X, labels, arguments, ValueError, ["class indices from 0 to 2"])
    refuses(classifier, X, [0, 1], arguments, ValueError, ["Y", "(2,)"])
    refuses(classifier, X, labels.clip(0, 2), {**arguments, "sample_weight": np.ones(4)}, ValueError, ["sample_weight"])


def test_rows_are_those_before_the_split():
    net = small_net()
    X, Y, _ = draw(net, 6)
    for row in range(6):
        bad = X.copy()
        bad[row, 1] = np.nan
        with pytest.raises(ValueError, match=f"X must be finite.* at row {row}, column 1"):
            net.fit(bad, Y, validation=0.5)
    with pytest.raises(TypeError, match="X is a masked array"):
        net.fit(np.ma.masked_array(X), Y, validation=0.5)


def test_counts_beyond_the_machine_are_as_good_as_all(net, X, Y):
    net.fit(X, Y, epochs=2, batch_size=10**30, patience=10**30)
    again = type(net)([FEATURES, 4, OUTPUTS], output="identity", seed=2)
    again.fit(X, Y, epochs=2, batch_size=None)
    np.testing.assert_array_equal(net.parameters, again.parameters)


def test_rprop_takes_batches_of_all_rows(net, X, Y):
    for batch_size in (None, 6, 1000):
        assert net.fit(X, Y, epochs=1, batch_size=batch_size, optimizer="rprop").epochs == 1
    with pytest.raises(ValueError, match=r"batch_size must be None, or at least the 3 rows"):
        net.fit(X, Y, batch_size=2, optimizer="rprop", validation=0.5)
    net.fit(X, Y, epochs=1, batch_size=3, optimizer="rprop", validation=0.5)


@pytest.mark.parametrize("optimizer", ["momentum", 3, None, SGD])
def test_update_and_step_refuse_an_unknown_optimizer(net, X, Y, optimizer):
    net.forward(X)
    net.backward(Y)
    for call in (lambda: net.update(optimizer), lambda: net.step(X, Y, optimizer)):
        with pytest.raises((TypeError, ValueError), match="optimizer"):
            call()
