"""What is to be measured, and the process of its own that measures it: on chosen cores, with chosen threads."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .cases import Case

__all__ = ["Plan", "cores", "run_apart"]


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs to know, checked.

    Attributes
    ----------
    cases : tuple of Case
    peers : tuple of str
        Names of libraries that are installed, other than chainrule.
    dtype : {"float32", "float64"}
    threads : int
        Of every library; as many cores are used.
    seconds : float
        To spend on each case and library.
    time_limit : float or None
        Seconds after which no further case is begun.
    predict : bool
        Whether predictions of one row are measured, not training.
    json, plot : Path or None
        Where to write; ``Path("-")`` is standard output.
    """

    cases: tuple[Case, ...]
    peers: tuple[str, ...]
    dtype: str
    threads: int
    seconds: float
    time_limit: float | None
    predict: bool
    json: Path | None
    plot: Path | None


def cores() -> list[int]:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def run_apart(plan: Plan) -> int:
    """Measure in a process of its own and return its exit code.

    Libraries read the number of threads from the environment when they are loaded, so it is set before.
    """
    environment = os.environ | _threads_environment(plan.threads)
    command = [sys.executable, "-m", "chainrule.bench"]
    return subprocess.run(command, input=pickle.dumps(plan), env=environment).returncode


def _threads_environment(threads: int) -> dict[str, str]:
    count = str(threads)
    environment = {
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "NPROC": count,  # the size of JAX's pool of threads
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no processes that wait beside
    }
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return environment
