"""CSV, as spreadsheets and programs write it, as a table of text."""

from __future__ import annotations

import csv
from io import StringIO

from .table import Table, column_names, counted

__all__ = ["parse_csv"]

DELIMITERS = ",;\t"

#: How files begin that are easily taken for CSV in UTF-8, and what to do about them.
OTHER_KINDS = {
    b"\x1f\x8b": "is compressed by gzip; unpack it first",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}


def parse_csv(content: bytes, source: str) -> Table:
    """Read CSV in UTF-8 (with or without a byte order mark) whose first line names the columns.

    Fields are separated by commas, semicolons or tabs, whichever divides the header into most columns.
    Blank lines are skipped.

    Raises
    ------
    ValueError
        It is empty, has a header only, is not UTF-8 or not CSV, has an unnamed or a duplicate
        column, or a row whose number of fields differs from the header's.
    """
    for first, fault in OTHER_KINDS.items():
        if content.startswith(first):
            raise ValueError(f"{source} {fault}")
    try:
        text = content.decode("utf-8").lstrip("\ufeff")  # some programs write two marks
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not a text file in UTF-8 ({error.reason}); save it as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{source} has characters NUL, as UTF-16 would have; save it as UTF-8")
    file = StringIO(text, newline="")
    delimiter = max(DELIMITERS, key=lambda each: _count_columns(file, each))
    file.seek(0)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        names = _read_header(source, next(filter(_is_row, reader), []))
        columns: list[list[str]] = [[] for _ in names]
        lines: list[int] = []
        for fields in filter(_is_row, reader):
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


def _is_row(fields: list[str]) -> bool:
    """Whether a line is more than blanks; of one that is ``""`` there is a field, of an empty one there is none."""
    return len(fields) > 1 or fields == [""] or any(map(str.strip, fields))


def _count_columns(file: StringIO, delimiter: str) -> int:
    """Return how many columns the header has if this separates them, 0 if it cannot; quotes may hold several lines."""
    file.seek(0)
    try:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        return next(len(fields) for fields in rows if any(map(str.strip, fields)))
    except (StopIteration, csv.Error):
        return 0


def _read_header(source: str, fields: list[str]) -> list[str]:
    if not any(map(str.strip, fields)):
        raise ValueError(f"{source} is empty")
    return column_names(source, fields)
