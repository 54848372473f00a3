"""Where nets write to: `out` is filled exactly or refused untouched, and parameters are set from any memory."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import assume, given
from hypothesis import strategies as st

from chainrule import Net
from strategies import (
    ACCEPTED,
    SEEDS,
    assert_same_bits,
    contiguous,
    layouts,
    memory_of,
    net_arguments,
    numbers,
    placed,
    share_of_examples,
)


def is_a_place_for_outputs(out, dtype):
    """What the documentation asks for: writable, aligned, outputs side by side, rows apart."""
    rows, outputs = out.shape
    apart = rows == 1 or (abs(out.strides[0]) >= outputs * out.itemsize and out.strides[0] % out.itemsize == 0)
    side_by_side = outputs == 1 or out.strides[1] == out.itemsize
    begins_well = out.ctypes.data % out.itemsize == 0
    return out.dtype == dtype and out.flags.writeable and begins_well and side_by_side and apart


@share_of_examples(5)
@given(
    arguments=net_arguments(),
    rows=st.integers(1, 20),
    place=st.tuples(st.integers(0, 3), st.sampled_from([1, -1, 0]), st.sampled_from([0, 4, 8, 3]), st.booleans()),
    random_layout=st.booleans(),
    other=st.sampled_from([None, None, "float32", "float64", "float16", "int32"]),
    draws=st.data(),
)
def test_out_is_filled_exactly_or_refused_untouched(arguments, rows, place, random_layout, other, draws):
    net = Net(**arguments)
    dtype, outputs = net.config.dtype, net.config.outputs
    X, values = np.ones((rows, net.config.features)), np.full((rows, outputs), 7, other or dtype)
    if random_layout:
        out = draws.draw(layouts(values))
    else:
        gap, sign, before, writable = place
        out = placed(values, (sign * (outputs + gap) * values.itemsize, values.itemsize), before, writable)
    everything = memory_of(out).copy()
    try:
        result = net.predict(X, out=out)
    except (TypeError, ValueError):
        np.testing.assert_array_equal(memory_of(out), everything)
        assert not is_a_place_for_outputs(out, dtype)
        return
    assert is_a_place_for_outputs(out, dtype)
    assert result is out
    assert_same_bits([out], [net.predict(X)])
    out[...] = 7
    np.testing.assert_array_equal(memory_of(out), everything)


@share_of_examples(5)
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    rows=st.integers(1, 6),
    starts=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    strides=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
)
def test_out_in_the_memory_of_the_inputs_overlaps_them_or_not(sizes, rows, starts, strides):
    net = Net(sizes, hidden=[], seed=0)
    memory = np.linspace(-1, 1, 120, dtype=np.float32)
    X, out = (
        np.ndarray((rows, width), np.float32, memory, 4 * (40 + start), (4 * stride, 4))
        for width, start, stride in zip(sizes, starts, strides, strict=True)
    )
    before, expected = memory.copy(), net.predict(X.copy())
    of_X, of_out = (
        {start + row * stride + column for row in range(rows) for column in range(width)}
        for width, start, stride in zip(sizes, starts, strides, strict=True)
    )
    if of_X & of_out or len(of_out) < out.size:
        with pytest.raises(ValueError, match="overlap"):
            net.predict(X, out=out)
        np.testing.assert_array_equal(memory, before)
    elif rows == 1 or abs(strides[1]) >= sizes[1]:
        assert_same_bits([net.predict(X, out=out)], [expected])


SETTERS = {
    "parameters": lambda net, values: setattr(net, "parameters", values.ravel()),
    "gradients": lambda net, values: setattr(net, "gradients", values.ravel()),
    "weights": lambda net, values: net.weights.__setitem__(0, values),
    "weight_gradients": lambda net, values: net.weight_gradients.__setitem__(0, values),
    "init": lambda net, values: setattr(net, "parameters", Net([5, 4], init=[values], bias=False).parameters),
    "in place": lambda net, values: net.weights[0].__iadd__(values),
}


@pytest.mark.parametrize("way", SETTERS)
@given(dtype=st.sampled_from(ACCEPTED), seed=SEEDS, draws=st.data())
def test_parameters_are_set_from_any_layout_and_dtype(way, dtype, seed, draws):
    values = draws.draw(layouts(numbers(np.random.default_rng(seed), dtype, (5, 4))))
    assume(way != "in place" or np.can_cast(dtype, np.float32, "same_kind"))
    net, plain = (Net([5, 4], hidden=[], bias=False, seed=0) for _ in range(2))
    # In place NumPy adds in the larger of the two precisions.
    copy = contiguous(values) if way == "in place" else contiguous(values).astype(np.float32)
    for each, array in ((net, values), (plain, copy)):
        each.gradients = np.zeros(20)
        SETTERS[way](each, array)
    assert_same_bits([net.parameters, net.gradients], [plain.parameters, plain.gradients])
    flat = [view.ravel() for view in (net.weights[0], net.weight_gradients[0])]
    assert_same_bits(flat, [net.parameters, net.gradients])
