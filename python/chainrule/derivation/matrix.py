"""Formulas with a summed index: matrix products, sums of rows and columns, sum signs.

The entry of a matrix formula is found here by rule (``(A B)[i,l] = sum_k A[i,k] B[k,l]``),
so the matrix form and the element form of a gradient cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .expression import Expression, Positions, Product, Values, product
from .notation import Style
from .symbols import GroupIndex, Index

__all__ = ["ColumnSum", "Listed", "MatrixProduct", "Repeated", "RowSum", "Total", "Transpose", "total"]


@dataclass(frozen=True)
class Transpose(Expression):
    """A transposed matrix."""

    matrix: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.matrix,)

    def write(self, style: Style) -> str:
        return style.transpose(self.matrix.inside(style, self.ATOM))

    def evaluate(self, values: Values, at: Positions) -> Any:
        return self.matrix.evaluate(values, at).T

    def entry(self, *indices: Index) -> Expression:
        row, column = indices
        return self.matrix.entry(column, row)


@dataclass(frozen=True)
class Repeated(Expression):
    """Each column of a matrix so many times, side by side."""

    matrix: Expression
    times: int

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.matrix,)

    def write(self, style: Style) -> str:
        return style.call("repeat", f"{self.matrix.write(style)}, {self.times}")

    def evaluate(self, values: Values, at: Positions) -> Any:
        return np.repeat(self.matrix.evaluate(values, at), self.times, axis=1)

    def entry(self, *indices: Index) -> Expression:
        row, column = indices
        return self.matrix.entry(row, GroupIndex(column.letter, column.size, self.times))


@dataclass(frozen=True)
class Listed(Expression):
    """A vector of given numbers, or with `subscripts` one of them."""

    numbers: tuple[Fraction, ...]
    subscripts: tuple[Index, ...] = ()

    @property
    def axes(self) -> int:
        return 1 - len(self.subscripts)

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.subscripts

    def write(self, style: Style) -> str:
        listed = style.group(", ".join(style.number(value) for value in self.numbers))
        return style.symbol(listed, [index.write(style) for index in self.subscripts])

    def evaluate(self, values: Values, at: Positions) -> Any:
        listed = np.array([float(value) for value in self.numbers])
        return listed[tuple(index.evaluate(values, at) for index in self.subscripts)]

    def entry(self, *indices: Index) -> Expression:
        return Listed(self.numbers, indices[-1:])


@dataclass(frozen=True)
class MatrixProduct(Expression):
    """The product of two matrices; `inner` is the index that it sums over."""

    left: Expression
    right: Expression
    inner: Index

    binding = Expression.MATRIX_PRODUCT

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)

    def write(self, style: Style) -> str:
        return f"{self.left.inside(style, self.ATOM)} {self.right.inside(style, self.ATOM)}"

    def evaluate(self, values: Values, at: Positions) -> Any:
        return self.left.evaluate(values, at) @ self.right.evaluate(values, at)

    def entry(self, *indices: Index) -> Expression:
        row, column = indices
        return total(self.inner, self.left.entry(row, self.inner) * self.right.entry(self.inner, column))


@dataclass(frozen=True)
class RowSum(Expression):
    """The sum along each row, over the index `inner`: (N, 1)."""

    matrix: Expression
    inner: Index

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.matrix,)

    def write(self, style: Style) -> str:
        return style.call("rowsum", self.matrix.write(style))

    def evaluate(self, values: Values, at: Positions) -> Any:
        return self.matrix.evaluate(values, at).sum(axis=1, keepdims=True)

    def entry(self, *indices: Index) -> Expression:
        return total(self.inner, self.matrix.entry(indices[0], self.inner))


@dataclass(frozen=True)
class ColumnSum(Expression):
    """The sum of all rows, over the index `inner`: one number per column."""

    matrix: Expression
    inner: Index

    axes = 1

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.matrix,)

    def write(self, style: Style) -> str:
        return style.call("colsum", self.matrix.write(style))

    def evaluate(self, values: Values, at: Positions) -> Any:
        return self.matrix.evaluate(values, at).sum(axis=0)

    def entry(self, *indices: Index) -> Expression:
        return total(self.inner, self.matrix.entry(self.inner, indices[-1]))


@dataclass(frozen=True)
class Total(Expression):
    """The sum of a number over an index; `total` constructs it in its simplest form."""

    index: Index
    body: Expression

    binding = Expression.PRODUCT
    open_ended = True

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.index, self.body)

    def write(self, style: Style) -> str:
        return style.total(self.index.letter, self.index.size, self.body.inside(style, self.PRODUCT))

    def evaluate(self, values: Values, at: Positions) -> Any:
        positions = self.index.positions(values)
        return sum(self.body.evaluate(values, {**at, self.index.letter: position}) for position in positions)

    def entry(self, *indices: Index) -> Expression:
        return self


def total(index: Index, body: Expression) -> Expression:
    """Sum over an index, with the factors that do not depend on it in front of the sum sign."""
    if index.size == 1:
        return body
    if not isinstance(body, Product) or index not in body.indices():
        return Total(index, body)

    def split(factors: tuple[Expression, ...]) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        inner = tuple(factor for factor in factors if index in factor.indices())
        return inner, tuple(factor for factor in factors if factor not in inner)

    inner, outer = split(body.numerator)
    inner_below, outer_below = split(body.denominator)
    summed = Total(index, product(Product(numerator=inner, denominator=inner_below)))
    return product(Product(body.coefficient, outer, outer_below), summed)
