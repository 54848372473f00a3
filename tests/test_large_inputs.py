"""What is wrong far within large inputs, which are looked at in pieces: it is found, and its place is named."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import Net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_found_in_the_last_piece(dtype):
    rows, columns = 70_000, 257  # more than is looked at between two looks for Ctrl-C
    net = Net([columns, 1], seed=0, dtype=dtype)
    X = np.ones((rows, columns), dtype)
    X[rows - 2, 3] = np.nan
    with pytest.raises(ValueError, match=f"X must be finite.*; it is nan at row {rows - 2}, column 3"):
        net.predict(X)
    X[rows - 2, 3] = 2
    assert np.isfinite(net.predict(X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_label_out_of_range_is_found(dtype):
    net = Net([1, 2, 3], output="softmax", loss="cross_entropy", dtype=dtype, seed=0)
    labels = np.zeros(1 << 17, np.int64)
    labels[-5] = 3
    with pytest.raises(ValueError, match=rf"Y .*3.*{len(labels) - 5}"):
        net.loss(np.ones((len(labels), 1), dtype), labels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [9, 1 << 17])
def test_targets_that_hinge_cannot_have_are_found(dtype, rows):
    net = Net([1, 2], output="identity", loss="hinge", dtype=dtype, seed=0)
    Y = np.ones((rows, 2), dtype)
    Y[:, 1] = -1
    assert np.isfinite(net.loss(np.ones((rows, 1), dtype), Y))
    Y[rows - 2, 1] = 0.5
    with pytest.raises(ValueError, match=rf"Y must be 1, and -1 or 0, for the loss hinge; it is 0\.5.*{rows - 2}"):
        net.loss(np.ones((rows, 1), dtype), Y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [np.zeros(70_000), np.full(70_000, 1e-300)])
def test_weights_of_nothing_are_refused(dtype, weights):
    net = Net([1, 2], dtype=dtype, seed=0)
    with pytest.raises(ValueError, match="sample_weight must not be zero for every row, or below"):
        net.loss(np.ones((70_000, 1), dtype), np.ones((70_000, 2), dtype), weights)


def test_sparse_rows_of_too_many_features_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_matrix((1, 1 << 31), dtype=np.float32)
    with pytest.raises(ValueError, match="2147483648 features; sparse rows may have 2147483647"):
        Net([3, 1], seed=0).predict(X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "expected"), [(1, r"\(2,\)"), (4, r"\(4, 2\)")])
def test_an_output_of_another_shape_is_refused(dtype, rows, expected):
    net = Net([3, 2], dtype=dtype, seed=0)
    X = np.ones((rows, 3), dtype)
    with pytest.raises(ValueError, match=rf"out has shape \(5,\); expected {expected}"):
        net.predict(X[0] if rows == 1 else X, out=np.empty(5, dtype))
