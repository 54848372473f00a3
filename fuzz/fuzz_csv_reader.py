"""Any bytes as a table, mostly CSV: refused with `ValueError`, or columns that can be encoded and written again.

Run with libFuzzer's arguments, such as ``python fuzz/fuzz_csv_reader.py -max_total_time=30 fuzz/corpus/csv``.
"""

from __future__ import annotations

import csv
import io
import json
import warnings

from harness import instrumented, run

with instrumented():
    import numpy as np

    from chainrule.tables import Table, TableEncoder, infer_task, parse_table

SOURCE = "table.csv"


def test_one_input(content: bytes) -> None:
    """Read bytes as ``chainrule train`` reads a file, and do with the table what it does."""
    if content.startswith(b"PAR1"):
        return  # pyarrow's affair, which is fuzzed for itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = parse_table(content, SOURCE)
        except ValueError:
            return
        assert table.rows > 0
        assert table.names
        for name in table.names:
            _read_column(table, name)
        _encode(table, table.names[-1])
        _write_again(table)


def _read_column(table: Table, name: str) -> None:
    assert len(table.cells[name]) == table.rows
    try:
        texts = table.text(name)
        assert len(texts) == table.rows
        assert all(text == text.strip() for text in texts)
        if table.is_numeric(name):
            assert np.isfinite(table.numbers(name)).all()
    except ValueError:
        pass  # a cell is missing, infinite or a slip


def _encode(table: Table, target: str) -> None:
    """Learn an encoding, keep it as a model file does, and encode with both."""
    try:
        encoder = TableEncoder.fit(table, target, infer_task(table, target))
        X, Y = encoder.encode_features(table), encoder.encode_target(table)
    except ValueError:
        return
    assert X.shape == (table.rows, len(encoder.feature_names))
    assert np.isfinite(X).all()
    assert np.isfinite(Y).all()
    assert len(Y) == table.rows
    kept = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert kept == encoder
    np.testing.assert_array_equal(kept.encode_features(table), X)


def _write_again(table: Table) -> None:
    """Text that is written as CSV is read as the same text."""
    columns = [cells for cells in table.cells.values() if isinstance(cells, list)]
    if len(columns) != len(table.names) or len(columns) == 1:
        return  # numbers, or a single column, where an empty cell is a blank line
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([table.names, *zip(*columns, strict=True)])
    read = parse_table(text.getvalue().encode(), SOURCE)
    assert dict(read.cells) == dict(table.cells), (read.cells, table.cells)


if __name__ == "__main__":
    run(test_one_input)
