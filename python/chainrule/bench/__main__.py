"""The process that measures; `chainrule bench` starts it with one thread."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import add_arguments
from .cases import select
from .measure import installed, measure
from .report import as_json, draw, header, row


def main() -> int:
    """Measure the chosen cases, printing each as it is done."""
    parser = argparse.ArgumentParser(prog="chainrule bench")
    add_arguments(parser)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    runners = installed()
    peers = [name for name in runners if name != "chainrule"]
    # With JSON on stdout, the table is for the eyes.
    table = sys.stderr if args.json == Path("-") else sys.stdout
    print(header(peers), file=table, flush=True)
    measurements = []
    for case in select(args.only):
        measurements.append(measure(case, args.dtype, runners, args.seconds))
        print(row(measurements[-1], peers), file=table, flush=True)
    print("Each peer computed chainrule's weights before it was timed. One thread, one core.", file=table)
    if args.json:
        text = json.dumps(as_json(measurements, args.dtype), indent=2)
        print(text) if args.json == Path("-") else args.json.write_text(text + "\n")
    if args.plot:
        draw(measurements, args.plot)
    return 0


try:
    sys.exit(main())
except (ArithmeticError, OSError, ImportError) as error:
    print(f"chainrule: error: {error}", file=sys.stderr)
    sys.exit(1)
