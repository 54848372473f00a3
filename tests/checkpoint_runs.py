"""Runs with checkpoints: what a program does that is ended and started again, and all that it leaves."""

from __future__ import annotations

import numpy as np

from chainrule import SGD, Adam, Net
from chainrule.schedules import ReduceOnPlateau


def draw(features, outputs, rows=300):
    numbers = np.random.default_rng(7)
    X = numbers.standard_normal((rows, features))
    return X, np.tanh(X @ numbers.standard_normal((features, outputs))) + 0.1 * numbers.standard_normal((rows, outputs))


def largest_error(Y, predictions):
    return np.abs(Y - predictions).max()


def lower(epoch, lr):
    return 0.9 * lr


def early_stopping():
    net = Net([8, 16, 1], "silu", "identity", dropout=0.2, input_noise=0.1, seed=1)
    options = {"epochs": 60, "optimizer": Adam(lr=0.01), "schedule": "cosine"}
    return net, *draw(8, 1), options | {"validation": 0.2, "patience": 8, "tol": 1e-4}


def plateau():
    net = Net([8, 16, 2], "tanh", "identity", dtype="float64", seed=2)
    schedule = ReduceOnPlateau(factor=0.5, patience=0, tol=0.1)
    return net, *draw(8, 2), {"epochs": 30, "optimizer": SGD(lr=0.05, momentum=0.9), "schedule": schedule, "every": 4}


def metric():
    net = Net([8, 16, 1], "relu", "identity", seed=3)
    options = {"metrics": [largest_error], "monitor": "largest_error", "schedule": lower, "optimizer": Adam(lr=0.02)}
    return net, *draw(8, 1), {"epochs": 40, "validation": draw(8, 1, 50), "patience": 8, "every": 3, **options}


def tiny():
    net = Net([3, 4, 1], "tanh", "identity", seed=4)
    return net, *draw(3, 1, 40), {"epochs": 200, "optimizer": "sgd", "batch_size": 4, "tol": 1e-6, "every": 7}


def loss_patience():
    net = Net([3, 4, 1], "tanh", "identity", seed=5)
    return net, *draw(3, 1, 40), {"epochs": 200, "optimizer": "rmsprop", "batch_size": 4, "patience": 4, "every": 5}


def wide():
    net = Net([30, 512, 512, 2], "relu", "identity", seed=6)
    return net, *draw(30, 2), {"epochs": 12, "schedule": "cosine", "every": 2, "sample_weight": np.linspace(0, 1, 300)}


CASES = {case.__name__: case for case in (early_stopping, plateau, metric, tiny, loss_patience, wide)}


def start(case, path=None, **more):
    """Run a case from the top, as a program that is started does."""
    net, X, Y, options = CASES[case]()
    every = options.pop("every", 1)
    kept = {} if path is None else {"checkpoint": path, "every": every}
    return net, net.fit(X, Y, **options | kept | more)


def result(net, history):
    """All that a run leaves, as arrays."""
    rule, steps, slots = net._core.read_optimizer_state()
    numbers = [history.loss, history.validation_loss, history.learning_rate, *history.metrics.values()]
    predictions = net.predict(CASES_X[net.config.features])
    return [net.parameters, predictions, *slots, *numbers], (rule, steps, net.epochs_trained, history.stopped)


CASES_X = {features: draw(features, 1)[0] for features in (3, 8, 30)}


def differing(run, expected):
    """What is not the same, to the last bit."""
    arrays, values = result(*run)
    others, expected_values = result(*expected)
    pairs = zip(arrays, others, strict=True)
    unequal = [
        i for i, (a, b) in enumerate(pairs) if (None if a is None else a.tobytes()) != (b if b is None else b.tobytes())
    ]
    return unequal + [(a, b) for a, b in zip(values, expected_values, strict=True) if a != b]


class Break(Exception):
    """Ends a fit as a kill would: nothing more is written."""


def raise_break(state):
    raise Break


def raise_break_at_5(state):
    if state.epoch == 5:
        raise Break
