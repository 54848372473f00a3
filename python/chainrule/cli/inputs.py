"""Tables that commands read: from a file, or from standard input where ``-`` is given."""

from __future__ import annotations

import sys
from pathlib import Path

from ..tables import Table, parse_table, read_table

__all__ = ["DATA_HELP", "STANDARD", "read_input"]

#: The path that means standard input, or standard output.
STANDARD = Path("-")
DATA_HELP = "CSV (first line: names of the columns), Parquet, .npy or .npz file; - for standard input"


def read_input(path: Path) -> Table:
    """Read a table; errors as of `chainrule.tables.read_table`."""
    if path != STANDARD:
        return read_table(path)
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return parse_table(sys.stdin.buffer.read(), "standard input")
