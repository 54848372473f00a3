"""NumPy's files and Parquet as tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import INEXACT, Cells, Table, column_names, counted, is_text

__all__ = ["parse_npy", "parse_npz", "parse_parquet"]


def parse_npy(content: bytes, source: str) -> Table:
    """Read an array: its columns are called ``0``, ``1``, ...; those of a structured array by their fields.

    Raises
    ------
    ValueError
        It is no array that NumPy reads without pickle, or not a table.
    """
    with _naming(source, "a file of numpy.save"):
        try:
            array = np.lib.format.read_array(BytesIO(content), allow_pickle=False)
        except MemoryError as error:  # NumPy takes the memory before it looks how much there is to read
            raise ValueError(str(error)) from None
    if array.dtype.names:
        return _make_table(source, [(name, array[name]) for name in array.dtype.names])
    return _make_table(
        source, [(str(i), column) for i, column in enumerate(_columns_of(array, f"{source}: the array"))]
    )


def parse_npz(content: bytes, source: str) -> Table:
    """Read several arrays: a column each, or ``X.0``, ``X.1``, ... where ``X`` has several columns.

    Raises
    ------
    ValueError
        It is not a file of ``numpy.savez``, or the arrays are not columns of equal length.
    """
    with _naming(source, "a file of numpy.savez"), np.load(BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    # NumPy gives other members of the archive as bytes.
    if arrays and not any(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError(
            f"{source} is a ZIP archive such as a spreadsheet; export it as CSV "
            f"(not a file of numpy.savez: {next(iter(arrays))!r} is no array)"
        )
    columns: list[tuple[str, NDArray[Any]]] = []
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{source} is not a file of numpy.savez: {name!r} is no array")
        found = _columns_of(array, f"{source}: array {name!r}")
        columns += [(name if len(found) == 1 else f"{name}.{i}", column) for i, column in enumerate(found)]
    return _make_table(source, columns)


def parse_parquet(content: bytes, source: str) -> Table:
    """Read a Parquet file; needs pyarrow, the extra ``[parquet]``.

    Raises
    ------
    ImportError
        pyarrow is not installed.
    ValueError
        It is not a Parquet file.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"reading {source} needs pyarrow: pip install 'chainrule[parquet]'") from error
    with _naming(source, "a Parquet file"):
        read = parquet.read_table(pyarrow.BufferReader(content))
    for field in read.schema:
        if pyarrow.types.is_nested(field.type):
            raise ValueError(
                f"{source}, column {field.name!r} holds lists or records, {field.type}; leave it out of the file"
            )
    with _naming(source, "a Parquet file"):
        columns = [(name, _from_arrow(read.column(i))) for i, name in enumerate(read.column_names)]
    return _make_table(source, columns)


@contextmanager
def _naming(source: str, kind: str) -> Iterator[None]:
    """Turn all that the readers of a damaged file raise, which is much, into a ValueError that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{source} is not {kind}: {error}") from None


def _columns_of(array: NDArray[Any], place: str) -> list[NDArray[Any]]:
    if array.ndim not in (1, 2):
        raise ValueError(f"{place} must have 1 or 2 dimensions to be a table; its shape is {array.shape}")
    if array.nbytes == 0:  # there may be a great many of those
        empty = "has no rows" if len(array) == 0 else "is empty"
        raise ValueError(f"{place} {empty}: its shape is {array.shape}, its dtype {array.dtype}")
    return [array] if array.ndim == 1 else list(array.T)


def _from_arrow(column: Any) -> NDArray[Any]:
    from pyarrow import types

    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind):
        return np.asarray(column.to_numpy())
    # Decimals too: as text they keep all their digits.
    texts = np.empty(len(column), dtype=object)
    texts[:] = column.to_pylist()
    return texts


def _make_table(source: str, columns: list[tuple[str, NDArray[Any]]]) -> Table:
    cells: dict[str, Cells] = {}
    rows: int | None = None
    names = column_names(source, [name for name, _ in columns])
    for name, (_, column) in zip(names, columns, strict=True):
        if column.ndim != 1:
            raise ValueError(f"{source}, column {name!r}: each row holds an array, of shape {column.shape[1:]}")
        if rows is not None and len(column) != rows:
            raise ValueError(f"{source}, column {name!r}: {counted(len(column), 'row')}, but others have {rows}")
        rows = len(column)
        cells[name] = _read_cells(column, f"{source}, column {name!r}")
    if not rows:
        raise ValueError(f"{source} has no rows" if cells else f"{source} is empty")
    return Table(source, cells, range(1, rows + 1), "row")


def _read_cells(column: NDArray[Any], place: str) -> Cells:
    """Return numbers as numbers, and all else as the text that it would be in a CSV file."""
    if column.dtype.kind in "iuf":
        return _read_numbers(column)
    if column.dtype.itemsize == 0:
        raise ValueError(f"{place} is empty: its dtype is {column.dtype}")
    if column.dtype.kind == "V":
        raise ValueError(
            f"{place} has fields of its own, or bytes of no kind: {column.dtype}; expected numbers or text"
        )
    if column.dtype.kind == "c":
        raise ValueError(f"{place}: the numbers are complex; they must be real")
    if column.dtype.kind == "U" and not _is_unicode(column):
        raise ValueError(f"{place}: not text, but numbers beyond Unicode")
    try:
        texts = [_read_text(value) for value in column.tolist()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not text in UTF-8 ({error.reason})") from None
    if not is_text("".join(texts)):
        raise ValueError(f"{place}: not text, but with characters NUL or halves of characters")
    return texts


def _read_numbers(column: NDArray[Any]) -> Cells:
    """Return float64; or text, if it is of integers that float64 would round, which may be labels."""
    with np.errstate(over="ignore"):
        numbers = column.astype(np.float64)
    large = column[np.abs(numbers) >= INEXACT].tolist()
    return numbers if all(float(value) == value for value in large) else [str(value) for value in column.tolist()]


def _read_text(value: Any) -> str:
    """Return a value as the text that it would be in a CSV file: nothing where it is missing."""
    if value is None:  # which NumPy makes of NaT, and pyarrow of null
        return ""
    # Bytes of a fixed length are filled up with zeros.
    text = value.rstrip(b"\0").decode("utf-8") if isinstance(value, bytes) else str(value)
    return text.strip()


def _is_unicode(texts: NDArray[Any]) -> bool:
    """Whether all characters exist: NumPy would make broken strings of others."""
    native = np.ascontiguousarray(texts, dtype=texts.dtype.newbyteorder("="))
    return native.itemsize == 0 or bool((native.view(np.uint32) <= sys.maxunicode).all())
