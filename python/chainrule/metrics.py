"""Metrics of users, taken after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .foreign_arrays import is_sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LOSS_NAMES", "Metric", "Metrics", "read_metrics"]

#: ``metric(Y, predictions) -> number``.
Metric: TypeAlias = Callable[[Any, Any], Any]

#: What a fit measures anyway, so that no metric may have these names.
LOSS_NAMES = ("loss", "validation_loss")


def read_metrics(metrics: Any) -> dict[str, Metric]:
    """Return the metrics by their names.

    Parameters
    ----------
    metrics : None, dict of str to callable, or list or tuple of callables
        Callables without names of their own go by ``__name__``.

    Raises
    ------
    TypeError, ValueError
        It is none of these, or a name is taken.
    """
    if metrics is None:
        return {}
    if isinstance(metrics, Mapping):
        pairs = list(metrics.items())
    elif isinstance(metrics, list | tuple):
        pairs = [(getattr(metric, "__name__", None), metric) for metric in metrics]
    else:
        raise TypeError(f"metrics must be a dict of name to callable, or a list of callables; got {metrics!r}")
    named: dict[str, Metric] = {}
    for name, metric in pairs:
        if not callable(metric):
            raise TypeError(f"metrics must be callable, got {metric!r}")
        if not isinstance(name, str):
            raise TypeError(f"metrics must have names that are strings: {metric!r} has {name!r}")
        if name in LOSS_NAMES:
            raise ValueError(f"metrics must not be named {name!r}, which is what a fit measures anyway")
        if name in named:
            raise ValueError(f"metrics must have different names; {name!r} is there twice")
        named[name] = metric
    return named


class Metrics:
    """The metrics of one fit, and what they gave.

    Parameters
    ----------
    functions : dict of str to callable
    X, Y : array_like
        The data that they are taken on.
    """

    def __init__(self, functions: dict[str, Metric], X: Any, Y: Any) -> None:
        self._functions = functions
        self._epochs: list[dict[str, float]] = []
        if functions:
            self._X, self._Y = X if is_sparse(X) else np.asarray(X), np.asarray(Y)

    def __bool__(self) -> bool:
        return bool(self._functions)

    def measure(self, predict: Callable[[Any], NDArray[Any]]) -> dict[str, float]:
        """Return the metrics of the net as it is now.

        Raises
        ------
        TypeError, ValueError
            A metric gives something else than a number, or NaN; the message names it.
        """
        # What is complete is kept where a later one raises.
        measured: dict[str, float] = {}
        self._epochs.append(measured)
        if self._functions:
            predictions = predict(self._X)
            # A vector of targets less a column of predictions would be a matrix.
            if self._Y.ndim == 1 and predictions.shape[1] == 1:
                predictions = predictions[:, 0]
            for name, function in self._functions.items():
                measured[name] = _read_value(name, function(self._Y, predictions))
        return measured

    @property
    def last(self) -> dict[str, float]:
        """The values of the last epoch."""
        return dict(self._epochs[-1])

    def record(self) -> dict[str, NDArray[np.float64]]:
        """Return the values of every epoch by name; NaN where an exception came before a value."""
        return {
            name: np.array([measured.get(name, math.nan) for measured in self._epochs], np.float64)
            for name in self._functions
        }


def _read_value(name: str, given: Any) -> float:
    kind = getattr(getattr(given, "dtype", None), "kind", "f")  # complex numbers, texts and times have a float, too
    if isinstance(given, bool) or np.ndim(given) > 0 or not hasattr(given, "__float__") or kind not in "iuf":
        raise TypeError(f"metric {name!r} must return a number, got {given!r}")
    try:
        value = float(given)
    except OverflowError:  # an integer
        value = math.inf if given > 0 else -math.inf
    if math.isnan(value):
        raise ValueError(f"metric {name!r} must return a number, got NaN")
    return value
