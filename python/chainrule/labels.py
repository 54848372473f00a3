"""Class labels: targets that name one class for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import NetConfig

__all__ = ["class_count", "class_labels"]


def class_labels(config: NetConfig, Y: Any) -> NDArray[np.int64] | None:
    """Return the class of each row, or None where `Y` is something else.

    Labels are the class indices of cross_entropy, or one column of 0 and 1 for log_loss; both are (rows,) or (rows, 1).
    """
    labels = np.asarray(Y)
    if labels.ndim not in (1, 2) or labels.size != len(labels):
        return None
    indices = config.loss.name == "cross_entropy" and labels.dtype.kind in "bui"
    binary = config.loss.name == "log_loss" and config.outputs == 1 and bool(np.isin(labels, (0, 1)).all())
    return labels.ravel().astype(np.int64) if indices or binary else None


def class_count(config: NetConfig) -> int:
    """Return the number of classes that labels may name."""
    return max(2, config.outputs)
