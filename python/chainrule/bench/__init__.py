"""``chainrule bench``: the C++ core against NumPy, and against JAX and PyTorch where they are installed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from .cases import CASES, select

__all__ = ["add_arguments", "run"]

#: One thread for everyone, on one core: these must be set before a library starts its threads.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--only", metavar="TEXT", default="", help="only the cases whose name contains TEXT")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    parser.add_argument(
        "--seconds", type=_positive, default=1.0, help="time to spend on each case and library (default: 1)"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, nargs="?", const=Path("-"), help="write JSON to FILE, or print it"
    )
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, nargs="?", const=Path("bench.png"), help="draw a chart (default bench.png)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Measure in a process of its own, with one thread on one core, and return its exit code."""
    if not select(args.only):
        names = "; ".join(case.name for case in CASES)
        raise ValueError(f"--only {args.only!r} is in the name of no case; there are: {names}")
    for path in (args.json, args.plot):
        if path is not None and path != Path("-") and path.exists() and not args.force:
            raise FileExistsError(f"{path} exists; replace it with --force")
    options = ["--only", args.only, "--dtype", args.dtype, "--seconds", str(args.seconds)]
    options += ["--json", str(args.json)] if args.json else []
    options += ["--plot", str(args.plot)] if args.plot else []
    return subprocess.run([sys.executable, "-m", "chainrule.bench", *options], env=os.environ | ONE_THREAD).returncode


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive, got {text}")
    return value
