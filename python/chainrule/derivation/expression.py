"""Formulas as values: each one writes itself, as text or LaTeX, and evaluates on arrays.

That one object does both is the point: the rule that is printed is the rule that the
tests evaluate and compare with what a net computes. Products cancel equal factors;
there is no other algebra here. Leaves are in symbols.py, functions in functions.py,
matrix products and sums over indices in matrix.py.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar

from .notation import Quotient, Style

if TYPE_CHECKING:
    from .symbols import Index

__all__ = [
    "Expression",
    "Positions",
    "Power",
    "Product",
    "Sum",
    "Values",
    "cancelled",
    "decimal",
    "inverse",
    "number",
    "product",
    "without_minus",
]

#: Arrays and numbers by the name of their symbol.
Values = Mapping[str, Any]
#: The position, from 0, of each index letter.
Positions = Mapping[str, int]


class Expression(ABC):
    """A formula.

    `binding` says how tightly its operator binds; `open_ended` that it reaches as far to the
    right as it can, as a sum sign does.
    """

    SUM: ClassVar[int] = 1
    PRODUCT: ClassVar[int] = 2
    MATRIX_PRODUCT: ClassVar[int] = 3
    ATOM: ClassVar[int] = 4

    binding: ClassVar[int] = ATOM
    open_ended: ClassVar[bool] = False

    @property
    @abstractmethod
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that this one is made of."""

    @abstractmethod
    def write(self, style: Style) -> str:
        """Return the formula in a style."""

    @abstractmethod
    def evaluate(self, values: Values, at: Positions) -> Any:
        """Return the value: an array, or a number where the free indices stand at these positions."""

    @abstractmethod
    def entry(self, *indices: Index) -> Expression:
        """Return the formula of one entry of an array formula; a vector takes the last index."""

    @property
    def axes(self) -> int:
        """Number of array axes: 0 for a number or an entry."""
        return max((part.axes for part in self.parts), default=0)

    def indices(self) -> tuple[Index, ...]:
        """Every index that occurs, each once, in order of appearance."""
        found = [index for part in self.parts for index in part.indices()]
        return tuple(dict.fromkeys(found))

    def terms(self) -> tuple[Expression, ...]:
        """Return the terms of a sum; anything else is its own one term."""
        return (self,)

    def scalar_part(self) -> Expression:
        """Return the coefficient and the factors that are the same number for all entries."""
        return number(1)

    def inside(self, style: Style, least: int) -> str:
        """Write for use inside an operator: in parentheses where this one binds less tightly."""
        written = self.write(style)
        return written if self.binding >= least else style.group(written)

    def __add__(self, other: Expression | int | Fraction) -> Expression:
        return Sum((*self.terms(), number(other)))

    def __radd__(self, other: int | Fraction) -> Expression:
        return Sum((number(other), self))

    def __sub__(self, other: Expression | int | Fraction) -> Expression:
        return Sum((*self.terms(), -number(other)))

    def __rsub__(self, other: int | Fraction) -> Expression:
        return Sum((number(other), -self))

    def __neg__(self) -> Expression:
        return product(number(-1), self)

    def __mul__(self, other: Expression) -> Expression:
        return product(self, other)

    def __rmul__(self, other: int | Fraction) -> Expression:
        return product(number(other), self)

    def __truediv__(self, other: Expression | int) -> Expression:
        return product(self, inverse(number(other)))

    def __rtruediv__(self, other: int) -> Expression:
        return product(number(other), inverse(self))

    def __pow__(self, exponent: int) -> Expression:
        return Power(self, exponent)


@dataclass(frozen=True)
class Sum(Expression):
    """Terms, added."""

    summands: tuple[Expression, ...]

    binding = Expression.SUM

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.summands

    def terms(self) -> tuple[Expression, ...]:
        return self.summands

    def write(self, style: Style) -> str:
        first, *others = (term.inside(style, self.PRODUCT) for term in self.summands)
        return first + "".join(f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in others)

    def evaluate(self, values: Values, at: Positions) -> Any:
        return reduce(operator.add, (term.evaluate(values, at) for term in self.summands))

    def entry(self, *indices: Index) -> Expression:
        return Sum(tuple(term.entry(*indices) for term in self.summands))


@dataclass(frozen=True)
class Product(Expression):
    """A coefficient times factors, over other factors; entry by entry where they are arrays."""

    coefficient: Fraction = Fraction(1)
    numerator: tuple[Expression, ...] = ()
    denominator: tuple[Expression, ...] = ()

    binding = Expression.PRODUCT

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.numerator + self.denominator

    def scalar_part(self) -> Expression:
        above, below = ([f for f in factors if not f.axes] for factors in (self.numerator, self.denominator))
        return product(Product(self.coefficient, tuple(above), tuple(below)))

    def write(self, style: Style) -> str:
        scalars, scalar_divisors = self._written_coefficient(style)
        leading = bool(self.numerator) and self.numerator[-1].open_ended
        stacked = style.stacks and not leading and bool(self.denominator or scalar_divisors)
        alone_above = stacked and len(self.numerator) + len(scalars) == 1
        alone_below = style.stacks and len(self.denominator) + len(scalar_divisors) == 1
        factors = [factor.inside(style, self.SUM if alone_above else self.ATOM) for factor in self.numerator]
        if leading:
            factors[-1] = self.numerator[-1].write(style)
        if self.axes:
            numbers = [not factor.axes and not factor.open_ended for factor in self.numerator]
            scalars += list(compress(factors, numbers))
            factors = [factor for factor, is_number in zip(factors, numbers, strict=True) if not is_number]
        divisors: list[str] = []
        for factor in self.denominator:
            written = factor.inside(style, self.SUM if alone_below else self.ATOM)
            (divisors if factor.axes else scalar_divisors).append(written)
        elementwise = bool(divisors) or sum(factor.axes > 0 for factor in self.numerator) > 1
        return style.quotient(
            Quotient(self.coefficient < 0, scalars, factors, divisors, scalar_divisors, elementwise, leading)
        )

    def _written_coefficient(self, style: Style) -> tuple[list[str], list[str]]:
        """Write what is above and below the line: few fractions as such, all else as far as it can be as a decimal."""
        above, below = abs(self.coefficient), self.coefficient.denominator
        if below not in (1, 2, 3, 4, 6):
            for prime in (2, 5):
                while below % prime == 0:
                    below //= prime
        above *= below
        return [style.number(above)] if above != 1 else [], [str(below)] if below != 1 else []

    def evaluate(self, values: Values, at: Positions) -> Any:
        value: Any = float(self.coefficient)
        for factor in self.numerator:
            value = value * factor.evaluate(values, at)
        for factor in self.denominator:
            value = value / factor.evaluate(values, at)
        return value

    def entry(self, *indices: Index) -> Expression:
        above = [factor.entry(*indices) for factor in self.numerator]
        below = [inverse(factor.entry(*indices)) for factor in self.denominator]
        return product(Product(self.coefficient), *above, *below)


@dataclass(frozen=True)
class Power(Expression):
    """An integer power of every entry."""

    base: Expression
    exponent: int

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.base,)

    def write(self, style: Style) -> str:
        return style.power(self.base.inside(style, self.ATOM), self.exponent)

    def evaluate(self, values: Values, at: Positions) -> Any:
        return self.base.evaluate(values, at) ** self.exponent

    def entry(self, *indices: Index) -> Expression:
        return Power(self.base.entry(*indices), self.exponent)


def number(value: Expression | int | Fraction) -> Expression:
    """Return a number as an expression; an expression passes through."""
    return value if isinstance(value, Expression) else Product(Fraction(value))


def decimal(value: float) -> Fraction:
    """Return the decimal that a float was given as: 0.1 is 1/10, not the binary fraction next to it."""
    return Fraction(repr(value))


def product(*factors: Expression) -> Expression:
    """Multiply entry by entry, as one flat product with equal factors cancelled and sum signs last."""
    coefficient, above, below = _flattened(factors)
    for factor in cancelled(*factors):
        above.remove(factor)
        below.remove(factor)
    above.sort(key=lambda factor: factor.open_ended)
    if coefficient == 1 and len(above) == 1 and not below:
        return above[0]
    return Product(coefficient, tuple(above), tuple(below))


def cancelled(*factors: Expression) -> tuple[Expression, ...]:
    """Return the factors that disappear when these are multiplied."""
    _, above, below = _flattened(factors)
    common = []
    for factor in above:
        if factor in below:
            below.remove(factor)
            common.append(factor)
    return tuple(common)


def without_minus(expression: Expression) -> Expression:
    """Turn -(a - b) into (b - a), and leave everything else as it is."""
    if isinstance(expression, Product) and expression.coefficient < 0:
        match expression.numerator:
            case (Sum(summands), *others):
                turned = Sum(tuple(-term for term in reversed(summands)))
                return product(Product(-expression.coefficient, (turned, *others), expression.denominator))
    return expression


def inverse(expression: Expression) -> Expression:
    """Return 1 over the expression, entry by entry."""
    if isinstance(expression, Product):
        return Product(1 / expression.coefficient, expression.denominator, expression.numerator)
    return Product(denominator=(expression,))


def _flattened(factors: Sequence[Expression]) -> tuple[Fraction, list[Expression], list[Expression]]:
    products = [factor if isinstance(factor, Product) else Product(numerator=(factor,)) for factor in factors]
    coefficient = reduce(operator.mul, (each.coefficient for each in products), Fraction(1))
    above = [factor for each in products for factor in each.numerator]
    below = [factor for each in products for factor in each.denominator]
    return coefficient, above, below
