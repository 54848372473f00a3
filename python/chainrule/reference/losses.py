"""Loss of each row, and its gradient.

References
----------
huber : Huber, *Robust Estimation of a Location Parameter*, 1964.
quantile : Koenker and Bassett, *Regression Quantiles*, 1978.
cross_entropy with label smoothing : Szegedy et al., *Rethinking the Inception Architecture*, 2016, section 7.
hinge : Cortes and Vapnik, *Support-Vector Networks*, 1995.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..losses import Loss as LossRule
from ..trace import Array

__all__ = ["LOSSES", "Loss", "loss_of"]


class Loss(NamedTuple):
    """One loss: what each output costs, and its slope.

    Attributes
    ----------
    value : callable, (H, A, Y) -> (rows, outputs)
        From the output layer's preactivations H (the logits), its activations A and the
        targets Y, all (rows, outputs); for quantile Y has fewer columns.
    gradient : callable, (A, Y) -> (rows, outputs)
        dl/dA; or dl/dH for a `from_logits` loss.
    from_logits : bool
        Whether loss and activation are one formula of the logits. Taken apart, the
        logarithm of a saturated output would be infinite and the gradient 0 / 0.
    """

    value: Callable[[Array, Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    from_logits: bool = False

    def of_rows(self, H: Array, A: Array, Y: Array) -> Array:
        """Sum over the outputs of each row, (rows,)."""
        total: Array = self.value(H, A, Y).sum(axis=1)
        return total


def huber(delta: float) -> Loss:
    """D^2 / 2 where |D| <= delta, else delta (|D| - delta / 2), with D = A - Y; the slope is D, clipped."""

    def value(H: Array, A: Array, Y: Array) -> Array:
        slope = gradient(A, Y)
        return slope * (A - Y - slope / 2)

    def gradient(A: Array, Y: Array) -> Array:
        return np.clip(A - Y, -delta, delta)

    return Loss(value, gradient)


def quantile(*tau: float) -> Loss:
    """Max(tau E, (tau - 1) E) with E = Y - A.

    Each column of Y has one output after the other for every tau.
    """

    def errors(A: Array, Y: Array) -> tuple[Array, Array]:
        each_tau: Array = np.tile(np.asarray(tau, A.dtype), Y.shape[1])
        return each_tau, np.repeat(Y, len(tau), axis=1) - A

    def value(H: Array, A: Array, Y: Array) -> Array:
        each_tau, E = errors(A, Y)
        return np.maximum(each_tau * E, (each_tau - 1) * E)

    def gradient(A: Array, Y: Array) -> Array:
        each_tau, E = errors(A, Y)
        return (E < 0) * (1 - each_tau) - (E > 0) * each_tau

    return Loss(value, gradient)


def log_cosh() -> Loss:
    """log((e^D + e^-D) / 2) with D = A - Y, without the power that would overflow."""
    return Loss(lambda H, A, Y: np.logaddexp(A - Y, Y - A) - math.log(2), lambda A, Y: np.tanh(A - Y))


def poisson() -> Loss:
    """Poisson's A - Y log A with A = e^H: the negative log-likelihood of its distribution, without log Y!."""
    return Loss(lambda H, A, Y: A - Y * H, lambda A, Y: A - Y, from_logits=True)


def log_loss() -> Loss:
    """-Y log A - (1 - Y) log(1 - A) with A = sigmoid(H), that is log(1 + e^H) - Y H, without e^H for H > 0."""
    return Loss(
        lambda H, A, Y: np.maximum(H, 0) - Y * H + np.log1p(np.exp(-np.abs(H))),
        lambda A, Y: A - Y,
        from_logits=True,
    )


def cross_entropy(smoothing: float) -> Loss:
    """-sum_k T_k log A_k with A = softmax(H), that is sum_k T_k (log sum_j e^H_j - H_k), H less its row's largest.

    T_k is (1 - smoothing) Y_k + smoothing / classes sum_j Y_j.
    """

    def smoothed(Y: Array) -> Array:
        alike: Array = Y.mean(axis=1, keepdims=True)
        return (1 - smoothing) * Y + smoothing * alike

    def value(H: Array, A: Array, Y: Array) -> Array:
        H = H - H.max(axis=1, keepdims=True)
        log_sum: Array = np.log(np.exp(H).sum(axis=1, keepdims=True))
        return smoothed(Y) * (log_sum - H)

    def gradient(A: Array, Y: Array) -> Array:
        # The targets of a row sum to 1, but for the rounding of soft ones.
        total: Array = Y.sum(axis=1, keepdims=True)
        return A * total - smoothed(Y)

    return Loss(value, gradient, from_logits=True)


def hinge() -> Loss:
    """max(0, 1 - Z A) with Z = 1 where Y > 0, else -1."""

    def signs(Y: Array) -> Array:
        return np.where(Y > 0, 1, -1).astype(Y.dtype)

    def value(H: Array, A: Array, Y: Array) -> Array:
        return np.maximum(0, 1 - signs(Y) * A)

    def gradient(A: Array, Y: Array) -> Array:
        Z = signs(Y)
        return -Z * (Z * A < 1)

    return Loss(value, gradient)


#: Every loss by its name, made from its constants. Where it has a kink, its slope is taken as 0.
LOSSES: dict[str, Callable[..., Loss]] = {
    "squared_error": lambda: Loss(lambda H, A, Y: np.square(A - Y), lambda A, Y: 2 * (A - Y)),
    "half_squared_error": lambda: Loss(lambda H, A, Y: 0.5 * np.square(A - Y), lambda A, Y: A - Y),
    "absolute_error": lambda: Loss(lambda H, A, Y: np.abs(A - Y), lambda A, Y: np.sign(A - Y)),
    "huber": huber,
    "quantile": quantile,
    "log_cosh": log_cosh,
    "poisson": poisson,
    "log_loss": log_loss,
    "cross_entropy": cross_entropy,
    "hinge": hinge,
}


def loss_of(rule: LossRule) -> Loss:
    """Return the formulas of a loss, with its constants in them."""
    return LOSSES[rule.name](*rule.constants)
