"""The formulas of every activation and every loss, with their derivatives: one entry each.

An entry is all that a new activation or loss needs here: printing, cancelling,
comparing and the tests follow from it. The formulas hold for matrices and for entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .expression import Expression, number
from .functions import Indicator, exp, log
from .matrix import RowSum
from .symbols import Index

__all__ = [
    "ACTIVATION_FORMULAS",
    "LOSS_FORMULAS",
    "ActivationFormula",
    "LossFormula",
    "softmax",
    "softmax_derivative",
]


@dataclass(frozen=True)
class ActivationFormula:
    """``z = definition(h)`` and its derivative, written with h and z, for each unit by itself."""

    definition: Callable[[Expression], Expression]
    derivative: Callable[[Expression, Expression], Expression]


@dataclass(frozen=True)
class LossFormula:
    """What one output ``p`` with target ``y`` costs, and the derivative by p."""

    value: Callable[[Expression, Expression], Expression]
    derivative: Callable[[Expression, Expression], Expression]


ACTIVATION_FORMULAS = {
    "identity": ActivationFormula(lambda h: h, lambda h, z: number(1)),
    "sigmoid": ActivationFormula(lambda h: 1 / (1 + exp(-h)), lambda h, z: z * (1 - z)),
    "tanh": ActivationFormula(lambda h: (exp(h) - exp(-h)) / (exp(h) + exp(-h)), lambda h, z: 1 - z**2),
    "relu": ActivationFormula(lambda h: h * _positive(h), lambda h, z: _positive(z)),
}

LOSS_FORMULAS = {
    "squared_error": LossFormula(lambda y, p: (y - p) ** 2, lambda y, p: 2 * (p - y)),
    "half_squared_error": LossFormula(lambda y, p: Fraction(1, 2) * (y - p) ** 2, lambda y, p: p - y),
    "log_loss": LossFormula(
        lambda y, p: -(y * log(p) + (1 - y) * log(1 - p)),
        lambda y, p: (p - y) / (p * (1 - p)),
    ),
    "cross_entropy": LossFormula(lambda y, p: -(y * log(p)), lambda y, p: -(y / p)),
}


def softmax(h: Expression, across: Index) -> Expression:
    """Return the softmax of each row, which couples the units that the index runs across."""
    return exp(h) / RowSum(exp(h), across)


def softmax_derivative(p: Expression, q: Expression, same_unit: Expression) -> Expression:
    """Return the derivative of output ``p`` by the preactivation of the unit with output ``q``."""
    return p * (same_unit - q)


def _positive(h: Expression) -> Expression:
    return Indicator(h, ">", number(0))
