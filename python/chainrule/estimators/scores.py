"""The scores that early stopping goes by, from a net's outputs; NaN where an output is not finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "decide", "r2"]

Array = NDArray[Any]


def decide(outputs: Array, softmax: bool) -> Array:
    """Return the class of each row (rows,); of several sigmoid outputs 0 or 1 for each, shaped as they are."""
    if softmax:
        classes: Array = outputs.argmax(axis=1)
        return classes
    decisions = (outputs > 0.5).astype(np.intp)
    return decisions[:, 0] if outputs.shape[1] == 1 else decisions


def accuracy(targets: Array, decisions: Array, weights: Array | None) -> float:
    """Return the weighted share of the rows that are right, in all their columns."""
    right = decisions == targets
    return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=weights))


def r2(targets: Array, outputs: Array, weights: Array | None) -> float:
    """Return ``1 - sum w (y - yhat)^2 / sum w (y - mean)^2``, averaged over the columns.

    A column of equal targets scores 1 where it is met exactly, else 0.
    """
    if len(targets) < 2 or not np.isfinite(outputs).all():
        return math.nan
    y = targets.reshape(len(targets), -1).astype(np.float64)
    w = np.ones((len(y), 1)) if weights is None else weights.reshape(-1, 1)
    with np.errstate(over="ignore"):  # of a net that diverges; -inf is a score
        residual = (w * (y - outputs.reshape(y.shape)) ** 2).sum(axis=0)
    spread = (w * (y - np.average(y, axis=0, weights=w[:, 0])) ** 2).sum(axis=0)
    # The mean of equal numbers may be off by a rounding error.
    varies = (np.ptp(y[w[:, 0] > 0], axis=0) > 0) & (spread > 0)
    return float(np.where(varies, 1 - residual / np.where(varies, spread, 1), residual == 0).mean())
