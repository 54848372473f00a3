"""``chainrule predict``: a model and a table go in, a table of predictions comes out."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from io import StringIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFormatError
from ..files import read_metadata, write_atomically
from ..tables import Categories, Table, TableEncoder, describe_scores, read_table, score
from ..tables.table import listed
from .exit_codes import DONE
from .outputs import check_output

USAGE = "%(prog)s MODEL DATA.csv [options]"
DESCRIPTION = """\
Predict every row of a CSV file with a model that 'chainrule train' saved.

The model knows its columns and their encoding. Other columns are ignored; if the target column
is there, the score is printed on standard error. The predictions are written as CSV.
"""
EXAMPLES = """\
examples:
  chainrule predict penguins.safetensors new.csv
  chainrule predict penguins.safetensors new.csv --probabilities --output predicted.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule predict``."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model file that 'chainrule train' wrote")
    parser.add_argument(
        "data", type=Path, metavar="DATA.csv", help="CSV file with the columns that the model was trained on"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="file for the predictions (default: standard output)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output file")
    parser.add_argument("--probabilities", action="store_true", help="add one column per class with its probability")


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    if args.output is not None:
        check_output(args.output, force=args.force, inputs=[args.model, args.data])
    from ..net import Net

    encoder = _read_encoder(args.model)
    if args.probabilities and encoder.task == "regression":
        raise ValueError(f"--probabilities needs a model of classes; {args.model} predicts numbers")
    net = Net.load(args.model)
    table = read_table(args.data)
    X = encoder.encode_features(table)
    if (X.shape[1], encoder.outputs) != (net.config.features, net.config.outputs):
        raise ModelFormatError(
            f"{args.model} is inconsistent: its table gives {X.shape[1]} inputs and {encoder.outputs} outputs, "
            f"its network has {net.config.features} and {net.config.outputs}"
        )
    outputs = net.predict(X)
    _comment(encoder, table, outputs)
    rows = _prediction_rows(encoder, outputs, probabilities=args.probabilities)
    if args.output is None:
        _write(sys.stdout, rows)
    else:
        text = StringIO()
        _write(text, rows)
        write_atomically(args.output, text.getvalue().encode())
    return DONE


def _read_encoder(model: Path) -> TableEncoder:
    metadata = read_metadata(model)
    if "table" not in metadata:
        raise ModelFormatError(f"{model} holds no description of a table: it was not written by 'chainrule train'")
    try:
        return TableEncoder.from_dict(json.loads(metadata["table"]))
    except ValueError as error:
        raise ModelFormatError(f"{model}: {error}") from None


def _comment(encoder: TableEncoder, table: Table, outputs: NDArray[np.floating[Any]]) -> None:
    """Say on standard error which columns were ignored and, where the truth is known, the score."""
    used = {column.name for column in (*encoder.features, encoder.target)}
    ignored = [name for name in table.names if name not in used]
    if ignored:
        print(f"ignored columns: {listed(ignored)}", file=sys.stderr)
    if encoder.target.name not in table.names:
        return
    try:
        scores = score(encoder.target, outputs, encoder.encode_target(table))
    except ValueError as error:
        print(f"no score: {error}", file=sys.stderr)
    else:
        print(f"score: {describe_scores(scores)}", file=sys.stderr)


def _prediction_rows(
    encoder: TableEncoder, outputs: NDArray[np.floating[Any]], *, probabilities: bool
) -> list[list[str]]:
    """Header and rows of the predictions."""
    target = encoder.target
    header = [f"predicted_{target.name}"]
    if isinstance(target, Categories):
        columns: list[list[str]] = [target.decode(np.argmax(outputs, axis=1))]
        if probabilities:
            header += [f"probability_{label}" for label in target.labels]
            columns += [_digits(column) for column in outputs.T]
    else:
        # As many digits as the net computed with, not those of the float64 that undid the scaling.
        columns = [_digits(target.decode(outputs)[:, 0].astype(outputs.dtype))]
    return [header, *(list(row) for row in zip(*columns, strict=True))]


def _digits(values: NDArray[np.floating[Any]]) -> list[str]:
    return [str(value) for value in values]


def _write(file: IO[str], rows: list[list[str]]) -> None:
    csv.writer(file, lineterminator="\n").writerows(rows)
