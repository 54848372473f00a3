"""Activation functions and their derivatives, the latter written in terms of the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..trace import Array

__all__ = ["ACTIVATIONS", "Activation"]


class Activation(NamedTuple):
    """One activation A = g(H) of a layer.

    Attributes
    ----------
    function : callable, H -> A
    backward : callable, (A, dA) -> dH
        The chain rule through g: dL/dH from dL/dA, which is dA * g'(H) where g acts on
        each unit alone. Both are (rows, units).
    """

    function: Callable[[Array], Array]
    backward: Callable[[Array, Array], Array]


def sigmoid(H: Array) -> Array:
    """1 / (1 + e^-H); an overflow of e^-H to infinity gives the right limit, 0."""
    return 1 / (1 + np.exp(-H))


def softmax(H: Array) -> Array:
    """e^H_k / sum_j e^H_j in each row, with the row's largest H taken off so that nothing overflows."""
    E: Array = np.exp(H - H.max(axis=1, keepdims=True))
    E /= E.sum(axis=1, keepdims=True)
    return E


def softmax_backward(A: Array, dA: Array) -> Array:
    """dH_j = sum_k dA_k A_k ([j = k] - A_j), the full Jacobian: every output depends on every logit."""
    mean: Array = (dA * A).sum(axis=1, keepdims=True)
    return A * (dA - mean)


ACTIVATIONS = {
    "identity": Activation(lambda H: H, lambda A, dA: dA),
    "sigmoid": Activation(sigmoid, lambda A, dA: dA * A * (1 - A)),
    "tanh": Activation(np.tanh, lambda A, dA: dA * (1 - A * A)),
    # The derivative at 0, where there is none, is taken as 0.
    "relu": Activation(lambda H: np.maximum(H, 0), lambda A, dA: dA * (A > 0)),
    "softmax": Activation(softmax, softmax_backward),
}
