"""`predict(X, out=...)`: where predictions go, and what is refused as a place for them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from chainrule import Net
from helpers import FEATURES, OUTPUTS, ROWS, name_of
from layouts import LAYOUTS, misaligned, odd_row_stride, read_only


def test_is_filled_and_returned(net, X):
    out = np.full((ROWS, OUTPUTS), np.nan, np.float32)
    assert net.predict(X, out=out) is out
    np.testing.assert_array_equal(out, net.predict(X))
    one = np.empty(OUTPUTS, np.float32)
    assert net.predict(X[0], out=one) is one
    np.testing.assert_array_equal(one, out[0])


@pytest.mark.parametrize(
    "shape_out",
    [
        lambda memory: memory[2 : 2 + ROWS, 3 : 3 + OUTPUTS],
        lambda memory: memory[1 : 1 + 2 * ROWS : 2, :OUTPUTS],
        lambda memory: memory[2 * ROWS - 1 : ROWS - 1 : -1, :OUTPUTS],
    ],
    ids=["window", "every second row", "rows backwards"],
)
def test_rows_apart_leave_the_rest_alone(net, X, shape_out):
    memory = np.full((2 * ROWS + 2, 8), 7, np.float32)
    out = shape_out(memory)
    assert net.predict(X, out=out) is out
    np.testing.assert_array_equal(out, net.predict(X))
    out[...] = 7
    assert (memory == 7).all()


@pytest.mark.parametrize("outputs", [1, 3, 7, 16, 17, 33])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_written_beyond_the_last_column(outputs, dtype):
    net = Net([2, outputs], hidden=[], dtype=dtype)
    memory = np.full((9, outputs + 40), 7, dtype)
    net.predict(np.ones((9, 2)), out=memory[:, 20 : 20 + outputs])
    assert (memory[:, :20] == 7).all()
    assert (memory[:, 20 + outputs :] == 7).all()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", ">f4", "complex64", object])
def test_wrong_dtype(net, X, dtype):
    out = np.zeros((ROWS, OUTPUTS), dtype)
    with pytest.raises(TypeError, match=r"out must be a NumPy array of dtype float32; got ndarray of dtype"):
        net.predict(X, out=out)
    assert not out.any()


@pytest.mark.parametrize("given", [[[0.0] * OUTPUTS] * ROWS, bytearray(48), 3, "out"], ids=str)
def test_no_array(net, X, given):
    with pytest.raises(TypeError, match="out must be a NumPy array of dtype float32; got "):
        net.predict(X, out=given)


@pytest.mark.parametrize("shape", [(ROWS, OUTPUTS + 1), (ROWS - 1, OUTPUTS), (OUTPUTS, ROWS), (12,), (1, 6, 2), ()])
def test_wrong_shape(net, X, shape):
    out = np.full(shape, 7, np.float32)
    with pytest.raises(ValueError, match=r"out has shape .*; expected \(6, 2\)"):
        net.predict(X, out=out)
    assert (out == 7).all()


def test_wrong_shape_for_one_row(net, X):
    with pytest.raises(ValueError, match=r"out has shape \(1, 2\); expected \(2,\)"):
        net.predict(X[0], out=np.zeros((1, OUTPUTS), np.float32))


def test_read_only(net, X):
    with pytest.raises(ValueError, match="out is read-only"):
        net.predict(X, out=read_only(np.zeros((ROWS, OUTPUTS), np.float32)))


@pytest.mark.parametrize(
    "lay_out", [np.asfortranarray, misaligned, odd_row_stride, LAYOUTS["columns backwards"]], ids=name_of
)
def test_layouts_that_would_need_a_copy(net, X, lay_out):
    with pytest.raises(ValueError, match="out must be aligned and have the outputs of a row side by side"):
        net.predict(X, out=lay_out(np.zeros((ROWS, OUTPUTS), np.float32)))


@pytest.mark.parametrize("row_stride", [0, 4, -4])
def test_rows_that_overlap_each_other(net, X, row_stride):
    memory = np.zeros(40, np.float32)[20:]
    with pytest.raises(ValueError, match="the rows of out overlap"):
        net.predict(X, out=as_strided(memory, (ROWS, OUTPUTS), (row_stride, 4)))


def test_overlap_with_the_input(net, X):
    memory = np.zeros((ROWS, 8), np.float32)
    memory[:, :FEATURES] = X
    given = memory[:, :FEATURES]
    for out in (memory[:, :OUTPUTS], memory[:, 2:4], memory[::-1, 1:3]):
        with pytest.raises(ValueError, match="out overlaps X"):
            net.predict(given, out=out)
    np.testing.assert_array_equal(given, X)
    # Beside each other in the same memory they do not overlap.
    np.testing.assert_array_equal(net.predict(given, out=memory[:, 4:6]), net.predict(X))


def test_overlap_of_one_row():
    net = Net([2, 2], hidden=[])
    x = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="out overlaps X"):
        net.predict(x, out=x)


def test_overlap_with_the_parameters():
    net = Net([2, 2], hidden=[], bias=False, seed=0)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match="out overlaps the net's parameters"):
        net.predict(np.ones((2, 2)), out=net.weights[0])
    np.testing.assert_array_equal(net.parameters, before)


def test_errors_in_the_input_leave_it_alone(net, X):
    out = np.full((ROWS, OUTPUTS), 7, np.float32)
    with pytest.raises(ValueError, match="finite"):
        net.predict(X * np.nan, out=out)
    assert (out == 7).all()
