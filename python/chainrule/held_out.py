"""Rows that are held out of the training for validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ._core import permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["hold_out"]

#: An epoch that no training reaches: its order of the rows is the draw.
EPOCH_OF_THE_DRAW = 2**64 - 1


def hold_out(
    seed: int, rows: int, share: float, labels: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the rows to hold out: a function of these arguments, the same on every platform.

    Parameters
    ----------
    seed, rows : int
    share : float
        In (0, 1).
    labels : ndarray of int64, (rows,), or None
        The class of each row. Each class then gives its share, rounded down or up so that the sum is as near to the
        share of all as can be (the method of largest remainders), but never its last row.

    Returns
    -------
    training, held_out : ndarray of int64
        Both ascending, and neither empty.

    Raises
    ------
    ValueError
        No row can be held out.
    """
    groups = np.zeros(rows, np.int64) if labels is None else labels
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    counts = _counts_to_hold_out(sizes, share)
    if not counts.any():
        what = f"{rows} rows" if labels is None else f"{rows} rows of {len(sizes)} classes"
        raise ValueError(f"validation={share} needs more data: of {what}, none can be spared")
    order = permutation(seed, EPOCH_OF_THE_DRAW, rows)
    by_group = order[np.argsort(groups[order], kind="stable")]
    place_in_group = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    is_held_out = place_in_group < np.repeat(counts, sizes)
    return np.sort(by_group[~is_held_out]), np.sort(by_group[is_held_out])


def _counts_to_hold_out(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Rows that each class gives."""
    quotas = share * sizes
    counts: NDArray[np.int64] = np.minimum(np.floor(quotas).astype(np.int64), sizes - 1)
    missing = max(1, math.floor(share * sizes.sum() + 0.5)) - counts.sum()
    # Those with the largest remainders give one more, the first of equals first.
    for group in np.argsort(counts - quotas, kind="stable"):
        if missing > 0 and counts[group] < sizes[group] - 1:
            counts[group] += 1
            missing -= 1
    return counts
