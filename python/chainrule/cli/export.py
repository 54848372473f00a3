"""``chainrule export``: a model as an ONNX file, or as one file of C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..atomic_files import named_file
from ..config import NetConfig
from ..export.c_source import check_name
from ..files import load_with_metadata
from .errors import UsageError
from .exit_codes import DONE
from .outputs import check_output, to_json, writing

USAGE = "%(prog)s MODEL [--to FORMAT] OUTPUT [options]"
DESCRIPTION = """\
Write the prediction of a model for other programs: as an ONNX model (needs the package onnx), or as
one file of C99 with the weights and a function NAME_predict, which needs <math.h> alone.

The network is exported, without the encoding of the table that it was trained on: numbers in and out
are those of 'chainrule.Net.load(MODEL).predict'. An ONNX model carries the encoding as its metadata.
"""
EXAMPLES = """\
examples:
  chainrule export penguins.safetensors penguins.onnx
  chainrule export penguins.safetensors --to c penguins.c --name penguins --json
"""
#: The formats, and how the names of their files end.
FORMATS = {"onnx": ".onnx", "c": ".c"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule export``."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model file that 'train' or Net.save wrote")
    parser.add_argument("output", type=named_file, metavar="OUTPUT", help="file to write")
    parser.add_argument("--to", choices=FORMATS, metavar="FORMAT", help="onnx or c (default: as OUTPUT ends)")
    parser.add_argument("--name", metavar="NAME", help="beginning of the names in a file of C (default: net)")
    parser.add_argument("--force", action="store_true", help="replace an existing output file")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Load the model and write it in the other format."""
    to = args.to or _format_of(args.output)
    if to == "onnx" and args.name is not None:
        raise UsageError("--name is for files of C")
    if args.name is not None:
        try:
            check_name(args.name)
        except ValueError as error:
            raise UsageError(f"--name: {error}") from None
    check_output(args.output, force=args.force, inputs=[args.model])
    net, metadata = load_with_metadata(args.model)
    with writing(args.output):
        if to == "onnx":
            net.to_onnx(args.output, metadata)
        else:
            net.to_c(args.output, name="net" if args.name is None else args.name)
    if "table" in metadata:
        columns = f"{net.config.features} encoded inputs and {net.config.outputs} encoded outputs"
        print(f"note: the file has {columns}; encoding a table is not part of it", file=sys.stderr)
    if args.json:
        print(to_json(_describe(args, to, net.config)))
    return DONE


def _describe(args: argparse.Namespace, to: str, config: NetConfig) -> dict[str, Any]:
    return {
        "model": str(args.model),
        "output": str(args.output),
        "format": to,
        "bytes": args.output.stat().st_size,
        "inputs": config.features,
        "outputs": config.outputs,
        "dtype": config.dtype,
    }


def _format_of(output: Path) -> str:
    for name, suffix in FORMATS.items():
        if output.suffix == suffix:
            return name
    raise UsageError(
        f"give --to, one of {', '.join(FORMATS)}: {output} ends with none of {', '.join(FORMATS.values())}"
    )
