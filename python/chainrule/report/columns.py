"""What the columns of a table hold, in a few words each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tables import Categories, Table, TableEncoder
from ..tables.table import MISSING, Cells, number_label, read_number

__all__ = ["ColumnSummary", "summarize_columns"]

#: So many values of a column of categories are named, the most frequent first.
MAX_VALUES = 5


@dataclass(frozen=True)
class ColumnSummary:
    """A column: its part in the run, what it holds, how many cells are missing, and the range of the others."""

    name: str
    role: str
    kind: str
    missing: int
    values: str
    mean: str


def summarize_columns(table: Table, encoder: TableEncoder) -> list[ColumnSummary]:
    """Describe every column of the table, ignored ones too, in the order of the file."""
    roles = {column.name: "feature" for column in encoder.features} | {encoder.target.name: "target"}
    labelled = {c.name for c in (*encoder.features, encoder.target) if isinstance(c, Categories)}
    return [_summarize(table, name, roles.get(name, "ignored"), name in labelled) for name in table.names]


def _summarize(table: Table, name: str, role: str, labelled: bool) -> ColumnSummary:
    cells = table.cells[name]
    present = _present(cells)
    missing = table.rows - len(present)
    if not len(present):
        return ColumnSummary(name, role, "nothing", missing, "", "")
    numbers = None if labelled else _as_numbers(present)
    if numbers is None:
        labels = present if isinstance(present, list) else map(number_label, present.tolist())
        return ColumnSummary(name, role, "categories", missing, _describe_counts(Counter(labels)), "")
    mean = f"{numbers.mean():.5g}" if np.isfinite(numbers).all() else ""
    return ColumnSummary(name, role, "numbers", missing, f"{numbers.min():.6g} to {numbers.max():.6g}", mean)


def _present(cells: Cells) -> Cells:
    if isinstance(cells, list):
        return [cell for cell in cells if cell.lower() not in MISSING]
    return cells[~np.isnan(cells)]


def _as_numbers(cells: Cells) -> NDArray[np.float64] | None:
    """Return the cells as numbers, or None if one is text."""
    if not isinstance(cells, list):
        return cells
    numbers = [read_number(cell) for cell in cells]
    return None if None in numbers else np.array(numbers, dtype=np.float64)


def _describe_counts(counts: Counter[str]) -> str:
    shown = ", ".join(f"{label} ({count})" for label, count in counts.most_common(MAX_VALUES))
    return f"{len(counts)} different: {shown}" + (", …" if len(counts) > MAX_VALUES else "")
