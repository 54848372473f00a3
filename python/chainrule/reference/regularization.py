"""Penalties, clipping and limits, as one step of `fit` applies them, in the order in which they stand here.

Norms are taken in float64, where the squares of float32 numbers cannot overflow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DivergenceError
from ..regularization import Regularization
from ..trace import Array
from .optimizers import all_finite

__all__ = ["add_penalties", "clip_gradients", "limit_weights"]


def add_penalties(gradients: Array, parameters: Array, settings: Regularization) -> None:
    """Add l1 sign(w) + l2 w to the gradients g of those parameters w that are penalised."""
    if settings.l1 > 0:
        gradients += settings.l1 * np.sign(parameters)
    if settings.l2 > 0:
        gradients += settings.l2 * parameters


def clip_gradients(gradients: Array, settings: Regularization) -> None:
    """Bring each number into [-clip_value, clip_value], then multiply all by clip_norm / max(|g|, clip_norm).

    Raises
    ------
    DivergenceError
        The gradient is not finite, which clipping would hide.
    """
    if settings.clip_value is None and settings.clip_norm is None:
        return
    if not all_finite(gradients):
        raise DivergenceError("the gradient is not finite")
    if settings.clip_value is not None:
        np.clip(gradients, -settings.clip_value, settings.clip_value, out=gradients)
    if settings.clip_norm is not None:
        norm = float(np.linalg.norm(gradients.astype(np.float64)))
        gradients *= settings.clip_norm / max(norm, settings.clip_norm)


def limit_weights(weights: Sequence[Array], settings: Regularization) -> None:
    """Multiply each column W_j, the weights that enter unit j, by max_norm / max(|W_j|, max_norm)."""
    if settings.max_norm is None:
        return
    for W in weights:
        norms = np.linalg.norm(W.astype(np.float64), axis=0)
        W *= settings.max_norm / np.maximum(norms, settings.max_norm)
