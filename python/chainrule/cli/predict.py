"""``chainrule predict``: a model and a table go in, a table of predictions comes out."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import math
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atomic_files import named_file, write_atomically
from ..errors import ModelFormatError
from ..files import load_with_metadata
from ..tables import Categories, Standardised, Table, TableEncoder, describe_scores, score
from ..tables.table import listed
from .errors import UsageError
from .exit_codes import DONE
from .inputs import DATA_HELP, STANDARD, read_input
from .options import count
from .outputs import check_output, to_json, writing

if TYPE_CHECKING:
    from ..net import Net

__all__ = ["DESCRIPTION", "EXAMPLES", "USAGE", "add_arguments", "read_encoder", "run"]

USAGE = "%(prog)s MODEL DATA [options]"
DESCRIPTION = """\
Predict every row of a table with a model that 'chainrule train' saved.

The model knows its columns and their encoding. Other columns are ignored; if the target column
is there, the score is printed on standard error. The predictions are written as CSV, or as JSON.
"""
EXAMPLES = """\
examples:
  chainrule predict penguins.safetensors new.csv
  chainrule predict penguins.safetensors new.parquet --probabilities --output predicted.csv
  zcat new.csv.gz | chainrule predict penguins.safetensors - > predicted.csv
  chainrule predict penguins.safetensors new.csv --json
"""
#: Endings that promise another format than is written.
OTHER_FORMATS = (".parquet", ".pq", ".npy", ".npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule predict``."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="model file that 'chainrule train' wrote")
    add("data", type=Path, metavar="DATA", help=f"{DATA_HELP}; with the columns that the model was trained on")
    add("--output", type=named_file, metavar="FILE", help="file for the predictions (default: -, standard output)")
    add("--force", action="store_true", help="replace an existing output file")
    add("--probabilities", action="store_true", help="add one column per class with its probability")
    add("--threads", type=count, metavar="N", help="threads to use (default: chosen by the size of the work)")
    add("--json", action="store_true", help="write JSON instead of CSV, with the score in it")


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    output = None if args.output == STANDARD else args.output
    if output is not None:
        if output.suffix.lower() in OTHER_FORMATS:
            raise UsageError(f"--output {output}: predictions are written as CSV, or as JSON with --json")
        check_output(output, force=args.force, inputs=[args.model, args.data])
    net, metadata = load_with_metadata(args.model)
    encoder = read_encoder(args.model, metadata)
    inputs = len(encoder.feature_names)
    if (inputs, encoder.outputs) != (net.config.features, net.config.outputs):
        raise ModelFormatError(
            f"{args.model} is inconsistent: its table gives {inputs} inputs and {encoder.outputs} outputs, "
            f"its network has {net.config.features} and {net.config.outputs}"
        )
    if args.probabilities and encoder.task == "regression":
        raise ValueError(f"--probabilities needs a model of classes; {args.model} predicts numbers")
    table = read_input(args.data)
    X = encoder.encode_features(table)
    if not np.isfinite(net.parameters).all():
        raise ModelFormatError(f"{args.model} has parameters that are not finite; its predictions mean nothing")
    outputs = _limit_threads(net, args.threads).predict(X)
    _require_finite(outputs, table)
    scores, comments = _judge(encoder, table, outputs)
    columns = _prediction_columns(encoder, outputs, probabilities=args.probabilities)
    text = to_json({"predictions": columns, "score": scores}) + "\n" if args.json else _to_csv(columns)
    with contextlib.suppress(OSError):  # standard error may be full, and predictions have another place to go to
        for comment in comments:
            print(comment, file=sys.stderr)
    _write(output, text.encode())
    return DONE


def read_encoder(model: Path, metadata: dict[str, str]) -> TableEncoder:
    """Return how the metadata of a model say that a table is encoded; ModelFormatError if they do not."""
    if "table" not in metadata:
        raise ModelFormatError(f"{model} holds no description of a table: it was not written by 'chainrule train'")
    try:
        return TableEncoder.from_dict(json.loads(metadata["table"]))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{model}: {error}") from None


def _limit_threads(net: Net, threads: int | None) -> Net:
    """Return a net that predicts the same with at most so many threads."""
    if threads is None:
        return net
    from ..net import Net

    config = net.config
    hidden, output = config.activations[:-1], config.activations[-1]
    limited = Net(
        config.sizes,
        hidden,
        output,
        config.loss,
        bias=config.bias,
        dtype=config.dtype,
        init="zeros",
        seed=0,
        threads=threads,
    )
    limited.parameters = net.parameters
    return limited


def _require_finite(outputs: NDArray[np.floating[Any]], table: Table) -> None:
    """Raise ValueError where an output is not finite: the first class of all would look like a prediction."""
    rows = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if len(rows):
        place = f"{table.source}, {table.unit} {table.lines[rows[0]]}"
        raise ValueError(f"{place}: the network's outputs are not finite, for the numbers there are too large for it")


def _judge(
    encoder: TableEncoder, table: Table, outputs: NDArray[np.floating[Any]]
) -> tuple[dict[str, float] | None, list[str]]:
    """Return the score, where the truth is known, and what is to be said: it, and which columns were ignored."""
    used = {column.name for column in (*encoder.features, encoder.target)}
    ignored = [name for name in table.names if name not in used]
    comments = [f"ignored columns: {listed(ignored)}"] if ignored else []
    if encoder.target.name not in table.names:
        return None, comments
    try:
        scores = score(encoder.target, outputs, encoder.encode_target(table))
    except ValueError as error:
        return None, [*comments, f"no score: {error}"]
    return scores, [*comments, f"score: {describe_scores(scores)}"]


def _prediction_columns(
    encoder: TableEncoder, outputs: NDArray[np.floating[Any]], *, probabilities: bool
) -> dict[str, list[Any]]:
    """Names and values of the columns of predictions."""
    target = encoder.target
    if not isinstance(target, Categories):
        return {f"predicted_{target.name}": _decoded(target, outputs[:, 0])}
    columns: dict[str, list[Any]] = {f"predicted_{target.name}": target.decode(np.argmax(outputs, axis=1))}
    if probabilities:
        named = zip(target.labels, outputs.T, strict=True)
        columns |= {f"probability_{label}": _digits(column) for label, column in named}
    return columns


def _decoded(target: Standardised, outputs: NDArray[np.floating[Any]]) -> list[float]:
    """Return numbers in the target's unit, with as many digits as tell the net's outputs apart.

    In the net's own type they would be rounded by what the target's mean is, which may be much more than its scatter;
    in full they would have the digits of the float64 that undid the scaling.
    """
    numbers = target.decode(outputs)
    if outputs.dtype == np.float64:
        return [float(number) for number in numbers]
    with np.errstate(invalid="ignore"):  # outputs may be infinite
        steps = target.std * np.spacing(np.abs(outputs)).astype(np.float64) / 2  # from a power of two to the one below
    return [_rounded(number, step) for number, step in zip(numbers.tolist(), steps.tolist(), strict=True)]


def _rounded(number: float, step: float) -> float:
    """Return a number rounded to the power of ten that is not above `step`; as it is where there is none."""
    if not (math.isfinite(number) and sys.float_info.min <= step < math.inf):
        return number
    rounded = round(number, -math.floor(math.log10(step)))
    return rounded if math.isfinite(rounded) else number


def _digits(values: NDArray[np.floating[Any]]) -> list[float]:
    return [float(str(value)) for value in values]


def _to_csv(columns: dict[str, list[Any]]) -> str:
    text = StringIO()
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    # A carriage return is quoted by itself from Python 3.13 on.
    returns = any("\r" in cell for row in rows for cell in row if isinstance(cell, str))
    dialect = csv.unix_dialect if returns else csv.excel  # the one that quotes all cells
    csv.writer(text, dialect, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(path: Path | None, content: bytes) -> None:
    """Write to a file, or to standard output: in UTF-8 on every system, as all tables are read."""
    if path is None:
        if sys.stdout is None:
            raise ValueError("standard output is closed; give --output FILE")
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return
    with writing(path):
        write_atomically(path, content)
