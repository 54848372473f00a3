"""Checks that all runners compute the same weights, then times them in turn."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from .cases import Case, data
from .runners import RUNNERS, Runner

__all__ = ["Measurement", "installed", "measure"]

ROUNDS = 5

#: Minibatches of the check, and how far parameters may then differ, relative to their norm. In float32 two right
#: programs drift apart (Adam amplifies the sign of a gradient near zero), so its steps are few.
CHECK_BATCHES = 3
TOLERANCE = {"float32": 1e-3, "float64": 1e-10}


@dataclass
class Measurement:
    """One case, measured.

    Attributes
    ----------
    case : Case
    differences : dict of str to float
        Per peer, the norm of the difference to chainrule's parameters over their norm, after the check.
    best, median : dict of str to float
        Per runner, microseconds per minibatch step.
    """

    case: Case
    differences: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)

    def ratio(self, peer: str) -> float:
        """How many times longer the peer's step takes than chainrule's, best against best."""
        return self.best[peer] / self.best["chainrule"]

    def gflops(self, runner: str = "chainrule") -> float:
        """Billions of floating-point operations per second in the matrix products."""
        return self.case.flops_per_step / self.best[runner] / 1e3


def installed() -> list[str]:
    """Names of the runners whose library can be imported."""
    from importlib.util import find_spec

    return [name for name in RUNNERS if name == "chainrule" or find_spec(name) is not None]


def measure(case: Case, dtype: str, runners: list[str], seconds: float) -> Measurement:
    """Compare the results of the runners, then time them.

    Parameters
    ----------
    case : Case
    dtype : {"float32", "float64"}
    runners : list of str
        Names in `RUNNERS`, ``"chainrule"`` among them.
    seconds : float
        About how long to run each.

    Raises
    ------
    ArithmeticError
        A runner computed other weights than chainrule.
    """
    measurement = Measurement(case, _check(case, dtype, runners))
    X, Y = data(case, dtype, batches=max(16, 1024 // case.batch_size))
    steps = len(X) // case.batch_size
    ready = {name: RUNNERS[name](case, X, Y) for name in runners}
    epochs = {name: _epochs_per_round(runner, seconds / ROUNDS) for name, runner in ready.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(ROUNDS):  # in turn, so that all meet the same moods of the machine
        for name, runner in ready.items():
            times[name].append(_time(runner, epochs[name]) / (epochs[name] * steps) * 1e6)
    measurement.best = {name: min(values) for name, values in times.items()}
    measurement.median = {name: statistics.median(values) for name, values in times.items()}
    return measurement


def _check(case: Case, dtype: str, runners: list[str]) -> dict[str, float]:
    X, Y = data(case, dtype, CHECK_BATCHES)
    found = {}
    for name in runners:
        runner = RUNNERS[name](case, X, Y)
        runner.run(1)
        found[name] = runner.parameters().astype(np.float64)
    ours = found.pop("chainrule")
    differences = {name: float(np.linalg.norm(theirs - ours) / np.linalg.norm(ours)) for name, theirs in found.items()}
    for name, difference in differences.items():
        if not difference <= TOLERANCE[dtype]:
            raise ArithmeticError(
                f"{case.name}: {name} and chainrule differ by {difference:.1e} after {CHECK_BATCHES} steps; "
                f"at most {TOLERANCE[dtype]:.0e} is allowed in {dtype}"
            )
    return differences


def _epochs_per_round(runner: Runner, seconds: float) -> int:
    runner.run(1)  # compiles, allocates, fills the caches
    return max(1, int(seconds / max(_time(runner, 1), 1e-9)))


def _time(runner: Runner, epochs: int) -> float:
    start = time.perf_counter()
    runner.run(epochs)
    return time.perf_counter() - start
