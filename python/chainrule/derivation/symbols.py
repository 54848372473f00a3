"""The leaves of formulas: indices with their ranges, named arrays and their entries, derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .expression import Expression, Positions, Values
from .notation import Style

__all__ = ["GroupIndex", "Index", "Partial", "Symbol"]


@dataclass(frozen=True)
class Index(Expression):
    """An index letter with its range 1..size; `size` is a number, or the name of one such as "N"."""

    letter: str
    size: int | str

    parts = ()

    def positions(self, values: Values) -> range:
        """Every position of the index in an array, from 0."""
        return range(values[self.size] if isinstance(self.size, str) else self.size)

    def indices(self) -> tuple[Index, ...]:
        return (self,)

    def write(self, style: Style) -> str:
        return "1" if self.size == 1 else self.letter

    def evaluate(self, values: Values, at: Positions) -> Any:
        return 0 if self.size == 1 else at[self.letter]

    def entry(self, *indices: Index) -> Expression:
        return self


@dataclass(frozen=True)
class GroupIndex(Index):
    """The group of an index: 1 for its first `members` positions, 2 for the next ones, and so on."""

    members: int

    def indices(self) -> tuple[Index, ...]:
        return (Index(self.letter, self.size),)

    def write(self, style: Style) -> str:
        return "1" if self.size == self.members else style.ceiling(self.letter, self.members)

    def evaluate(self, values: Values, at: Positions) -> Any:
        return at[self.letter] // self.members


@dataclass(frozen=True)
class Symbol(Expression):
    """A named array or number of so many axes, or with `subscripts` one entry of it."""

    name: str
    rank: int = 2
    subscripts: tuple[Index, ...] = ()

    @property
    def axes(self) -> int:
        return self.rank - len(self.subscripts)

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.subscripts

    def write(self, style: Style) -> str:
        return style.symbol(self.name, [index.write(style) for index in self.subscripts])

    def evaluate(self, values: Values, at: Positions) -> Any:
        if not self.subscripts:
            return values[self.name]
        return values[self.name][tuple(index.evaluate(values, at) for index in self.subscripts)]

    def entry(self, *indices: Index) -> Symbol:
        return Symbol(self.name, self.rank, indices[len(indices) - self.rank :])


@dataclass(frozen=True)
class Partial(Expression):
    """The derivative of one symbol by another, or of one entry by one entry."""

    of: Symbol
    by: Symbol

    @property
    def name(self) -> str:
        """The name without indices."""
        return f"d{self.of.name}/d{self.by.name}"

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of, self.by)

    def write(self, style: Style) -> str:
        return style.partial(self.of.write(style), self.by.write(style))

    def evaluate(self, values: Values, at: Positions) -> Any:
        subscripts = self.indices()
        return Symbol(self.name, len(subscripts), subscripts).evaluate(values, at)

    def entry(self, *indices: Index) -> Expression:
        return Partial(self.of.entry(*indices), self.by.entry(*indices))
