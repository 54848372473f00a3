"""Loss of each row, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..trace import Array

__all__ = ["LOSSES", "Loss"]


class Loss(NamedTuple):
    """One loss, summed over the outputs of a row.

    Attributes
    ----------
    of_rows : callable, (H, A, Y) -> (rows,)
        From the output layer's preactivations H (the logits), its activations A and the
        targets Y, all (rows, outputs).
    gradient : callable, (A, Y) -> (rows, outputs)
        dl/dA; or dl/dH for a `from_logits` loss.
    from_logits : bool
        Whether loss and activation are one formula of the logits. Taken apart, the
        logarithm of a saturated output would be infinite and the gradient 0 / 0.
    """

    of_rows: Callable[[Array, Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    from_logits: bool = False


def over_outputs(losses: Array) -> Array:
    """Sum over the outputs of each row, (rows,)."""
    total: Array = losses.sum(axis=1)
    return total


def squared_error(H: Array, A: Array, Y: Array) -> Array:
    """Sum over the outputs of (A - Y)^2."""
    return over_outputs(np.square(A - Y))


def half_squared_error(H: Array, A: Array, Y: Array) -> Array:
    """Half of `squared_error`, so that the gradient is A - Y."""
    return 0.5 * over_outputs(np.square(A - Y))


def log_loss(H: Array, A: Array, Y: Array) -> Array:
    """-Y log A - (1 - Y) log(1 - A) with A = sigmoid(H), that is log(1 + e^H) - Y H, without e^H for H > 0."""
    return over_outputs(np.maximum(H, 0) - Y * H + np.log1p(np.exp(-np.abs(H))))


def cross_entropy(H: Array, A: Array, Y: Array) -> Array:
    """-sum_k Y_k log A_k with A = softmax(H), that is sum_k Y_k (log sum_j e^H_j - H_k), H less its row's largest."""
    H = H - H.max(axis=1, keepdims=True)
    return over_outputs(Y * (np.log(np.exp(H).sum(axis=1, keepdims=True)) - H))


LOSSES = {
    "squared_error": Loss(squared_error, lambda A, Y: 2 * (A - Y)),
    "half_squared_error": Loss(half_squared_error, lambda A, Y: A - Y),
    "log_loss": Loss(log_loss, lambda A, Y: A - Y, from_logits=True),
    # The targets of a row sum to 1, but for the rounding of soft ones.
    "cross_entropy": Loss(cross_entropy, lambda A, Y: A * Y.sum(axis=1, keepdims=True) - Y, from_logits=True),
}
