"""Random rows that suit a net: for checks and for measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import NetConfig

__all__ = ["random_rows"]


def random_rows(config: NetConfig, rows: int, random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw inputs, (rows, features) in the net's dtype, and targets.

    The targets are class indices (rows,) for cross_entropy; else (rows, target columns) in the net's dtype: 0 or 1 for
    log_loss, -1 or 1 for hinge, and numbers from [0, 1) for all other losses.
    """
    X = random.standard_normal((rows, config.features)).astype(config.dtype)
    shape = (rows, config.target_columns)
    if config.loss.name == "cross_entropy":
        return X, random.integers(config.outputs, size=rows)
    if config.loss.name in ("log_loss", "hinge"):
        ones = random.integers(2, size=shape).astype(config.dtype)
        return X, ones if config.loss.name == "log_loss" else 2 * ones - 1
    return X, random.random(shape).astype(config.dtype)
