"""Arrays as the reference net takes them: shapes checked, labels turned into one-hot rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config import NetConfig
from ..trace import Array

__all__ = ["read_rows", "read_targets", "read_weights"]

Check: TypeAlias = Callable[[NDArray[Any]], NDArray[np.bool_]]

PROBABILITIES: tuple[Check, str] = (lambda Y: (Y >= 0) & (Y <= 1), "probabilities, from 0 to 1")
#: What targets may be where a loss does not take any number.
VALUES_OF_TARGETS: dict[str, tuple[Check, str]] = {
    "log_loss": PROBABILITIES,
    "cross_entropy": PROBABILITIES,
    "poisson": (lambda Y: Y >= 0, "at least 0 for the loss poisson"),
    "hinge": (lambda Y: np.isin(Y, (-1, 0, 1)), "1, and -1 or 0, for the loss hinge"),
}


def read_rows(config: NetConfig, X: ArrayLike, name: str = "X") -> NDArray[Any]:
    """Return X as an array (rows, features) of whatever dtype it has."""
    rows = _as_numbers(X, name)
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(
            f"{name} must have the shape (rows, {config.features}) with at least one row; got {rows.shape}"
        )
    if rows.shape[1] != config.features:
        raise ValueError(f"{name} has {rows.shape[1]} features, but the net has {config.features} inputs")
    _check_finite(config, rows, name)
    return rows


def read_targets(config: NetConfig, Y: ArrayLike, rows: int) -> Array:
    """Return Y as (rows, target columns) in the net's dtype; class indices become one-hot rows."""
    targets = _as_numbers(Y, "Y")
    expected = (rows, config.target_columns)
    if config.loss.name == "cross_entropy" and targets.shape in ((rows,), (rows, 1)):
        targets = _one_hot(targets.ravel(), config.outputs)
    elif targets.ndim == 1 and config.target_columns == 1:
        targets = targets[:, np.newaxis]
    if targets.shape != expected:
        raise ValueError(f"Y must have the shape {expected} for {rows} rows; got {np.shape(Y)}")
    _check_finite(config, targets, "Y")
    _check_values(config.loss.name, targets)
    return targets.astype(config.dtype, copy=False)


def read_weights(config: NetConfig, sample_weight: ArrayLike | None, rows: int) -> Array:
    """Return the weight of each row, (rows,) in the net's dtype; 1 where none are given."""
    if sample_weight is None:
        return np.ones(rows, config.dtype)
    weights = _as_numbers(sample_weight, "sample_weight")
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight must have the shape {(rows,)} for {rows} rows; got {weights.shape}")
    _check_finite(config, weights, "sample_weight")
    least, most = (1e-30, 1e30) if config.dtype == "float32" else (1e-290, 1e290)
    lowest, highest = float(weights.min()), float(weights.max())
    if lowest < 0 or highest > most:
        raise ValueError(f"sample_weight must be from 0 to {most:g}; it is from {lowest!r} to {highest!r}")
    if highest < least:
        raise ValueError(f"sample_weight must not be zero for every row, or below {least:g}")
    return weights.astype(config.dtype, copy=False)


def _as_numbers(given: ArrayLike, name: str) -> NDArray[Any]:
    """Return an array of real numbers; NumPy would make some of text, dates and complex numbers, too."""
    array = np.asarray(given)
    if hasattr(given, "mask"):
        raise TypeError(f"{name} must not be masked; fill the masked values first")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; allowed are bool, integers and floats")
    return array


def _check_finite(config: NetConfig, given: NDArray[Any], name: str) -> None:
    """Raise ValueError, naming the first, if numbers are not finite in the net's dtype."""
    if given.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = np.argwhere(~np.isfinite(given.astype(config.dtype, copy=False)))
    if len(bad):
        row, column = (*bad[0], 0)[:2]
        value = float(given[tuple(bad[0])])
        raise ValueError(f"{name} must be finite as {config.dtype}; it is {value!r} at row {row}, column {column}")


def _check_values(loss: str, targets: NDArray[Any]) -> None:
    if loss not in VALUES_OF_TARGETS:
        return
    are_allowed, allowed = VALUES_OF_TARGETS[loss]
    bad = np.argwhere(~are_allowed(targets))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"Y must be {allowed}; it is {float(targets[row, column])!r} at row {row}, column {column}")


def _one_hot(labels: NDArray[Any], classes: int) -> Array:
    if labels.dtype.kind not in "bui":
        raise TypeError(f"Y must hold integer class indices or be (rows, {classes}); got dtype {labels.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"Y must hold class indices from 0 to {classes - 1}; got {labels.min()} to {labels.max()}")
    one_hot: Array = np.eye(classes)[labels.astype(np.intp)]
    return one_hot
