"""Named columns of text or numbers, and either as the other.

Making a table checks its shape; asking for a column checks its cells, so that a column nobody uses may hold anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "INEXACT",
    "Cells",
    "Table",
    "column_names",
    "counted",
    "is_text",
    "label_order",
    "listed",
    "number_label",
    "read_number",
    "text_label",
]

#: A column as it was found: text, or numbers with NaN for those that are missing.
Cells: TypeAlias = "list[str] | NDArray[np.float64]"

#: Cells that stand for "no value", in lower case.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?"})
#: From this share of numbers on, the odd text in a column is taken for a slip and not for a category.
MOSTLY_NUMBERS = 0.9
#: Numbers as people write them, with a decimal comma or separators of thousands. A column that has them has at least
#: one that is nothing else: 10.100.200.100 and 560 001 may be names.
SEPARATED = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:[.,' \u00a0\u202f\u2019][0-9]{3})+(?:[.,][0-9]*)?|[0-9]+,[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?"
)
NO_NAME = re.compile(r".*(?:[,'\u2019]|[ \u00a0\u202f].*\.).*")
#: Characters that no file of text holds: NUL, and halves of characters.
NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
#: Absent columns that a message looks for others like them to, and the longest names that are compared.
MOST_HINTS = 5
LONGEST_HINT = 200
#: From here on float64 no longer holds every integer.
INEXACT = 2**53


@dataclass(frozen=True)
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    source : str
        Where the table came from, for error messages.
    cells : dict of str to list of str or ndarray of float64
        Every column in the order of the file: text without surrounding blanks, or numbers.
    lines : sequence of int
        Where each row stands in the file: the line on which it ends, or its number, from 1.
    unit : str
        What `lines` counts: ``"line"`` or ``"row"``.
    """

    source: str
    cells: Mapping[str, Cells]
    lines: Sequence[int]
    unit: str = "line"

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of the file."""
        return tuple(self.cells)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def require(self, names: Collection[str]) -> None:
        """Raise ValueError, listing what is there and what may be meant, unless every one of `names` is a column."""
        absent = [name for name in names if name not in self.cells]
        if absent:
            noun = "column" if len(absent) == 1 else "columns"
            meant = _nearest(absent, self.names)
            hint = f"; did you mean {listed(meant)}?" if meant else ""
            raise ValueError(f"{self.source} has no {noun} {listed(absent)}; it has {listed(self.names)}{hint}")

    def text(self, name: str) -> list[str]:
        """Return the column's cells as text.

        Raises
        ------
        ValueError
            There is no such column, or a cell is missing (NaN, or text such as nothing, NA, N/A, NaN, null or ?).
        """
        cells = self._present_cells(name)
        return cells if isinstance(cells, list) else [number_label(value) for value in cells.tolist()]

    def is_numeric(self, name: str) -> bool:
        """Whether every cell of the column is a number.

        Raises
        ------
        ValueError
            A cell is missing; nearly all cells are numbers but one is not; or numbers have a decimal comma.
        """
        cells = self._present_cells(name)
        if not isinstance(cells, list) or _all_numbers(cells) is not None:
            return True
        texts = [row for row, cell in enumerate(cells) if read_number(cell) is None]
        if texts and len(texts) <= (1 - MOSTLY_NUMBERS) * len(cells):
            raise ValueError(
                f"{self.place(texts[0], name)}: {cells[texts[0]]!r} is not a number, "
                f"while {len(cells) - len(texts)} other rows hold numbers"
            )
        separated = all(SEPARATED.fullmatch(cells[row]) for row in texts)
        row = next((row for row in texts if separated and NO_NAME.fullmatch(cells[row])), None)
        if row is not None:
            raise ValueError(
                f"{self.place(row, name)}: {cells[row]!r} has a decimal comma, or separators of thousands; "
                "write numbers with a point and nothing else"
            )
        return not texts

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return the column as float64, (rows,).

        Raises
        ------
        ValueError
            There is no such column, or a cell is missing, infinite or not a number.
        """
        cells = self._present_cells(name)
        if not isinstance(cells, list):
            if not np.isfinite(cells).all():
                self._refuse_infinite(int(np.flatnonzero(~np.isfinite(cells))[0]), name)
            return cells
        values = _all_numbers(cells)
        if values is not None:
            return values
        for row, cell in enumerate(cells):
            number = read_number(cell)
            if number is None:
                raise ValueError(f"{self.place(row, name)}: {cell!r} is not a number")
            if math.isinf(number):
                self._refuse_infinite(row, name)
        raise AssertionError("every cell is a finite number")

    def place(self, row: int, name: str) -> str:
        """Where a cell stands, for error messages: file, line or row, and column."""
        return f"{self.source}, {self.unit} {self.lines[row]}, column {name!r}"

    def _present_cells(self, name: str) -> Cells:
        """Return the column, none of whose cells is missing."""
        self.require([name])
        cells = self.cells[name]
        row = _first_missing(cells)
        if row is not None:
            # An empty cell needs no explanation.
            given = f"{str(cells[row])!r} stands for a missing value" if cells[row] else "the value is missing"
            raise ValueError(f"{self.place(row, name)}: {given}; fill it in, or remove the row")
        return cells

    def _refuse_infinite(self, row: int, name: str) -> None:
        raise ValueError(f"{self.place(row, name)}: {str(self.cells[name][row])!r} is infinite; values must be finite")


def column_names(source: str, found: Sequence[str]) -> list[str]:
    """Return the names without surrounding blanks.

    Raises
    ------
    ValueError
        A name is nothing, no text, or that of two columns.
    """
    names = [name.strip() for name in found]
    seen: set[str] = set()
    for position, name in enumerate(names):
        if not name:
            raise ValueError(f"{source}: column {position + 1} has no name")
        if not is_text(name):
            raise ValueError(f"{source}: the name of column {position + 1} is not text: {name!r}")
        if name in seen:
            raise ValueError(f"{source}: two columns are called {name!r}")
        seen.add(name)
    return names


def is_text(characters: str) -> bool:
    """Whether a CSV file could hold them: none is NUL or half a character."""
    return NO_TEXT.search(characters) is None


def _first_missing(cells: Cells) -> int | None:
    if not isinstance(cells, list):
        return int(np.argmax(np.isnan(cells))) if np.isnan(cells).any() else None
    if MISSING.isdisjoint(map(str.lower, cells)):
        return None
    return next(row for row, cell in enumerate(cells) if cell.lower() in MISSING)


def number_label(value: float) -> str:
    """Return the text by which a number is a label: ``1`` for 1.0, else as many digits as it takes."""
    return str(int(value)) if value.is_integer() else repr(value)


def text_label(cell: str) -> str:
    """Return the label of text that holds a finite number: as `number_label`, but integers are never rounded."""
    value = float(cell)
    if abs(value) < INEXACT:
        return number_label(value)
    from decimal import Decimal  # here, because hardly any table has numbers of this size

    exact = Decimal(cell)
    # 1e+23 is how programs write a float; the same number in 24 digits is an integer.
    written_float = "e" in cell.lower() and exact == Decimal(repr(value))
    return number_label(value) if written_float or exact != exact.to_integral_value() else str(int(exact))


def label_order(label: str) -> tuple[float, int]:
    """Return a key that sorts the labels of numbers by value, also those that are equal as float64."""
    value = float(label)
    return value, int(label) if abs(value) >= INEXACT else 0


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


def _nearest(absent: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names that are most like the first of the absent ones, whatever their case."""
    from difflib import get_close_matches

    # Each is compared with all, in the square of their lengths.
    by_lower = {name.lower(): name for name in names if len(name) <= LONGEST_HINT}
    looked_up = [name for name in absent if len(name) <= LONGEST_HINT][:MOST_HINTS]
    found = (get_close_matches(name.lower(), by_lower, n=1) for name in looked_up)
    return list(dict.fromkeys(by_lower[match] for matches in found for match in matches))


def listed(names: Collection[str], limit: int = 12) -> str:
    """Quote and join names for a message; a long list is cut short and counted."""
    shown = ", ".join(repr(name) for name in list(names)[:limit])
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as ``1 row`` or ``2 rows``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
