"""A schedule under way: the learning rates of a fit, and what a net remembers of them between fits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .checks import read_fraction, read_number
from .config import choose, read_count
from .optimizers import Optimizer
from .schedules import Constant, EpochSchedule, RateFunction, ReduceOnPlateau, read_schedule

__all__ = ["Rates", "ScheduleState", "read_schedule_state", "start_rates"]

#: What a net remembers of its last fit's schedule, in numbers and strings that JSON has.
ScheduleState: TypeAlias = dict[str, Any]

#: In the state, the kind of a schedule that is a user's function.
CALLABLE = "callable"


class Rates(ABC):
    """A schedule under way: the learning rates of a fit, epoch by epoch. `start_rates` makes one.

    Attributes
    ----------
    looks_at_results : bool
        Whether a rate depends on what happened before, and is known for the next epoch only.
    """

    looks_at_results: ClassVar[bool] = True

    def rates(self, epoch: int, count: int = 1) -> NDArray[np.float64]:
        """Return the rates of `count` epochs from `epoch` on; `count` has to be 1 where they look at results.

        Raises
        ------
        TypeError, ValueError
            The schedule gives a rate that is not a number, not finite, or negative.
        """
        return np.array([self._checked_rate(number) for number in range(epoch, epoch + count)], np.float64)

    def observe(self, loss: float) -> None:  # noqa: B027 - most schedules look at nothing
        """Take in the monitored loss of an epoch that is complete."""

    @property
    def state(self) -> ScheduleState | None:
        """What `start_rates` needs to go on from here, or None if there is nothing to remember."""
        return None

    @abstractmethod
    def _rate(self, epoch: int) -> float: ...

    def _checked_rate(self, epoch: int) -> float:
        return read_number(f"the rate that schedule gives for epoch {epoch}", self._rate(epoch))


class _EpochRates(Rates):
    """Rates that are a function of the epoch."""

    looks_at_results: ClassVar[bool] = False

    def __init__(self, schedule: EpochSchedule, lr: float) -> None:
        self._schedule, self._lr = schedule, lr

    def rates(self, epoch: int, count: int = 1) -> NDArray[np.float64]:
        # An epoch of a small net takes less than a call per rate would.
        return np.full(count, self._lr) if isinstance(self._schedule, Constant) else super().rates(epoch, count)

    def _rate(self, epoch: int) -> float:
        multiplier = self._schedule.multiplier(epoch)
        return self._lr * read_number(f"the multiplier that schedule gives for epoch {epoch}", multiplier)


class _PlateauRates(Rates):
    """Rates that fall where the loss does not."""

    def __init__(self, schedule: ReduceOnPlateau, lr: float, measure: str, state: ScheduleState) -> None:
        self._schedule, self._lr, self._measure = schedule, lr, measure
        self._factor: float = state.get("factor", 1.0)
        # The best of another measure says nothing of this one.
        judged = state if state.get("measure") == measure else {}
        self._best: float | None = judged.get("best")
        self._bad: int = judged.get("bad", 0)

    def observe(self, loss: float) -> None:
        if self._is_good(loss):
            self._best, self._bad = float(loss), 0
            return
        self._bad += 1
        if self._bad > self._schedule.patience:
            self._bad = 0
            self._factor *= self._schedule.factor

    @property
    def state(self) -> ScheduleState:
        numbers = {"factor": self._factor, "best": self._best, "bad": self._bad}
        return {"schedule": ReduceOnPlateau.name, "measure": self._measure, **numbers}

    def _is_good(self, loss: float) -> bool:
        if self._best is None or not math.isfinite(loss):
            return math.isfinite(loss)  # the state is written to files, as a number
        return loss < self._best - self._schedule.tol * abs(self._best)

    def _rate(self, epoch: int) -> float:
        # A least above the optimizer's own lr does not raise it.
        return max(self._lr * self._factor, min(self._lr, self._schedule.least))


class _CalledRates(Rates):
    """Rates that the user's function gives."""

    def __init__(self, function: RateFunction, lr: float, state: ScheduleState) -> None:
        self._function, self._lr = function, lr
        # Where the optimizer's lr is a new one, it is the first that the function sees.
        self._last: float = state["rate"] if state.get("lr") == lr else lr
        self._next = self._last

    def observe(self, loss: float) -> None:
        # An epoch that was begun and not completed leaves no trace.
        self._last = self._next

    @property
    def state(self) -> ScheduleState:
        return {"schedule": CALLABLE, "lr": self._lr, "rate": self._last}

    def _rate(self, epoch: int) -> float:
        return self._function(epoch, self._last)

    def _checked_rate(self, epoch: int) -> float:
        self._next = super()._checked_rate(epoch)
        return self._next


def start_rates(
    schedule: object,
    optimizer: Optimizer,
    epochs: int,
    first_epoch: int,
    state: ScheduleState | None = None,
    measure: str = "min loss",
) -> Rates:
    """Return what drives `schedule` through a fit.

    Parameters
    ----------
    schedule : None, str, Schedule or callable
        As for `read_schedule`.
    optimizer : Optimizer
    epochs, first_epoch : int
        The epochs of the fit, and the epochs of the net's life before it.
    state : dict, optional
        `Rates.state` at the end of the net's last fit; goes on if it is of the same kind of schedule.
    measure : str
        What `Rates.observe` is told of: the best of one measure is not that of another.

    Raises
    ------
    TypeError, ValueError
        The schedule is not allowed, or the optimizer has no learning rate that could change.
    """
    chosen = read_schedule(schedule, epochs, first_epoch)
    lr = float(optimizer.lr)
    if not (optimizer.has_rate or isinstance(chosen, Constant)):
        raise ValueError(
            f"schedule must be None with optimizer {optimizer.name!r}, whose step sizes change by themselves; "
            f"got {schedule!r}"
        )
    if isinstance(chosen, ReduceOnPlateau):
        return _PlateauRates(chosen, lr, measure, _state_of(ReduceOnPlateau.name, state))
    if isinstance(chosen, EpochSchedule):
        return _EpochRates(chosen, lr)
    return _CalledRates(chosen, lr, _state_of(CALLABLE, state))


def read_schedule_state(state: object) -> ScheduleState | None:
    """Return the state of a schedule as a file gives it, checked.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is not what `Rates.state` gives.
    """
    if state is None:
        return None
    if not isinstance(state, dict):
        raise TypeError(f"schedule state must be an object or null, got {state!r}")
    kind = choose("schedule state", state["schedule"], (ReduceOnPlateau.name, CALLABLE))
    if kind == CALLABLE:
        return {"schedule": kind} | {name: read_number(f"schedule {name}", state[name]) for name in ("lr", "rate")}
    best = state["best"]
    if best is not None:
        read_number("schedule best", abs(best))  # a loss may be negative
    measure = state.get("measure", "")  # which first files do not say
    if not isinstance(measure, str):
        raise TypeError(f"schedule measure must be a text, got {measure!r:.80}")
    return {
        "schedule": kind,
        "measure": measure,
        "factor": read_fraction("schedule factor", state["factor"], "[0, 1]"),
        "best": best,
        "bad": read_count("schedule bad", state["bad"], minimum=0),
    }


def _state_of(kind: str, state: ScheduleState | None) -> ScheduleState:
    """Return the state if it is of this kind of schedule, else an empty one."""
    return state if state is not None and state["schedule"] == kind else {}
