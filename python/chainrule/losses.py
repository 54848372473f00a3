"""Losses, as plain values: which one, with which constants.

A loss without constants is given by its name alone. One with constants is an instance such as ``Huber(delta=0.5)``,
or text such as ``"huber(0.5)"``, which is also how the command line and model files write it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

__all__ = ["LOSSES", "CrossEntropy", "Huber", "Loss", "Quantile", "read_loss"]


@dataclass(frozen=True)
class Loss:
    """One loss, summed over the outputs of a row.

    Attributes
    ----------
    name : str
        One of `LOSSES`.
    constants : tuple of float
        What the loss has besides outputs and targets.
    """

    name: str
    constants: tuple[float, ...] = ()

    def __str__(self) -> str:
        kind = LOSSES[self.name]
        if kind is None or self == kind():
            return self.name
        return f"{self.name}({', '.join(map(repr, self.constants))})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def outputs_per_target(self) -> int:
        """Outputs that share one column of the targets: as many as there are quantiles, else one."""
        return max(1, len(self.constants)) if self.name == "quantile" else 1


@dataclass(frozen=True)
class Huber(Loss):
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = yhat - y.

    Parameters
    ----------
    delta : float, default 1
        Where the parabola becomes a line; positive.

    References
    ----------
    Huber, *Robust Estimation of a Location Parameter*, 1964.
    """

    name: str = field(default="huber", init=False)
    constants: tuple[float, ...] = field(default=(), init=False)
    delta: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "constants", (_positive("delta", self.delta),))


@dataclass(frozen=True)
class Quantile(Loss):
    """tau d where d > 0, else (tau - 1) d, with d = y - yhat: its minimum is the tau-quantile of y.

    Parameters
    ----------
    tau : float or sequence of float, default 0.5
        In (0, 1). Several at once: the net then has as many outputs for each column of the targets, those of the
        first column first.

    References
    ----------
    Koenker and Bassett, *Regression Quantiles*, 1978.
    """

    name: str = field(default="quantile", init=False)
    constants: tuple[float, ...] = field(default=(), init=False)
    tau: float | Sequence[float] = 0.5

    def __post_init__(self) -> None:
        given = self.tau if isinstance(self.tau, Sequence) or hasattr(self.tau, "__iter__") else (self.tau,)
        constants = tuple(_number("tau", value) for value in cast(Sequence[float], given))
        if not constants or not all(0 < value < 1 for value in constants):
            raise ValueError(f"tau must be one or several numbers in (0, 1), got {self.tau!r}")
        object.__setattr__(self, "constants", constants)
        object.__setattr__(self, "tau", constants[0] if len(constants) == 1 else constants)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-sum_k t_k log yhat_k over classes, with t_k = (1 - label_smoothing) y_k + label_smoothing / classes.

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1).

    References
    ----------
    Szegedy et al., *Rethinking the Inception Architecture for Computer Vision*, 2016, section 7.
    """

    name: str = field(default="cross_entropy", init=False)
    constants: tuple[float, ...] = field(default=(), init=False)
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        value = _number("label_smoothing", self.label_smoothing)
        if not 0 <= value < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing!r}")
        object.__setattr__(self, "constants", (value,))


#: Every loss by its name; those with constants with what makes one of them.
LOSSES: dict[str, Callable[..., Loss] | None] = {
    "squared_error": None,
    "half_squared_error": None,
    "absolute_error": None,
    "huber": Huber,
    "quantile": Quantile,
    "log_cosh": None,
    "poisson": None,
    "log_loss": None,
    "cross_entropy": CrossEntropy,
    "hinge": None,
}


def read_loss(given: object) -> Loss:
    """Return the loss for a name, a name with constants in parentheses, or an instance.

    Raises
    ------
    TypeError, ValueError
        It is none of these; the message lists the names.
    """
    if isinstance(given, Loss):
        return read_loss(str(given)) if type(given) is Loss else given
    allowed = ", ".join(repr(name) for name in LOSSES)
    if not isinstance(given, str):
        raise TypeError(f"loss must be a string, one of {allowed}, or a loss such as Huber(delta=0.5); got {given!r}")
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", given)
    if match is None or match[1] not in LOSSES:
        raise ValueError(f"loss must be one of {allowed}; got {given!r}")
    kind = LOSSES[match[1]]
    numbers = [_number("loss", text) for text in match[2].split(",")] if match[2] and match[2].strip() else []
    if kind is None:
        if numbers:
            raise ValueError(f"loss {match[1]!r} has no constants; got {given!r}")
        return Loss(match[1])
    if kind is Quantile:
        return Quantile(numbers) if numbers else Quantile()
    if len(numbers) > 1:
        raise ValueError(f"loss {match[1]!r} has one constant; got {given!r}")
    return kind(*numbers)


def _number(argument: str, given: object) -> float:
    if isinstance(given, bool) or not (isinstance(given, str) or hasattr(given, "__float__")):
        raise TypeError(f"{argument} must be a number, got {given!r}")
    try:
        value = float(cast(float, given))
    except ValueError:
        raise ValueError(f"{argument} must be a number, got {given!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"{argument} must be finite, got {given!r}")
    return value


def _positive(argument: str, given: object) -> float:
    value = _number(argument, given)
    if value <= 0:
        raise ValueError(f"{argument} must be positive, got {given!r}")
    return value
