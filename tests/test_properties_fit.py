"""Fits of random nets in random ways: the reference's numbers, and the same bits in parts and with threads."""

from __future__ import annotations

import math
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import assume, event, given
from hypothesis import strategies as st

from chainrule import SGD, DivergenceError, Net, _core, reference
from helpers import relative_error
from strategies import (
    DTYPES,
    ROWS,
    assert_same_bits,
    data,
    fit_options,
    frozen_layers,
    net_arguments,
    share_of_examples,
)


@st.composite
def fits(draw, epochs=4, smooth=False, rows=ROWS, **arguments):
    """Arguments of a net, its frozen layers, data and options of a fit."""
    arguments = draw(net_arguments(smooth=smooth, **arguments))
    config = Net(**arguments).config
    X, Y, w, validation = draw(data(config, rows))
    options = draw(fit_options(len(X), epochs, smooth=smooth)) | {"sample_weight": w, "validation": validation}
    return arguments, draw(frozen_layers(len(config.layer_shapes))), (X, Y), options


def fit(net, frozen, data, options):
    """Fit, and return the losses of the epochs; of one that diverges None, with finite parameters."""
    net.freeze(*frozen)
    try:
        history = net.fit(*data, **options)
    except DivergenceError:
        assert np.isfinite(net.parameters).all()
        return None
    assert history.epochs == options["epochs"]
    return [history.loss, *([] if history.validation_loss is None else [history.validation_loss])]


def error(net, losses, other, other_losses):
    """How far two fits are apart; infinite where one of them diverged."""
    if losses is None or other_losses is None:
        return math.inf
    pairs = [(net.parameters, other.parameters), *zip(losses, other_losses, strict=True)]
    return max(relative_error(*pair) for pair in pairs)


def fit_from(net_class, start, arguments, frozen, data, options):
    net = net_class(**arguments)
    net.parameters[:] = start
    return net, fit(net, frozen, data, options)


# The reference.


@share_of_examples(4)
@given(fits(dtype=st.just("float64")))
def test_fits_in_float64_are_those_of_the_reference(drawn):
    arguments, start = drawn[0], Net(**drawn[0]).parameters + 0.05
    ours = fit_from(Net, start, *drawn)
    theirs = fit_from(reference.Net, start, *drawn)
    # A step to the next number shows what rounding can do: nothing is said of fits that magnify it beyond measure.
    moved = fit_from(reference.Net, start * (1 + 1e-15), *drawn)
    sensitivity = error(*theirs, *moved)
    event(f"rounding grows to 1e{math.log10(sensitivity + 1e-17):.0f}" if sensitivity < math.inf else "diverges")
    if theirs[1] is None and moved[1] is None:
        assert ours[1] is None
        return
    # Nor of weights so large that slopes next to 0, which the core takes from the outputs of elu, come to count.
    assume(sensitivity < 1e-9 and np.abs(theirs[0].parameters).max() < 100)
    assert error(*ours, *theirs) < 1e-10 + 1e3 * sensitivity, arguments


@share_of_examples(4)
@given(fits(dtype=st.just("float32"), smooth=True))
def test_fits_in_float32_are_as_near_to_those_in_float64_as_numpys(drawn):
    arguments, *rest = drawn
    start = Net(**arguments).parameters + np.float32(0.05)
    ours, theirs = fit_from(Net, start, *drawn), fit_from(reference.Net, start, *drawn)
    exact = fit_from(reference.Net, start, {**arguments, "dtype": "float64"}, *rest)
    moved = fit_from(reference.Net, start * np.float32(1 + 1e-6), *drawn)
    roundings = [error(*other, *exact) for other in (theirs, moved)]
    assume(max(roundings) < 1e-3)
    assert error(*ours, *exact) < 1e-4 + 30 * max(roundings)


# The same bits.


@share_of_examples(4)
@given(fits(epochs=20, rows=st.integers(1, 12)), st.lists(st.integers(1, 19), min_size=1, max_size=3, unique=True))
def test_parts_of_a_fit_are_the_whole_bit_for_bit(drawn, breaks):
    arguments, frozen, arrays, options = drawn
    whole, parts = Net(**arguments), Net(**arguments)
    losses = fit(whole, frozen, arrays, options)
    breaks = [0, *sorted(breaks), 20] if losses else [0]
    of_parts = [fit(parts, frozen, arrays, options | {"epochs": end - start}) for start, end in pairwise(breaks)]
    assume(losses is not None)
    assert_same_bits([parts.parameters, *map(np.concatenate, zip(*of_parts, strict=True))], [whole.parameters, *losses])
    assert parts.epochs_trained == 20


def run_with_threads(count, arguments, frozen, arrays, options):
    """Everything that a fit, a step and a prediction leave, with as many threads."""
    with mock.patch.object(_core, "thread_limit", return_value=count):  # more than this machine has, too
        net = Net(**arguments, threads=count)
        losses = fit(net, frozen, arrays, options)
        assume(losses is not None)
        loss = net.step(*arrays, "adam", options["sample_weight"])
        return [*losses, loss, net.gradients, net.predict(arrays[0]), net.input_gradient(*arrays), net.parameters]


@st.composite
def large_fits(draw):
    """Nets and minibatches that are worth sharing."""
    sizes = draw(st.lists(st.integers(40, 200), min_size=2, max_size=3))
    arguments = draw(net_arguments(dtype=DTYPES)) | {"sizes": [*sizes, 2 * draw(st.integers(1, 20))]}
    layers = len(sizes) - 1
    arguments |= {"hidden": draw(st.sampled_from(["tanh", "relu", "gelu"]))}
    arguments["dropout"] = draw(st.sampled_from([0.0, 0.3])) if layers else 0.0
    config = Net(**arguments).config
    X, Y, w, validation = draw(data(config, st.integers(100, 600)))
    options = draw(fit_options(len(X), 2)) | {"sample_weight": w, "validation": validation}
    if options["batch_size"] is not None:
        options["batch_size"] = max(64, options["batch_size"])
    return arguments, draw(frozen_layers(len(config.layer_shapes))), (X, Y), options


@given(large_fits(), st.integers(2, 8))
def test_any_number_of_threads_has_the_bits_of_one(drawn, count):
    assert_same_bits(run_with_threads(count, *drawn), run_with_threads(1, *drawn))


@share_of_examples(4)
@given(fits(), st.integers(0, 3))
def test_a_second_fit_of_the_same_is_the_first(drawn, stop):
    """Nothing hangs over from one net to the next, also from one that a callback stops."""
    arguments, frozen, arrays, options = drawn
    first, second, stopped = Net(**arguments), Net(**arguments), Net(**arguments)
    losses = fit(first, frozen, arrays, options)
    assume(losses is not None)
    stopped.freeze(*frozen)
    history = stopped.fit(*arrays, **options, callback=lambda state: state.epoch > stop)
    assert history.epochs == stop + 1
    assert_same_bits([history.loss], [losses[0][: stop + 1]])
    assert_same_bits(fit(second, frozen, arrays, options), losses)
    assert_same_bits([second.parameters], [first.parameters])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [5, 1, 1, 1], [9, 1, 1, 1], [13, 1, 1, 1], [5, 4, 1, 7]], ids=str)
def test_vectors_that_begin_with_a_weight_and_end_with_its_bias(sizes, dtype):
    """Their gradients were once taken for those of neighbouring inputs, where the ones lay so far behind."""
    arrays = np.linspace(-1, 1, 12 * sizes[0]).reshape(12, -1), np.linspace(-1, 2, 12 * sizes[-1]).reshape(12, -1)
    nets = [kind(sizes, "tanh", "identity", dtype=dtype, seed=1) for kind in (Net, reference.Net)]
    for net in nets:
        net.fit(*arrays, epochs=2, batch_size=5, optimizer=SGD(lr=0.1))
    assert relative_error(nets[0].parameters, nets[1].parameters) < (1e-4 if dtype == "float32" else 1e-10)
