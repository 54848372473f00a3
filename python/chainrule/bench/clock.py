"""How long something takes, and how often to run it so that it takes long enough to be measured."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Run", "repetitions", "time_of"]

#: Runs something that many times.
Run = Callable[[int], object]


def time_of(run: Run, count: int) -> float:
    """Return the seconds that `count` runs take."""
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def repetitions(run: Run, seconds: float) -> int:
    """Return how many runs take about that time, found by doubling; at least one.

    A single run may be shorter than a tick of the clock, or be held up by another process, so each time is
    the lesser of two.
    """
    count = 1
    while (taken := min(time_of(run, count) for _ in range(2))) < seconds / 10:
        count *= 2
    return max(1, int(count * seconds / taken))
