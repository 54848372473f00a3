"""Initial weights and biases, drawn as scikit-learn draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_seed", "draw_weights"]


def draw_weights(
    random: np.random.RandomState, sizes: Sequence[int], activations: Sequence[str]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return weights and biases of every layer, uniform in ``[-b, b]`` with ``b^2 = 6 / (fan_in + fan_out)``.

    Where the layer is a sigmoid's the 6 is a 2. The order of the draws is scikit-learn's, so that the same `random`
    gives the same numbers.

    References
    ----------
    Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010, equation 16.
    """
    drawn = []
    for (fan_in, fan_out), name in zip(pairwise(sizes), activations, strict=True):
        bound = math.sqrt((2.0 if name == "sigmoid" else 6.0) / (fan_in + fan_out))
        weights = random.uniform(-bound, bound, (fan_in, fan_out))
        drawn.append((weights, random.uniform(-bound, bound, fan_out)))
    return drawn


def draw_seed(random: np.random.RandomState) -> int:
    """Return a seed for the order of the rows and for dropout, leaving `random` where it is.

    What is drawn next, the rows held out for early stopping, is then what scikit-learn draws.
    """
    # The next 32 bits as they are. How a seed is derived is as good as any other way, but not without effect on tests:
    # those of scikit-learn that hold float32 fits to float64 ones fail for one order of the rows in ten, theirs too
    # (tests/test_estimators_sklearn_tests.py has the figures).
    ahead = np.random.RandomState()
    ahead.set_state(random.get_state())
    return int.from_bytes(ahead.bytes(4), "little")
