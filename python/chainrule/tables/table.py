"""A CSV file as named columns of text, and those columns as numbers.

Reading checks the shape of the file (header, names, fields per row); asking for a
column checks its cells, so that a column nobody uses may hold anything.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["Table", "counted", "listed", "read_number", "read_table"]

#: Cells that stand for "no value", in lower case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})
DELIMITERS = ",;\t"
#: From this share of numbers on, the odd text in a column is taken for a slip and not for a category.
MOSTLY_NUMBERS = 0.9


@dataclass(frozen=True)
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    source : str
        Where the table came from, for error messages.
    cells : dict of str to list of str
        The text of every column, without surrounding blanks, in the order of the file.
    lines : list of int
        Line of the file on which each row ends.
    """

    source: str
    cells: dict[str, list[str]]
    lines: list[int]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of the file."""
        return tuple(self.cells)

    @property
    def rows(self) -> int:
        """Number of rows below the header."""
        return len(self.lines)

    def require(self, names: Collection[str]) -> None:
        """Raise ValueError, listing what is there, unless every one of `names` is a column."""
        absent = [name for name in names if name not in self.cells]
        if absent:
            noun = "column" if len(absent) == 1 else "columns"
            raise ValueError(f"{self.source} has no {noun} {listed(absent)}; it has {listed(self.names)}")

    def text(self, name: str) -> list[str]:
        """Return the column's cells.

        Raises
        ------
        ValueError
            There is no such column, or a cell is missing (empty, NA, N/A, NaN, null or ?).
        """
        self.require([name])
        cells = self.cells[name]
        if not MISSING.isdisjoint(map(str.lower, cells)):
            row = next(row for row, cell in enumerate(cells) if cell.lower() in MISSING)
            given = f"{cells[row]!r} stands for a missing value" if cells[row] else "the value is missing"
            raise ValueError(f"{self.place(row, name)}: {given}; fill it in, or remove the row")
        return cells

    def is_numeric(self, name: str) -> bool:
        """Whether every cell of the column is a number.

        Raises
        ------
        ValueError
            A cell is missing, or nearly all cells are numbers but one is not.
        """
        cells = self.text(name)
        if _all_numbers(cells) is not None:
            return True
        texts = [row for row, cell in enumerate(cells) if read_number(cell) is None]
        if texts and len(texts) <= (1 - MOSTLY_NUMBERS) * len(cells):
            raise ValueError(
                f"{self.place(texts[0], name)}: {cells[texts[0]]!r} is not a number, "
                f"while {len(cells) - len(texts)} other rows hold numbers"
            )
        return not texts

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return the column as float64, (rows,).

        Raises
        ------
        ValueError
            There is no such column, or a cell is missing, infinite or not a number.
        """
        cells = self.text(name)
        values = _all_numbers(cells)
        if values is not None:
            return values
        for row, cell in enumerate(cells):
            number = read_number(cell)
            if number is None:
                raise ValueError(f"{self.place(row, name)}: {cell!r} is not a number")
            if math.isinf(number):
                raise ValueError(f"{self.place(row, name)}: {cell!r} is infinite; values must be finite")
        raise AssertionError("every cell is a finite number")

    def place(self, row: int, name: str) -> str:
        """Where a cell stands, for error messages: file, line and column."""
        return f"{self.source}, line {self.lines[row]}, column {name!r}"


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV file in UTF-8 (with or without a byte order mark) whose first line names the columns.

    Fields are separated by commas, semicolons or tabs, whichever the header holds most of.
    Blank lines are skipped.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is empty, has a header only, is not UTF-8 or not CSV, has an unnamed or a duplicate
        column, or a row whose number of fields differs from the header's.
    """
    source = os.fspath(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _read_rows(source, file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not a text file in UTF-8 ({error.reason}); save it as UTF-8") from None


def _read_rows(source: str, file: TextIO) -> Table:
    first = file.readline()
    reader = csv.reader(chain([first], file), delimiter=max(DELIMITERS, key=first.count), strict=True)
    try:
        names = _read_header(source, next(filter(None, reader), []))
        columns: list[list[str]] = [[] for _ in names]
        lines: list[int] = []
        for fields in filter(None, reader):
            if len(fields) != len(names):
                raise ValueError(
                    f"{source}, line {reader.line_num}: {counted(len(fields), 'field')}, "
                    f"but the header names {counted(len(names), 'column')}"
                )
            for column, field in zip(columns, fields, strict=True):
                column.append(field.strip())
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{source}, line {reader.line_num}: not CSV ({error})") from None
    if not lines:
        raise ValueError(f"{source} has a header but no rows")
    return Table(source, dict(zip(names, columns, strict=True)), lines)


def _read_header(source: str, fields: list[str]) -> list[str]:
    names = [field.strip() for field in fields]
    if not any(names):
        raise ValueError(f"{source} is empty")
    for position, name in enumerate(names):
        if not name:
            raise ValueError(f"{source}: column {position + 1} has no name in the header")
        if name in names[:position]:
            raise ValueError(f"{source}: two columns are called {name!r}")
    return names


def read_number(cell: str) -> float | None:
    """Return the number that a cell holds, or None if it holds text."""
    try:
        number = float(cell)
    except ValueError:
        return None
    # Python's own extras, 1_000 and a signed nan, are no numbers in a CSV file.
    return None if "_" in cell or math.isnan(number) else number


def _all_numbers(cells: list[str]) -> NDArray[np.float64] | None:
    """Return the cells as finite numbers, or None; many times faster than `read_number` on each."""
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    return values if np.isfinite(values).all() and "_" not in "".join(cells) else None


def listed(names: Collection[str], limit: int = 12) -> str:
    """Quote and join names for a message; a long list is cut short and counted."""
    shown = ", ".join(repr(name) for name in list(names)[:limit])
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as ``1 row`` or ``2 rows``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
