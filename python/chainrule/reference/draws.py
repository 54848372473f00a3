"""Random numbers of a training step, for dropout and noise: those of the C++ core, bit for bit.

Each is a function of the seed, the step, the layer, the row and the unit alone, so that no order of work changes it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..random_numbers import normal_quantile

__all__ = ["Draw"]

Bits = NDArray[np.uint32]

MASK_32, MASK_64 = 2**32 - 1, 2**64 - 1


class Draw(NamedTuple):
    """The numbers of one step.

    Attributes
    ----------
    seed : int
        That of the net.
    step : int
        The updates of the present update rule before this one.

    References
    ----------
    Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, 2011: numbers as functions of a key and a counter.
    Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014: SplitMix64, which makes the keys.
    Wellons, *Prospecting for Hash Functions*, 2018: the mixing of the counter with them, but for its last step.
    """

    seed: int
    step: int

    def bits(self, layer: int, rows: int, units: int) -> Bits:
        """Return 32 random bits for every unit of a layer in every row of the minibatch, (rows, units)."""
        first, second = self._keys(layer)
        index = np.arange(rows * units).astype(np.uint32)
        return (_mix(index ^ first) + second).reshape(rows, units)

    def kept(self, layer: int, rows: int, units: int, share: float) -> NDArray[np.bool_]:
        """Return which outputs of a layer stay where this share is dropped, (rows, units)."""
        return self.bits(layer, rows, units) >= np.uint32(int(share * 2**32))

    def normal(self, layer: int, rows: int, units: int) -> NDArray[np.float64]:
        """Return numbers of mean 0 and standard deviation 1, (rows, units)."""
        # The centres of 2**32 equal parts of (0, 1), all of them exact.
        probabilities = (self.bits(layer, rows, units).ravel().astype(np.float64) + 0.5) * 2.0**-32
        return normal_quantile(probabilities).reshape(rows, units)

    def _keys(self, layer: int) -> tuple[np.uint32, np.uint32]:
        """Return two keys: the halves of the number that SplitMix64 makes of the step and the layer."""
        z = (self.seed + 0x9E3779B97F4A7C15 * (self.step * 1024 + layer + 1)) & MASK_64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK_64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK_64
        z ^= z >> 31
        return np.uint32(z & MASK_32), np.uint32(z >> 32)


def _mix(x: Bits) -> Bits:
    """Shuffle 32 bits one to one, so that the high ones show no trace of their order; products are modulo 2**32."""
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    return (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
