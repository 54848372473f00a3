"""Files of every kind that a table may come from, told apart by how they begin or by their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..atomic_files import read_whole
from .arrays import parse_npy, parse_npz, parse_parquet
from .csv_text import parse_csv
from .table import Table

__all__ = ["parse_table", "read_table"]

Parser = Callable[[bytes, str], Table]

#: How each kind of file begins, and how it is called; all else is CSV.
FIRST_BYTES: dict[bytes, Parser] = {b"PAR1": parse_parquet, b"\x93NUMPY": parse_npy, b"PK\x03\x04": parse_npz}
SUFFIXES: dict[str, Parser] = {
    ".parquet": parse_parquet,
    ".pq": parse_parquet,
    ".npy": parse_npy,
    ".npz": parse_npz,
}


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a table from a CSV, Parquet, ``.npy`` or ``.npz`` file.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        Its content is no table; the message names the file, and the line and column where there is one.
    ImportError
        It is a Parquet file, and pyarrow is not installed.
    """
    return parse_table(read_whole(Path(path)), os.fspath(path))


def parse_table(content: bytes, source: str) -> Table:
    """Return the table that the bytes of a file hold; `source` names it in messages. Errors as of `read_table`."""
    for first, parse in FIRST_BYTES.items():
        if content.startswith(first):
            return parse(content, source)
    return SUFFIXES.get(Path(source).suffix.lower(), parse_csv)(content, source)
