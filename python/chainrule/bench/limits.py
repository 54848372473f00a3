"""What the cores in use can do at best, in this minute: multiply-adds a second, and bytes a second.

The clock of a processor and the neighbours on a shared machine change from minute to minute, so a share
of a limit means something only if both were measured together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .clock import repetitions, time_of

__all__ = ["CACHED", "UNCACHED", "Limits", "bandwidth", "peak"]

R = TypeVar("R")

#: Bytes of three arrays that are beyond any first-level cache and fit a second-level one, and of three that fit none.
CACHED, UNCACHED = 256 * 1024, 400_000_000

#: Any factor below one keeps the numbers of the multiply-adds finite and away from denormals.
FACTOR = 0.5
LINE = 64
TRIALS = 3
SECONDS = 0.005


@dataclass(frozen=True)
class Limits:
    """The limits that a case met.

    Attributes
    ----------
    gflops : float
        Billions of floating-point operations a second; a multiply-add is two.
    bandwidth : float
        Billions of bytes a second, read and written, over as many bytes as the case holds.
    """

    gflops: float
    bandwidth: float

    def microseconds(self, flops: int, size: int) -> float:
        """How long the operations at their peak and then the bytes at their bandwidth would take."""
        return flops / self.gflops / 1e3 + size / self.bandwidth / 1e3


def peak(dtype: str, threads: int) -> float:
    """Return the GFLOP/s of multiply-adds in registers, in the instruction set in use, on all threads together."""
    multiply_adds = _core._multiply_adds32 if dtype == "float32" else _core._multiply_adds64

    def run(rounds: int) -> int:
        return sum(count for count, _ in _on_threads(lambda _: multiply_adds(FACTOR, rounds), threads))

    return 2 * _best_rate(run)


def bandwidth(size: int, dtype: str, threads: int) -> float:
    """Return the GB/s of ``y = x + factor z``, as counted by who wrote it: two arrays read, one written.

    Parameters
    ----------
    size : int
        Bytes of all arrays of all threads together; at least `CACHED` are taken.
    dtype : str
    threads : int
    """
    arrays = [_aligned(max(size, CACHED) // (3 * threads), dtype) for _ in range(threads)]

    def run(rounds: int) -> int:
        _on_threads(lambda thread: _run_triad(arrays[thread], rounds), threads)
        return rounds * sum(array.nbytes for array in arrays)

    return _best_rate(run)


def _aligned(size: int, dtype: str) -> NDArray[Any]:
    """Return three rows of about `size` bytes of whole cache lines: vectors that straddle two lines cost a sixth."""
    itemsize = np.dtype(dtype).itemsize
    lanes = LINE // itemsize
    length = size // LINE * lanes
    memory = np.ones(3 * length + lanes, dtype)
    first = -memory.ctypes.data % LINE // itemsize
    return memory[first : first + 3 * length].reshape(3, length)


def _run_triad(arrays: NDArray[Any], rounds: int) -> None:
    y, x, z = arrays
    _core._triad(y, x, z, FACTOR, rounds)


def _on_threads(work: Callable[[int], R], threads: int) -> list[R]:
    if threads == 1:
        return [work(0)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(threads)))


def _best_rate(run: Callable[[int], int]) -> float:
    """Return billions a second of what `run` counts, the best of some trials of some milliseconds."""
    rounds = repetitions(run, SECONDS)
    return run(rounds) / min(time_of(run, rounds) for _ in range(TRIALS)) / 1e9
