"""Initial weights: the same numbers for the same seed on every platform.

The uniform numbers are the raw 64-bit stream of Philox4x64-10 (Salmon et al.,
*Parallel random numbers: as easy as 1, 2, 3*, 2011), whose bits NumPy fixes, and are
turned into [0, 1) by their upper 53 bits.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias, cast

import numpy as np

from .config import NetConfig, choose

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["INITIALIZERS", "initial_weights", "read_seed"]

Weights: TypeAlias = "NDArray[np.float64]"

#: Half width of the uniform distribution, from a layer's fan_in and fan_out.
INITIALIZERS: dict[str, Callable[[int, int], float]] = {
    # Glorot and Bengio, 2010, equation 16.
    "glorot_uniform": lambda fan_in, fan_out: math.sqrt(6.0 / (fan_in + fan_out)),
    # He et al., 2015, equation 10, as a uniform distribution of the same variance 2 / fan_in.
    "he_uniform": lambda fan_in, fan_out: math.sqrt(6.0 / fan_in),
    # LeCun et al., 1998, section 4.6: variance 1 / fan_in.
    "lecun_uniform": lambda fan_in, fan_out: math.sqrt(3.0 / fan_in),
    "zeros": lambda fan_in, fan_out: 0.0,
}


def read_seed(seed: object) -> int:
    """Return `seed` as an int in [0, 2**63), drawing a fresh one for None."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    if isinstance(seed, bool):
        raise TypeError(f"seed must be an integer or None, got {seed!r}")
    try:
        value = operator.index(cast(SupportsIndex, seed))
    except TypeError:
        raise TypeError(f"seed must be an integer or None, got {seed!r}") from None
    if not 0 <= value < 2**63:
        raise ValueError(f"seed must be in [0, 2**63), got {value}")
    return value


def initial_weights(config: NetConfig, init: str, seed: int) -> Iterator[Weights]:
    """Draw the weights of every layer, one after the other; biases start at zero.

    Parameters
    ----------
    config : NetConfig
    init : str
        One of `INITIALIZERS`.
    seed : int

    Yields
    ------
    ndarray of float64, one (fan_in, fan_out) per layer

    Raises
    ------
    TypeError, ValueError
        `init` is not one of `INITIALIZERS`.
    """
    half_width = INITIALIZERS[choose("init", init, tuple(INITIALIZERS))]
    stream = np.random.Philox(key=seed)
    for fan_in, fan_out in config.layer_shapes:
        # In place, for a layer may fill much of the memory.
        raw = stream.random_raw((fan_in, fan_out))
        raw >>= np.uint64(11)
        weights = raw.astype(np.float64)
        weights *= 2.0**-52
        weights -= 1.0
        weights *= half_width(fan_in, fan_out)
        yield weights
