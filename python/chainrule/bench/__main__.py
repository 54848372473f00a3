"""The process that measures; it reads a pickled `Plan` from standard input (see `run_apart`)."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import sys
import time
from pathlib import Path

from .limits import CACHED, UNCACHED, bandwidth, peak
from .measure import Measurement, measure_prediction, measure_training
from .peer_torch import CompiledTorchRunner
from .plan import Plan, cores
from .report import Table, as_json, describe_limits, describe_run, draw


def main() -> None:
    """Measure the chosen cases, printing each as it is done."""
    # Ctrl-C reaches the parent too, which reports it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    plan: Plan = pickle.load(sys.stdin.buffer)
    chosen = cores()[: plan.threads]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen)
    # With JSON on stdout, the table is for the eyes.
    out = sys.stderr if plan.json == Path("-") else sys.stdout
    print(describe_run(plan, chosen), file=out, flush=True)
    start = time.perf_counter()
    peers = _working(plan.peers)
    limits = {} if plan.predict else _measure_limits(plan)
    if limits:
        print(describe_limits(limits), file=out)
    table = Table(plan, peers)
    print(table.header(), file=out, flush=True)
    measure = measure_prediction if plan.predict else measure_training
    measurements: list[Measurement] = []
    for case in plan.cases:
        if measurements and time.perf_counter() - start > (plan.time_limit or math.inf):
            break
        measurements.append(measure(case, plan.dtype, peers, plan.threads, plan.seconds))
        print(table.row(measurements[-1]), file=out, flush=True)
    print(table.footer(), file=out)
    document = as_json(plan, measurements, limits)
    if document["left_out"]:
        print(f"chainrule: note: the time limit left out: {'; '.join(document['left_out'])}", file=sys.stderr)
    if plan.json:
        text = json.dumps(document, indent=2)
        print(text) if plan.json == Path("-") else plan.json.write_text(text + "\n")
    if plan.plot:
        draw(document, plan.plot)


def _working(peers: tuple[str, ...]) -> list[str]:
    """Return the peers that work here, with a note on those that do not, or raise ImportError if none does."""
    fault = CompiledTorchRunner.fault() if "torch-compile" in peers else None
    if fault is None:
        return list(peers)
    print(f"chainrule: note: torch-compile is left out: {fault}", file=sys.stderr)
    working = [peer for peer in peers if peer != "torch-compile"]
    if not working:
        raise ImportError("none of the peers works here")
    return working


def _measure_limits(plan: Plan) -> dict[str, float]:
    """Return the limits under their names in the JSON."""
    return {
        "gflops": peak(plan.dtype, plan.threads),
        "cache_gb_per_second": bandwidth(CACHED * plan.threads, plan.dtype, plan.threads),
        "memory_gb_per_second": bandwidth(UNCACHED, plan.dtype, plan.threads),
    }


try:
    main()
except (ArithmeticError, MemoryError, OSError, ImportError) as error:
    print(f"chainrule: error: {error}", file=sys.stderr)
    sys.exit(1)
