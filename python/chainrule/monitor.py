"""The number by which an epoch is judged."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .config import choose
from .metrics import LOSS_NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Best", "Monitor", "read_monitor"]


@dataclass(frozen=True)
class Monitor:
    """Which number of an epoch counts, and in which direction.

    Attributes
    ----------
    name : str
        ``"loss"``, ``"validation_loss"`` or the name of a metric.
    more_is_better : bool
    """

    name: str
    more_is_better: bool = False

    def __str__(self) -> str:
        return f"{'max' if self.more_is_better else 'min'} {self.name}"

    def measure(self, values: Mapping[str, float]) -> float:
        """Return the number among those of an epoch, turned so that less is better."""
        value = values[self.name]
        return -value if self.more_is_better else value


class Best:
    """The parameters of the best epoch, found by the engine's own rule: it keeps them too, but does not show them.

    Parameters
    ----------
    tol : float
        By more than this an epoch has to be better than the best before it.

    Attributes
    ----------
    parameters : ndarray, flat, or None
    """

    def __init__(self, tol: float) -> None:
        self._tol, self._measure = tol, math.inf
        self.parameters: NDArray[Any] | None = None

    def look(self, measure: float, parameters: NDArray[Any]) -> None:
        """Take in an epoch; `measure` is the better the less it is."""
        if measure < self._measure - self._tol:
            self._measure, self.parameters = measure, parameters.copy()


def read_monitor(monitor: Any, has_validation: bool, metrics: Collection[str]) -> Monitor:
    """Return what is monitored.

    Parameters
    ----------
    monitor : None, str or (str, {"min", "max"})
        None is the validation loss where there is one, else the training loss. Of a name alone, less is better.
    has_validation : bool
    metrics : collection of str

    Raises
    ------
    TypeError, ValueError
        It is none of these; the message lists the names.
    """
    losses = LOSS_NAMES if has_validation else LOSS_NAMES[:1]
    if monitor is None:
        return Monitor(losses[-1])
    name, direction = monitor, "min"
    if isinstance(monitor, list | tuple):
        if len(monitor) != 2:
            raise TypeError(f"monitor must be a name, or a pair such as ('accuracy', 'max'); got {monitor!r}")
        name, direction = monitor
    name = choose("monitor", name, (*losses, *metrics))
    return Monitor(name, choose("the direction of monitor", direction, ("min", "max")) == "max")
