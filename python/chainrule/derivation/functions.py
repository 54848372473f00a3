"""Functions of every entry, and the number that is 1 where a relation holds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .expression import Expression, Positions, Values
from .notation import Style
from .symbols import Index

__all__ = [
    "Function",
    "Indicator",
    "Pi",
    "absolute",
    "cosh",
    "exp",
    "log",
    "normal_density",
    "normal_distribution",
    "sign",
    "sqrt",
    "tanh",
]


@dataclass(frozen=True)
class Function(Expression):
    """A named function of every entry; `meaning` spells it out where NumPy does not have it."""

    name: str
    argument: Expression
    meaning: Expression | None = None

    numpy: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "abs": np.abs,
        "cosh": np.cosh,
        "exp": np.exp,
        "log": np.log,
        "sign": np.sign,
        "sqrt": np.sqrt,
        "tanh": np.tanh,
        "Phi": np.vectorize(lambda h: math.erfc(-h / math.sqrt(2)) / 2, otypes=[float]),
        "phi": lambda h: np.exp(-(h**2) / 2) / math.sqrt(2 * math.pi),
    }

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.argument,)

    def write(self, style: Style) -> str:
        return style.call(self.name, self.argument.write(style))

    def evaluate(self, values: Values, at: Positions) -> Any:
        if self.meaning is not None:
            return self.meaning.evaluate(values, at)
        return self.numpy[self.name](self.argument.evaluate(values, at))

    def entry(self, *indices: Index) -> Expression:
        return Function(self.name, self.argument.entry(*indices), self.meaning and self.meaning.entry(*indices))


@dataclass(frozen=True)
class Indicator(Expression):
    """1 where a relation holds, 0 elsewhere (Iverson's bracket)."""

    left: Expression
    relation: str
    right: Expression

    relations: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "=": operator.eq,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)

    def write(self, style: Style) -> str:
        return style.indicator(self.left.write(style), self.relation, self.right.write(style))

    def evaluate(self, values: Values, at: Positions) -> Any:
        holds = self.relations[self.relation](self.left.evaluate(values, at), self.right.evaluate(values, at))
        return np.where(holds, 1.0, 0.0)

    def entry(self, *indices: Index) -> Expression:
        return Indicator(self.left.entry(*indices), self.relation, self.right.entry(*indices))


@dataclass(frozen=True)
class Pi(Expression):
    """The ratio of a circle's circumference to its diameter."""

    parts = ()

    def write(self, style: Style) -> str:
        return style.symbol("pi", [])

    def evaluate(self, values: Values, at: Positions) -> Any:
        return math.pi

    def entry(self, *indices: Index) -> Expression:
        return self


# Each makes the formula that applies it to a formula.
absolute = partial(Function, "abs")
cosh = partial(Function, "cosh")
exp = partial(Function, "exp")
log = partial(Function, "log")
normal_density = partial(Function, "phi")
normal_distribution = partial(Function, "Phi")
sign = partial(Function, "sign")
sqrt = partial(Function, "sqrt")
tanh = partial(Function, "tanh")
