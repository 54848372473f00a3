"""The formulas of every activation and every loss, with their derivatives: one entry each.

An entry is all that a new activation or loss needs here: printing, cancelling,
comparing and the tests follow from it. The formulas hold for matrices and for entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..losses import Loss
from .expression import Expression, decimal, number
from .functions import (
    Indicator,
    Pi,
    absolute,
    cosh,
    exp,
    log,
    normal_density,
    normal_distribution,
    sign,
    sqrt,
    tanh,
)
from .matrix import Listed, Repeated, RowSum
from .symbols import Index, Symbol

__all__ = [
    "ACTIVATION_FORMULAS",
    "LOSS_FORMULAS",
    "ActivationFormula",
    "LossFormula",
    "loss_formula",
    "softmax",
    "softmax_derivative",
]

HALF = Fraction(1, 2)
LEAK = decimal(0.01)
SELU_SCALE, SELU_ALPHA = decimal(1.0507009873554805), decimal(1.6732632423543772)
GELU_CUBIC = decimal(0.044715)


@dataclass(frozen=True)
class ActivationFormula:
    """``z = definition(h)`` and its derivative, written with h and z, for each unit by itself."""

    definition: Callable[[Expression], Expression]
    derivative: Callable[[Expression, Expression], Expression]


def _positive(h: Expression) -> Expression:
    return Indicator(h, ">", number(0))


def _not_positive(h: Expression) -> Expression:
    return Indicator(h, "<=", number(0))


def _logistic(h: Expression) -> Expression:
    return 1 / (1 + exp(-h))


def _elu(h: Expression, alpha: Fraction) -> Expression:
    return h * _positive(h) + alpha * (exp(h) - 1) * _not_positive(h)


def _elu_derivative(h: Expression, alpha: Fraction) -> Expression:
    return _positive(h) + alpha * exp(h) * _not_positive(h)


def _gelu_tanh_bend(h: Expression) -> Expression:
    return tanh(sqrt(2 / Pi()) * (h + GELU_CUBIC * h**3))


def _gelu_tanh_derivative(h: Expression, z: Expression) -> Expression:
    bend = _gelu_tanh_bend(h)
    return HALF * (1 + bend) + sqrt(2 / Pi()) * z * (1 - bend) * (1 + 3 * GELU_CUBIC * h**2)


def _mish_bend(h: Expression) -> Expression:
    return tanh(log(1 + exp(h)))


ACTIVATION_FORMULAS = {
    "identity": ActivationFormula(lambda h: h, lambda h, z: number(1)),
    "sigmoid": ActivationFormula(_logistic, lambda h, z: z * (1 - z)),
    "hard_sigmoid": ActivationFormula(
        lambda h: Fraction(1, 6) * (h + 3) * Indicator(absolute(h), "<", number(3)) + Indicator(h, ">=", number(3)),
        lambda h, z: Fraction(1, 6) * Indicator(absolute(h), "<", number(3)),
    ),
    "tanh": ActivationFormula(lambda h: (exp(h) - exp(-h)) / (exp(h) + exp(-h)), lambda h, z: 1 - z**2),
    "relu": ActivationFormula(lambda h: h * _positive(h), lambda h, z: _positive(z)),
    "leaky_relu": ActivationFormula(
        lambda h: h * _positive(h) + LEAK * h * _not_positive(h),
        lambda h, z: _positive(h) + LEAK * _not_positive(h),
    ),
    "elu": ActivationFormula(lambda h: _elu(h, Fraction(1)), lambda h, z: _elu_derivative(h, Fraction(1))),
    "selu": ActivationFormula(
        lambda h: SELU_SCALE * _elu(h, SELU_ALPHA),
        lambda h, z: SELU_SCALE * _elu_derivative(h, SELU_ALPHA),
    ),
    "gelu": ActivationFormula(
        lambda h: h * normal_distribution(h),
        lambda h, z: normal_distribution(h) + h * normal_density(h),
    ),
    "gelu_tanh": ActivationFormula(lambda h: HALF * h * (1 + _gelu_tanh_bend(h)), _gelu_tanh_derivative),
    "silu": ActivationFormula(lambda h: h / (1 + exp(-h)), lambda h, z: _logistic(h) + z / (1 + exp(h))),
    "mish": ActivationFormula(
        lambda h: h * _mish_bend(h),
        lambda h, z: _mish_bend(h) + h * (1 - _mish_bend(h) ** 2) / (1 + exp(-h)),
    ),
    "softplus": ActivationFormula(lambda h: log(1 + exp(h)), lambda h, z: _logistic(h)),
    "softsign": ActivationFormula(lambda h: h / (1 + absolute(h)), lambda h, z: (1 - absolute(z)) ** 2),
    "exp": ActivationFormula(exp, lambda h, z: z),
}


def softmax(h: Expression, across: Index) -> Expression:
    """Return the softmax of each row, which couples the units that the index runs across."""
    return exp(h) / RowSum(exp(h), across)


def softmax_derivative(p: Expression, q: Expression, same_unit: Expression) -> Expression:
    """Return the derivative of output ``p`` by the preactivation of the unit with output ``q``."""
    return p * (same_unit - q)


Y, T, TAU = Symbol("Y"), Symbol("T"), Symbol("tau", rank=1)


@dataclass(frozen=True)
class LossFormula:
    """What one output ``p`` with target ``y`` costs, and the derivative by p.

    Attributes
    ----------
    value, derivative : callable, (y, p) -> Expression
    target : Expression or None
        T, which is the targets of the loss where they are not Y itself.
    tau : Expression or None
        The level of each output's quantile.
    """

    value: Callable[[Expression, Expression], Expression]
    derivative: Callable[[Expression, Expression], Expression]
    target: Expression | None = None
    tau: Expression | None = None

    @property
    def y(self) -> Symbol:
        """The symbol of the targets."""
        return Y if self.target is None else T

    @property
    def definitions(self) -> dict[Symbol, Expression]:
        """The symbols that only this loss has, and their formulas."""
        meanings = {T: self.target, TAU: self.tau}
        return {symbol: meaning for symbol, meaning in meanings.items() if meaning is not None}


#: Makes a formula from the constants of the loss and the number of outputs.
LossMaker = Callable[[tuple[Fraction, ...], int], LossFormula]


def _plain(
    value: Callable[[Expression, Expression], Expression], derivative: Callable[[Expression, Expression], Expression]
) -> LossMaker:
    """Return the maker of a loss without constants."""
    return lambda constants, outputs: LossFormula(value, derivative)


def _huber(constants: tuple[Fraction, ...], outputs: int) -> LossFormula:
    (delta,) = constants

    def near(d: Expression) -> Expression:
        return Indicator(absolute(d), "<=", number(delta))

    def far(d: Expression) -> Expression:
        return Indicator(absolute(d), ">", number(delta))

    return LossFormula(
        lambda y, p: HALF * (p - y) ** 2 * near(p - y) + delta * (absolute(p - y) - delta / 2) * far(p - y),
        lambda y, p: (p - y) * near(p - y) + delta * sign(p - y) * far(p - y),
    )


def _quantile(constants: tuple[Fraction, ...], outputs: int) -> LossFormula:
    several = len(constants) > 1
    tau = TAU if several else constants[0]
    return LossFormula(
        lambda y, p: (tau - Indicator(p, ">", y)) * (y - p),
        lambda y, p: (1 - tau) * Indicator(p, ">", y) - tau * Indicator(y, ">", p),
        target=Repeated(Y, len(constants)) if several else None,
        tau=Listed(constants * (outputs // len(constants))) if several else None,
    )


def _cross_entropy(constants: tuple[Fraction, ...], outputs: int) -> LossFormula:
    (smoothing,) = constants
    return LossFormula(
        lambda y, p: -(y * log(p)),
        lambda y, p: -(y / p),
        target=(1 - smoothing) * Y + smoothing / outputs if smoothing else None,
    )


def _hinge(constants: tuple[Fraction, ...], outputs: int) -> LossFormula:
    def within_margin(y: Expression, p: Expression) -> Expression:
        return Indicator(y * p, "<", number(1))

    return LossFormula(
        lambda y, p: (1 - y * p) * within_margin(y, p),
        lambda y, p: -(y * within_margin(y, p)),
        target=2 * _positive(Y) - 1,
    )


LOSS_FORMULAS: dict[str, LossMaker] = {
    "squared_error": _plain(lambda y, p: (y - p) ** 2, lambda y, p: 2 * (p - y)),
    "half_squared_error": _plain(lambda y, p: HALF * (y - p) ** 2, lambda y, p: p - y),
    "absolute_error": _plain(lambda y, p: absolute(p - y), lambda y, p: sign(p - y)),
    "huber": _huber,
    "quantile": _quantile,
    "log_cosh": _plain(lambda y, p: log(cosh(p - y)), lambda y, p: tanh(p - y)),
    "poisson": _plain(lambda y, p: p - y * log(p), lambda y, p: (p - y) / p),
    "log_loss": _plain(
        lambda y, p: -(y * log(p) + (1 - y) * log(1 - p)),
        lambda y, p: (p - y) / (p * (1 - p)),
    ),
    "cross_entropy": _cross_entropy,
    "hinge": _hinge,
}


def loss_formula(loss: Loss, outputs: int) -> LossFormula:
    """Return the formula of a loss with its constants, for a net with so many outputs."""
    return LOSS_FORMULAS[loss.name](tuple(map(decimal, loss.constants)), outputs)
