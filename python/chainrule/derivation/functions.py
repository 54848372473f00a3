"""Functions of every entry, and the number that is 1 where a relation holds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .expression import Expression, Positions, Values
from .notation import Style
from .symbols import Index

__all__ = ["Function", "Indicator", "exp", "log"]


@dataclass(frozen=True)
class Function(Expression):
    """A named function of every entry; `meaning` spells it out where NumPy does not have it."""

    name: str
    argument: Expression
    meaning: Expression | None = None

    numpy: ClassVar[dict[str, Callable[[Any], Any]]] = {"exp": np.exp, "log": np.log}

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

    relations: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {"=": operator.eq, ">": operator.gt}

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


def exp(argument: Expression) -> Expression:
    """Return the exponential of every entry."""
    return Function("exp", argument)


def log(argument: Expression) -> Expression:
    """Return the natural logarithm of every entry."""
    return Function("log", argument)
