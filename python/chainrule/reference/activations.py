"""Activation functions, and the chain rule through each of them.

References
----------
hard_sigmoid : Howard et al., *Searching for MobileNetV3*, 2019.
leaky_relu : Maas, Hannun and Ng, *Rectifier Nonlinearities Improve Neural Network Acoustic Models*, 2013.
elu : Clevert, Unterthiner and Hochreiter, *Fast and Accurate Deep Network Learning by Exponential Linear Units*, 2016.
selu : Klambauer, Unterthiner, Mayr and Hochreiter, *Self-Normalizing Neural Networks*, 2017.
gelu, gelu_tanh : Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.
silu : Elfwing, Uchibe and Doya, *Sigmoid-Weighted Linear Units for Neural Network Function Approximation*, 2018.
mish : Misra, *Mish: A Self Regularized Non-Monotonic Activation Function*, 2019.
softplus : Dugas et al., *Incorporating Second-Order Functional Knowledge for Better Option Pricing*, 2001.
softsign : Bergstra, Desjardins, Lamblin and Bengio, *Quadratic Polynomials Learn Better Image Features*, 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..trace import Array

__all__ = ["ACTIVATIONS", "Activation"]

LEAK = 0.01
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
#: The factors of h and h^3 in twice the argument of gelu_tanh's hyperbolic tangent.
TWICE_LINEAR = math.sqrt(8 / math.pi)
TWICE_CUBIC = 0.044715 * TWICE_LINEAR


class Activation(NamedTuple):
    """One activation A = g(H) of a layer.

    Attributes
    ----------
    function : callable, H -> A
    backward : callable, (H, A, dA) -> dH
        The chain rule through g: dL/dH from dL/dA, which is dA * g'(H) where g acts on
        each unit alone. g' is written in terms of H or A, whichever is shorter. All are (rows, units).
    """

    function: Callable[[Array], Array]
    backward: Callable[[Array, Array, Array], Array]


def sigmoid(H: Array) -> Array:
    """1 / (1 + e^-H); an overflow of e^-H to infinity gives the right limit, 0."""
    return 1 / (1 + np.exp(-H))


def softplus(H: Array) -> Array:
    """log(1 + e^H), without e^H for H > 0."""
    return np.logaddexp(H, 0)


def exp_below_zero(H: Array) -> Array:
    """e^H where H < 0, else 1."""
    return np.exp(np.minimum(H, 0))


def elu(H: Array, alpha: float = 1.0) -> Array:
    """H where H > 0, else alpha (e^H - 1)."""
    return np.where(H > 0, H, alpha * np.expm1(np.minimum(H, 0)))


def normal_distribution(H: Array) -> Array:
    """Phi(H), the probability that a standard normal number is below H; to full relative accuracy where it is small."""
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    Phi: Array = 0.5 * erfc(H.astype(np.float64) / -math.sqrt(2))
    return Phi.astype(H.dtype)


def normal_density(H: Array) -> Array:
    """phi(H) = e^(-H^2 / 2) / sqrt(2 pi), the derivative of Phi."""
    density: Array = np.exp(-0.5 * H * H) / math.sqrt(2 * math.pi)
    return density


def gelu_slope(H: Array) -> Array:
    """Phi(H) + H phi(H)."""
    return normal_distribution(H) + H * normal_density(H)


def twice_bend(H: Array) -> Array:
    """2 U with U = sqrt(2 / pi) (H + 0.044715 H^3)."""
    return H * (TWICE_LINEAR + TWICE_CUBIC * H * H)


def gelu_tanh(H: Array) -> Array:
    """H (1 + tanh(U)) / 2, written as H sigmoid(2 U), in which nothing cancels where it is small."""
    return H * sigmoid(twice_bend(H))


def gelu_tanh_slope(H: Array, A: Array) -> Array:
    """S + A (1 - S) dU with S = sigmoid(U), for U twice that of `gelu_tanh`."""
    S = sigmoid(twice_bend(H))
    return S + A * (1 - S) * (TWICE_LINEAR + 3 * TWICE_CUBIC * H * H)


def silu_slope(H: Array, A: Array) -> Array:
    """S + A (1 - S) with S = sigmoid(H)."""
    S = sigmoid(H)
    return S + A * (1 - S)


def mish_slope(H: Array) -> Array:
    """T + H (1 - T^2) sigmoid(H) with T = tanh(softplus(H))."""
    T: Array = np.tanh(softplus(H))
    return T + H * (1 - T * T) * sigmoid(H)


def softmax(H: Array) -> Array:
    """e^H_k / sum_j e^H_j in each row, with the row's largest H taken off so that nothing overflows."""
    E: Array = np.exp(H - H.max(axis=1, keepdims=True))
    E /= E.sum(axis=1, keepdims=True)
    return E


def softmax_backward(H: Array, A: Array, dA: Array) -> Array:
    """dH_j = sum_k dA_k A_k ([j = k] - A_j), the full Jacobian: every output depends on every logit."""
    mean: Array = (dA * A).sum(axis=1, keepdims=True)
    return A * (dA - mean)


# Where there is no derivative, at a kink, it is taken as that of the branch below.
ACTIVATIONS = {
    "identity": Activation(lambda H: H, lambda H, A, dA: dA),
    "sigmoid": Activation(sigmoid, lambda H, A, dA: dA * A * (1 - A)),
    "hard_sigmoid": Activation(
        lambda H: np.clip(H / 6 + 0.5, 0, 1),
        lambda H, A, dA: dA * (np.abs(H) < 3) / 6,
    ),
    "tanh": Activation(np.tanh, lambda H, A, dA: dA * (1 - A * A)),
    "relu": Activation(lambda H: np.maximum(H, 0), lambda H, A, dA: dA * (A > 0)),
    "leaky_relu": Activation(
        lambda H: np.maximum(H, LEAK * H),
        lambda H, A, dA: np.where(H > 0, dA, LEAK * dA),
    ),
    "elu": Activation(elu, lambda H, A, dA: dA * exp_below_zero(H)),
    "selu": Activation(
        lambda H: SELU_SCALE * elu(H, SELU_ALPHA),
        lambda H, A, dA: SELU_SCALE * dA * np.where(H > 0, 1, SELU_ALPHA * exp_below_zero(H)),
    ),
    "gelu": Activation(lambda H: H * normal_distribution(H), lambda H, A, dA: dA * gelu_slope(H)),
    "gelu_tanh": Activation(gelu_tanh, lambda H, A, dA: dA * gelu_tanh_slope(H, A)),
    "silu": Activation(lambda H: H * sigmoid(H), lambda H, A, dA: dA * silu_slope(H, A)),
    "mish": Activation(lambda H: H * np.tanh(softplus(H)), lambda H, A, dA: dA * mish_slope(H)),
    "softplus": Activation(softplus, lambda H, A, dA: dA * sigmoid(H)),
    "softsign": Activation(lambda H: H / (1 + np.abs(H)), lambda H, A, dA: dA / np.square(1 + np.abs(H))),
    "exp": Activation(np.exp, lambda H, A, dA: dA * A),
    "softmax": Activation(softmax, softmax_backward),
}
