"""Rows for training, for validation and for the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import counted

__all__ = ["Split", "split_rows"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, each ascending, none shared.

    Attributes
    ----------
    train, validation, test : ndarray of int64
    """

    train: Rows
    validation: Rows
    test: Rows


def split_rows(
    rows: int,
    *,
    validation: float,
    test: float,
    seed: int,
    classes: NDArray[np.integer[Any]] | None = None,
) -> Split:
    """Draw validation and test rows at random; the same seed gives the same rows.

    Parameters
    ----------
    rows : int
    validation, test : float
        Share of all rows for either part, in [0, 1); zero leaves the part empty.
    seed : int
    classes : ndarray of int, (rows,), optional
        The split is stratified: every class is split by the same shares, rounded.

    Raises
    ------
    ValueError
        The shares leave nothing to train on, or there are too few rows to fill a part.
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"the {name} fraction must be in [0, 1), got {share}")
    if validation + test >= 1:
        raise ValueError(f"validation fraction {validation} and test fraction {test} leave no rows to train on")
    strata = np.zeros(rows, dtype=np.int64) if classes is None else classes
    generator = np.random.default_rng(seed)
    parts: dict[str, list[Rows]] = {"test": [], "validation": [], "train": []}
    for stratum in np.unique(strata):
        shuffled = generator.permutation(np.flatnonzero(strata == stratum))
        tested = round(test * len(shuffled))
        validated = tested + round(validation * len(shuffled))
        for part, chosen in zip(parts, np.split(shuffled, [tested, validated]), strict=True):
            parts[part].append(chosen)
    split = Split(**{part: np.sort(np.concatenate(chosen)) for part, chosen in parts.items()})
    _check_parts(split, rows, validation, test)
    return split


def _check_parts(split: Split, rows: int, validation: float, test: float) -> None:
    wanted = {"train": 1 - validation - test, "validation": validation, "test": test}
    for part, share in wanted.items():
        if share > 0 and len(getattr(split, part)) == 0:
            raise ValueError(
                f"{counted(rows, 'row')} cannot be split into parts with {share:.0%} for {part}; "
                "give more rows, or set the fraction to another value (0 for none)"
            )
