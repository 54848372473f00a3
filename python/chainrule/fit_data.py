"""The data of a fit: classes weighed, and rows held out for validation."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import NO_NUMBERS
from .class_weights import class_weights_of_rows
from .foreign_arrays import in_place, is_sparse
from .held_out import hold_out
from .labels import class_labels

if TYPE_CHECKING:
    from .config import NetConfig

__all__ = ["FitData", "read_fit_data"]

VALIDATIONS = "(X, Y), (X, Y, sample_weight) or a share in (0, 1)"


@dataclass(frozen=True)
class FitData:
    """What a net is trained on, and what it is judged by.

    Attributes
    ----------
    X, Y, sample_weight : array_like
        `sample_weight` may be None.
    validation : (X, Y, sample_weight) or None
    """

    X: Any
    Y: Any
    sample_weight: Any = None
    validation: tuple[Any, Any, Any] | None = None


def read_fit_data(
    config: NetConfig,
    seed: int,
    whole: FitData,
    class_weight: Any,
    validation: Any,
    check: Callable[[FitData], object],
) -> FitData:
    """Weigh the classes, and split off the validation data where it is a share.

    Parameters
    ----------
    config : NetConfig
    seed : int
        Of the net; fixes which rows are held out.
    whole : FitData
        As the user gave it; nothing is copied unless rows are held out.
    class_weight : None, "balanced" or dict
    validation : None, (X, Y), (X, Y, sample_weight) or float
    check : callable
        Raises the errors of data that does not suit the net.

    Raises
    ------
    TypeError, ValueError
        An argument is not allowed.
    """
    share = _read_share(validation)
    if class_weight is None and share is None:
        return FitData(whole.X, whole.Y, whole.sample_weight, _read_validation(validation))
    # Here and not after the split, so that errors name the user's rows.
    check(whole)
    weights = whole.sample_weight
    if class_weight is not None:
        of_classes = class_weights_of_rows(config, class_weight, whole.Y)
        weights = of_classes if weights is None else of_classes * np.asarray(weights)
    if share is None:
        return FitData(whole.X, whole.Y, weights, _read_validation(validation))
    X = whole.X.tocsr() if is_sparse(whole.X) else np.asarray(whole.X)
    arrays = [X, np.asarray(whole.Y), None if weights is None else np.asarray(weights)]
    training, held_out = hold_out(seed, len(whole.Y), share, class_labels(config, whole.Y))
    parts = ([None if array is None else array[rows] for array in arrays] for rows in (training, held_out))
    (X, Y, weights), (X_held_out, Y_held_out, weights_held_out) = parts
    return FitData(X, Y, weights, (X_held_out, Y_held_out, weights_held_out))


def _read_share(validation: Any) -> float | None:
    if not isinstance(validation, numbers.Real) or isinstance(validation, NO_NUMBERS):
        return None
    try:
        share = float(validation)
    except OverflowError:  # an integer
        share = math.inf
    if not 0 < share < 1:
        raise ValueError(f"validation must be {VALIDATIONS}; got {validation!r:.80}")
    return share


def _read_validation(validation: Any) -> tuple[Any, Any, Any] | None:
    if validation is None:
        return None
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        raise TypeError(f"validation must be {VALIDATIONS}; got {validation!r:.80}")
    X, Y, *weights = map(in_place, validation)
    return X, Y, weights[0] if weights else None
