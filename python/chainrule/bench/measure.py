"""Checks that all sides compute the same, then times them in turn."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .cases import Case, data
from .clock import Run, repetitions, time_of
from .limits import Limits, bandwidth, peak
from .peers import OURS, PREDICTORS, RUNNERS, TWINS
from .predictors import problem
from .runners import Array, NoEquivalent, Runner, first_weights, flat

__all__ = ["Measurement", "measure_prediction", "measure_training"]

ROUNDS = 5

#: Minibatches of the check, and how far the ways that parameters went may then differ, relative to their length. In
#: float32 two right programs drift apart (Adam amplifies the sign of a gradient near zero), so its steps are few:
#: of random nets most differ by 1e-5, deep ones with relu by up to 2e-3.
CHECK_BATCHES = 3
TRAINING_TOLERANCE = {"float32": 2e-2, "float64": 1e-10}

PREDICTION_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


@dataclass
class Measurement:
    """One case, measured. A peer that has no equivalent is in none of the dictionaries.

    Attributes
    ----------
    case : Case
    differences : dict of str to float
        Per peer, the norm of the difference to chainrule in the check: of the ways that the parameters
        went from their first values, or of the predictions; over the norm of chainrule's.
    best, median : dict of str to float
        Per side, microseconds per minibatch step or per prediction, over the rounds.
    limits : Limits, optional
        What the cores could do in the same rounds; for training only.
    """

    case: Case
    differences: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)
    limits: Limits | None = None

    def ratios(self, peer: str) -> tuple[float, float]:
        """How many times longer the peer takes than chainrule: best against best, median against median."""
        return self.best[peer] / self.best[OURS], self.median[peer] / self.median[OURS]

    def gflops(self, side: str = OURS) -> float:
        """Billions of floating-point operations per second in the matrix products."""
        return self.case.flops_per_step / self.best[side] / 1e3


def measure_training(case: Case, dtype: str, peers: Sequence[str], threads: int, seconds: float) -> Measurement:
    """Compare the parameters that all sides learn, then time their steps.

    Parameters
    ----------
    case : Case
    dtype : {"float32", "float64"}
    peers : sequence of str
        Names in `RUNNERS` other than chainrule.
    threads : int
    seconds : float
        About how long to run each side.

    Raises
    ------
    ArithmeticError
        A peer learned other parameters than chainrule.
    """
    measurement = Measurement(case, _check_training(case, dtype, peers, threads))
    batches = max(16, 1024 // case.batch_size)
    runners = _make_runners(case, dtype, (OURS, *measurement.differences), threads, batches)
    peaks: list[float] = []
    _time_in_turn(
        measurement,
        {name: runner.run for name, runner in runners.items()},
        seconds,
        steps=batches,
        between=lambda: peaks.append(peak(dtype, threads)),
    )
    measurement.limits = Limits(max(peaks), bandwidth(case.bytes_held(dtype), dtype, threads))
    return measurement


def measure_prediction(case: Case, dtype: str, peers: Sequence[str], threads: int, seconds: float) -> Measurement:
    """Compare all sides' prediction of one row, then time it; arguments and errors as for `measure_training`."""
    net, x = problem(case, dtype, threads)
    predictors = {}
    for name in (OURS, *peers):
        try:
            predictors[name] = PREDICTORS[name](net, x, threads)
        except NoEquivalent:
            continue
    results = {name: np.asarray(predict(argument)).ravel() for name, (predict, argument) in predictors.items()}
    differences = {
        name: _compare(case, name, results[name], results[OURS], PREDICTION_TOLERANCE[dtype])
        for name in results
        if name != OURS
    }
    measurement = Measurement(case, differences)
    runs: dict[str, Run] = {
        name: timeit.Timer("predict(x)", globals={"predict": predict, "x": argument}).timeit
        for name, (predict, argument) in predictors.items()
    }
    _time_in_turn(measurement, runs, seconds)
    return measurement


def _make_runners(case: Case, dtype: str, sides: Iterable[str], threads: int, batches: int) -> dict[str, Runner]:
    X, Y = data(case, dtype, batches)
    runners = {}
    for name in sides:
        try:
            runners[name] = RUNNERS[name](case, X, Y, threads)
        except NoEquivalent:
            continue
    return runners


def _check_training(case: Case, dtype: str, peers: Sequence[str], threads: int) -> dict[str, float]:
    """Return how far each peer's parameters went another way than chainrule's, or raise ArithmeticError."""
    X, Y = data(case, dtype, CHECK_BATCHES)
    weights = first_weights(case)
    start = flat(weights, (np.zeros(W.shape[1]) for W in weights)).astype(dtype)

    def way(runner: Runner) -> Array:
        runner.run(1)
        moved: Array = runner.parameters() - start
        return moved

    ours = way(RUNNERS[OURS](case, X, Y, threads))
    differences = {}
    for name, runner in _make_runners(case, dtype, peers, threads, CHECK_BATCHES).items():
        expected = way(TWINS[name](case, X, Y, threads)) if name in TWINS else ours
        differences[name] = _compare(case, name, way(runner), expected, TRAINING_TOLERANCE[dtype])
    return differences


def _compare(case: Case, name: str, theirs: Array, ours: Array, tolerance: float) -> float:
    """Return the norm of the difference over that of our result, or raise ArithmeticError."""
    scale = float(np.linalg.norm(ours.astype(np.float64))) or 1.0  # where no parameter moved, say
    difference = float(np.linalg.norm(theirs.astype(np.float64) - ours)) / scale
    if not difference <= tolerance:
        raise ArithmeticError(
            f"{case.name}: {name}'s result differs from chainrule's by {difference:.1e} of its norm; "
            f"at most {tolerance:.0e} is allowed in {ours.dtype}"
        )
    return difference


def _time_in_turn(
    measurement: Measurement,
    runs: dict[str, Run],
    seconds: float,
    steps: int = 1,
    between: Callable[[], object] = lambda: None,
) -> None:
    """Fill in best and median: rounds in which each runs in turn, so that all meet the same moods of the machine.

    Each run is of `steps` steps; `between` is called once a round.
    """
    for run in runs.values():
        run(1)  # compiles, allocates, fills the caches
    counts = {name: repetitions(run, seconds / ROUNDS) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        between()
        for name, run in runs.items():
            times[name].append(time_of(run, counts[name]) / (counts[name] * steps) * 1e6)
    measurement.best = {name: min(values) for name, values in times.items()}
    measurement.median = {name: statistics.median(values) for name, values in times.items()}
