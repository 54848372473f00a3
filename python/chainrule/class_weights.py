"""Weights of classes, turned into weights of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import read_number
from .config import read_count
from .labels import class_count, class_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import NetConfig

__all__ = ["class_weights_of_rows"]


def class_weights_of_rows(config: NetConfig, class_weight: Any, Y: Any) -> NDArray[np.float64]:
    """Return the weight of each row's class.

    Parameters
    ----------
    config : NetConfig
    class_weight : "balanced" or dict of int to float
        ``"balanced"`` gives a class ``rows / (classes * rows of that class)``, where only the classes that occur are
        counted, so that all of them weigh the same and the mean weight of a row is 1, as in scikit-learn.
        In a dict, classes that are not named weigh 1.
    Y : array_like
        Class labels, as `class_labels` takes them.

    Raises
    ------
    TypeError, ValueError
        The targets are no labels, a class or its weight is not allowed, or every row would weigh 0.

    References
    ----------
    King and Zeng, *Logistic Regression in Rare Events Data*, 2001, section 4.2 (balanced weights).
    """
    labels = class_labels(config, Y)
    if labels is None:
        raise ValueError(
            "class_weight needs Y to be class labels: indices for cross_entropy, or one column of 0 and 1 for log_loss"
        )
    weights = _weights_of_classes(class_weight, labels, class_count(config))[labels]
    if not weights.any():
        raise ValueError(f"class_weight must not be 0 for every row, got {class_weight!r}")
    return weights


def _weights_of_classes(class_weight: Any, labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    weights = np.ones(classes)
    if isinstance(class_weight, str) and class_weight == "balanced":
        found, counts = np.unique(labels, return_counts=True)
        weights[found] = len(labels) / (len(found) * counts)
        return weights
    if not isinstance(class_weight, Mapping):
        error = ValueError if isinstance(class_weight, str) else TypeError
        raise error(f"class_weight must be 'balanced' or a dict of class index to weight, got {class_weight!r}")
    for index, weight in class_weight.items():
        if read_count("a class of class_weight", index, minimum=0) >= classes:
            raise ValueError(f"class_weight names class {index}; the classes are 0 to {classes - 1}")
        weights[index] = read_number(f"class_weight[{index}]", weight)
    return weights
