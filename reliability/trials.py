"""What the programs of this folder share: their arguments, nets that differ, and the line of result at the end."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chainrule import Net

Array = NDArray[np.floating]


def read_arguments(
    description: str | None, count: int, of_what: str, add: Callable[[argparse.ArgumentParser], object] | None = None
) -> argparse.Namespace:
    """Return the arguments `count` and `seed`, and what `add` adds to them."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    parser.add_argument("--count", type=int, default=count, help=f"{of_what} (default {count})")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    if add is not None:
        add(parser)
    return parser.parse_args()


class Tally:
    """What was tried, how often, and what failed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: dict[str, int] = {}
        self.failures: list[str] = []
        self._start = time.perf_counter()

    def add(self, what: str, times: int = 1) -> None:
        """Count something that was tried, or seen."""
        self._counts[what] = self._counts.get(what, 0) + times

    def fail(self, what: str) -> None:
        """Note a failure, and tell of it at once."""
        self.failures.append(what)
        print(f"FAILED {what}", file=sys.stderr, flush=True)

    def finish(self) -> int:
        """Print the line of result; return the program's exit code."""
        counts = ", ".join(f"{times} {what}" for what, times in self._counts.items())
        seconds = time.perf_counter() - self._start
        print(f"{self._name}: {counts}; {len(self.failures)} failed; {seconds:.0f} s")
        return 1 if self.failures else 0


def described(check: Callable[..., str], *arguments: object) -> str:
    """Return what `check` finds wrong, or the error that it ends in."""
    try:
        return check(*arguments)
    except Exception as error:
        return repr(error)


def draw_data(sizes: list[int], rows: int, seed: int = 0) -> tuple[Array, Array]:
    """Return inputs and targets for a net of these sizes."""
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, sizes[0])), random.random((rows, sizes[-1]))


def same_state(a: Net, b: Net) -> bool:
    """Whether two nets agree in every bit that later training depends on."""
    ours, theirs = a._core.read_optimizer_state(), b._core.read_optimizer_state()
    return (
        np.array_equal(a.parameters, b.parameters)
        and ours[:2] == theirs[:2]
        and len(ours[2]) == len(theirs[2])
        and all(map(np.array_equal, ours[2], theirs[2]))
        and a.epochs_trained == b.epochs_trained
        and a._core.epoch_in_progress == b._core.epoch_in_progress
        and a.schedule_state == b.schedule_state
    )
