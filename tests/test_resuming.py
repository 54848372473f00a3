"""10 + 10 epochs are 20, bit for bit, for every optimizer and schedule, also by way of a file."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, Net, RMSprop
from chainrule.optimizers import OPTIMIZERS
from chainrule.schedules import Cosine, Exponential, InverseScaling, ReduceOnPlateau, Step
from helpers import name_of

RULES = [SGD(momentum=0.9, nesterov=True), RMSprop(momentum=0.5), *OPTIMIZERS]
SCHEDULES = [
    Step(every=6, factor=0.5),
    Exponential(0.9),
    Cosine(epochs=15, warmup=3),
    InverseScaling(),
    ReduceOnPlateau(factor=0.5, patience=0, tol=0.2),
    lambda epoch, lr: lr * 0.95,
]

#: Rows in lanes, and layer by layer.
SIZES = [[4, 9, 2], [40, 30, 20, 2]]


def build(sizes, dtype):
    return Net(sizes, hidden="silu", output="identity", dtype=dtype, dropout=0.2, input_noise=0.1, seed=5)


def data(sizes, rows=70):
    random = np.random.default_rng(2)
    return random.standard_normal((rows, sizes[0])), random.standard_normal((rows, 2)), random.random(rows)


def check_that_parts_are_the_whole(tmp_path, sizes, dtype, **options):
    X, Y, weights = data(sizes)
    whole, parts = build(sizes, dtype), build(sizes, dtype)
    options |= {"sample_weight": weights, "l1": 1e-3, "clip_norm": 1.0, "max_norm": 2.0}
    history = whole.fit(X, Y, epochs=20, **options)
    first = parts.fit(X, Y, epochs=10, **options)
    parts.save(tmp_path / "half.safetensors")
    loaded = Net.load(tmp_path / "half.safetensors")
    for net in (parts, loaded):
        second = net.fit(X, Y, epochs=10, **options)
        np.testing.assert_array_equal(net.parameters, whole.parameters)
        np.testing.assert_array_equal(np.concatenate([first.loss, second.loss]), history.loss)
        rates = np.concatenate([first.learning_rate, second.learning_rate])
        np.testing.assert_array_equal(rates, history.learning_rate)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", RULES, ids=str)
def test_with_every_optimizer(tmp_path, sizes, dtype, optimizer):
    batch_size = None if optimizer == "rprop" else 16
    check_that_parts_are_the_whole(tmp_path, sizes, dtype, optimizer=optimizer, batch_size=batch_size)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_with_every_schedule(tmp_path, sizes, schedule):
    # A callable cannot be saved, but its last rate is.
    check_that_parts_are_the_whole(tmp_path, sizes, "float32", schedule=schedule, batch_size=16)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_files_saved_within_epochs_go_on_there(tmp_path, sizes):
    X, Y, _ = data(sizes, rows=5000)
    whole, parts = build(sizes, "float32"), build(sizes, "float32")
    history = whole.fit(X, Y, epochs=3, batch_size=7)
    losses, breaks = [], 0
    while parts.epochs_trained < 3:
        part = parts.fit(X, Y, epochs=3 - parts.epochs_trained, batch_size=7, time_limit=1e-3)
        losses += part.loss.tolist()
        breaks += part.stopped == "time"
        parts.save(tmp_path / "part.safetensors")
        parts = Net.load(tmp_path / "part.safetensors")
    assert breaks > 0
    np.testing.assert_array_equal(parts.parameters, whole.parameters)
    np.testing.assert_array_equal(losses, history.loss)
