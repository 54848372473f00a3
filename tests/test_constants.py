"""Constants in NumPy's own types, which compute in as many bits as they have, count as Python's numbers."""

import dataclasses

import numpy as np
import pytest

from chainrule import SGD, Adam, AdamW, Net, RMSprop, Rprop, check_gradients
from chainrule.regularization import Regularization
from chainrule.schedules import Cosine, EpochSchedule, Exponential, InverseScaling, ReduceOnPlateau, Step

SMALL = np.uint8(100)


@pytest.mark.parametrize(
    "constants",
    [
        Step(every=SMALL, factor=np.float16(0.5)),
        Exponential(np.float32(0.5)),
        InverseScaling(np.uint8(1)),
        Cosine(epochs=SMALL, warmup=np.int8(50), end=np.float16(0.5), start=np.uint8(5)),
        ReduceOnPlateau(np.float16(0.5), np.uint8(3), np.float16(0.25), np.float16(0.125)),
        SGD(np.float16(0.5), np.float16(0.5), True),
        AdamW(np.float16(0.5), np.float16(0.5), np.float16(0.5), np.float16(0.5)),
        RMSprop(np.float16(0.5), momentum=np.float16(0.5)),
        Rprop(np.float16(0.5), np.float16(0.5), np.uint8(2), np.float16(0.5), SMALL),
        Regularization(l2=np.float16(0.5), max_norm=np.uint8(2)),
    ],
    ids=lambda constants: type(constants).__name__,
)
def test_they_are_kept_as_numbers_of_python(constants):
    assert {type(value) for value in dataclasses.astuple(constants)} <= {int, float, bool, type(None)}


def test_an_epoch_is_not_counted_in_eight_bits():
    # -power, epoch - start, epoch // every and warmup + 1 would be beyond them.
    assert InverseScaling(np.uint8(1)).multiplier(1) == 0.5
    assert Cosine(epochs=100, start=np.uint8(5)).multiplier(0) == 1
    assert Step(every=np.int8(100)).multiplier(199) == 0.1
    assert Cosine(epochs=200, warmup=np.int8(127)).multiplier(126) == 127 / 128


def test_a_step_of_a_gradient_check_is_a_double():
    rng = np.random.default_rng(0)
    net = Net([3, 4, 1], dtype="float64", seed=0)
    X, Y = rng.normal(size=(20, 3)), rng.uniform(size=(20, 1))
    assert check_gradients(net, X, Y, eps=np.float16(1e-3)) < 1e-7
    for eps in ("a", 1j, np.complex128(1 + 2j), np.timedelta64(1, "s")):
        with pytest.raises(TypeError, match="eps must be a number, got "):
            check_gradients(net, X, Y, eps=eps)


@pytest.mark.parametrize("value", [np.timedelta64(1, "s"), np.complex128(1), np.array(0.5), None])
def test_what_is_no_number_is_named(value):
    for make in (SGD, InverseScaling, lambda given: Adam(epsilon=given), lambda given: Regularization(l2=given)):
        with pytest.raises(TypeError, match=r"(lr|power|epsilon|l2) must be a number, got "):
            make(value)


@pytest.mark.parametrize("multiplier", [None, "a", 1j])
def test_a_schedule_of_ones_own_gives_numbers(multiplier):
    class Own(EpochSchedule):
        def multiplier(self, epoch):
            return multiplier

    with pytest.raises(TypeError, match="the multiplier that schedule gives for epoch 0 must be a number, got "):
        Net([3, 1], seed=0).fit(np.ones((4, 3)), np.ones((4, 1)), epochs=1, schedule=Own())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Net([3, 2, 1], dropout=b"\0"), "dropout must be a number"),
        (lambda: Net([3, 2, 1], dropout=np.array(0.5)), "dropout must be a number"),
        (lambda: Net([3, 2, 1], hidden=np.array("tanh")), "hidden must be one activation name or"),
        (lambda: Net([3, 1]).freeze(np.array(0.5)), "a layer must be an integer"),
        (lambda: Net([3, 1]).input_gradient(np.ones((4, 3)), output=1.5), "output must be an integer"),
        (lambda: Net([3, 1]).input_gradient(np.ones((4, 3)), output=True), "output must be an integer"),
        (lambda: fit(checkpoint=3), "checkpoint must be a path"),
        (lambda: fit(checkpoint=b"run"), "checkpoint must be a path"),
        (lambda: fit(every=np.array([1])), "every must be an integer"),
        (lambda: fit(every=True), "every must be an integer"),
        (lambda: fit(callback=lambda state: np.ones(2)), "callback must return True to stop, or False or None"),
    ],
)
def test_arguments_of_another_kind_are_named(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_a_share_beyond_floats_is_named():
    with pytest.raises(ValueError, match=r"validation must be .*; got 1000"):
        fit(validation=10**400)


def fit(**options):
    Net([3, 1], seed=0).fit(np.ones((4, 3)), np.ones((4, 1)), **options)
