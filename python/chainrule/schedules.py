"""How the learning rate changes from epoch to epoch.

A schedule is a plain value, such as ``Cosine(epochs=100, warmup=5)``; epochs are counted from 0 over the life of the
net, so that 10 + 10 epochs equal 20. Driving one through a fit is the part of `rates`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, cast

from .checks import keep, read_fraction, read_number
from .config import choose, read_count

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "EpochSchedule",
    "Exponential",
    "InverseScaling",
    "RateFunction",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "read_schedule",
]

#: ``schedule(epoch, lr) -> lr``, with lr the rate of the epoch before, at first the optimizer's.
RateFunction: TypeAlias = Callable[[int, float], float]


class Schedule:
    """Base of all schedules; construct one of them instead."""

    name: ClassVar[str] = ""


class EpochSchedule(Schedule, ABC):
    """Base of those that go by the number of the epoch alone."""

    @abstractmethod
    def multiplier(self, epoch: int) -> float:
        """Return what the optimizer's lr is multiplied by in this epoch, counted from 0."""


@dataclass(frozen=True)
class Constant(EpochSchedule):
    """The optimizer's lr in every epoch."""

    name: ClassVar[str] = "constant"

    def multiplier(self, epoch: int) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Step(EpochSchedule):
    """``lr factor^floor(epoch / every)``.

    Parameters
    ----------
    every : int, default 10
        Epochs between two falls.
    factor : float, default 0.1
        In (0, 1].
    """

    name: ClassVar[str] = "step"

    every: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        keep(self, every=read_count("every", self.every), factor=read_fraction("factor", self.factor, "(0, 1]"))

    def multiplier(self, epoch: int) -> float:
        """Return factor^floor(epoch / every)."""
        return math.pow(self.factor, epoch // self.every)


@dataclass(frozen=True)
class Exponential(EpochSchedule):
    """``lr factor^epoch``.

    Parameters
    ----------
    factor : float, default 0.95
        In (0, 1].
    """

    name: ClassVar[str] = "exponential"

    factor: float = 0.95

    def __post_init__(self) -> None:
        keep(self, factor=read_fraction("factor", self.factor, "(0, 1]"))

    def multiplier(self, epoch: int) -> float:
        """Return factor^epoch."""
        return math.pow(self.factor, epoch)


@dataclass(frozen=True)
class InverseScaling(EpochSchedule):
    """``lr / (epoch + 1)^power``, as scikit-learn's ``"invscaling"``, which counts rows instead of epochs.

    Parameters
    ----------
    power : float, default 0.5
        Positive.
    """

    name: ClassVar[str] = "inverse_scaling"

    power: float = 0.5

    def __post_init__(self) -> None:
        keep(self, power=read_number("power", self.power, positive=True))

    def multiplier(self, epoch: int) -> float:
        """Return 1 / (epoch + 1)^power."""
        return math.pow(epoch + 1, -self.power)


@dataclass(frozen=True)
class Cosine(EpochSchedule):
    """A linear warm-up, then half a cosine.

    With e epochs since `start`: ``lr (e + 1) / (warmup + 1)`` while e < warmup; from there
    ``lr (end + (1 - end) (1 + cos(pi p)) / 2)`` with ``p = (e - warmup) / (epochs - warmup)``; ``lr end`` from e =
    epochs on.

    Parameters
    ----------
    epochs : int
        Epochs from `start` to the end of the cosine. ``schedule="cosine"`` is a cosine over the epochs of that fit.
    warmup : int, default 0
        How many of them are the warm-up; fewer than `epochs`.
    end : float, default 0
        Share of lr that is left at the end, in [0, 1].
    start : int, default 0
        The epoch of the net's life in which the schedule begins; before it the rate is lr.

    References
    ----------
    Loshchilov and Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, 2017, equation 5, without restarts;
    Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017, section 2.2 (the warm-up).
    """

    name: ClassVar[str] = "cosine"

    epochs: int
    warmup: int = 0
    end: float = 0.0
    start: int = 0

    def __post_init__(self) -> None:
        keep(self, epochs=read_count("epochs", self.epochs), warmup=read_count("warmup", self.warmup, minimum=0))
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup must be less than epochs={self.epochs!r}, got {self.warmup!r}")
        keep(self, end=read_fraction("end", self.end, "[0, 1]"), start=read_count("start", self.start, minimum=0))

    def multiplier(self, epoch: int) -> float:
        """Return the share of lr in this epoch."""
        since = epoch - self.start
        if since < 0:
            return 1.0
        if since < self.warmup:
            return (since + 1) / (self.warmup + 1)
        if since >= self.epochs:
            return self.end
        progress = (since - self.warmup) / (self.epochs - self.warmup)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """The optimizer's lr, multiplied by `factor` each time the loss has stopped falling.

    The loss of an epoch is the validation loss where there is one, else the training loss. An epoch is good if its
    loss is below the lowest by more than ``tol`` times that one's size, else bad. After more than `patience` bad
    epochs in a row the rate falls, and the count begins anew. That is PyTorch's counting; Keras' rate falls one epoch
    sooner. The lowest loss, the count and the falls so far survive between fits.

    Parameters
    ----------
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 10
        Bad epochs in a row that are let pass; at least 0.
    tol : float, default 1e-4
        In [0, 1).
    least : float, default 0
        The rate does not fall below this; at least 0.
    """

    name: ClassVar[str] = "plateau"

    factor: float = 0.1
    patience: int = 10
    tol: float = 1e-4
    least: float = 0.0

    def __post_init__(self) -> None:
        keep(self, factor=read_fraction("factor", self.factor, "(0, 1)"))
        keep(self, patience=read_count("patience", self.patience, minimum=0))
        keep(self, tol=read_fraction("tol", self.tol, "[0, 1)"), least=read_number("least", self.least))


#: Every schedule by its name.
SCHEDULES: dict[str, type[EpochSchedule] | type[ReduceOnPlateau]] = {
    kind.name: kind for kind in (Constant, Step, Exponential, Cosine, InverseScaling, ReduceOnPlateau)
}


def read_schedule(
    schedule: object, epochs: int, first_epoch: int = 0
) -> EpochSchedule | ReduceOnPlateau | RateFunction:
    """Return the schedule for None, a name, an instance or a callable.

    Parameters
    ----------
    schedule : None, str, Schedule or callable
    epochs, first_epoch : int
        The epochs of the fit, and the epochs of the net's life before it: ``"cosine"`` spans them.

    Raises
    ------
    TypeError, ValueError
        It is none of these; the message lists the names.
    """
    if schedule is None:
        return Constant()
    if isinstance(schedule, str):
        kind = SCHEDULES[choose("schedule", schedule, tuple(SCHEDULES))]
        return Cosine(max(epochs, 1), start=first_epoch) if kind is Cosine else kind()
    if isinstance(schedule, EpochSchedule | ReduceOnPlateau):
        return schedule
    # The classes themselves can be called, but are no functions of epoch and rate.
    if callable(schedule) and not isinstance(schedule, type):
        return cast(RateFunction, schedule)
    names = ", ".join(repr(name) for name in SCHEDULES)
    raise TypeError(
        f"schedule must be one of {names}, an instance such as Step(every=10), a callable or None; got {schedule!r}"
    )
