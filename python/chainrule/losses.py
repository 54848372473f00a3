"""Losses, as plain values: which one, with which constants.

A loss without constants is given by its name alone. One with constants is an instance such as ``Huber(delta=0.5)``,
or text such as ``"huber(0.5)"``, which is also how the command line and model files write it.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterable
from typing import NoReturn, cast

from .checks import NO_NUMBERS, is_sequence

__all__ = ["LOSSES", "CrossEntropy", "Huber", "Loss", "Quantile", "read_loss"]


class Loss:
    """One loss, summed over the outputs of a row; immutable.

    Attributes
    ----------
    name : str
        One of `LOSSES`.
    constants : tuple of float
        What the loss has besides outputs and targets.
    """

    # Written out, for dataclasses would take longer to make than all of the package's other names to import.
    __slots__ = ("constants", "name")

    name: str
    constants: tuple[float, ...]

    def __init__(self, name: str, constants: tuple[float, ...] = ()) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "constants", constants)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a loss cannot be changed: {name!r}")

    def __reduce__(self) -> tuple[Callable[[object], Loss], tuple[str]]:
        return read_loss, (str(self),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Loss):
            return NotImplemented
        return (self.name, self.constants) == (other.name, other.constants)

    def __hash__(self) -> int:
        return hash((self.name, self.constants))

    def __repr__(self) -> str:
        constants = ", ".join(map(repr, self.constants))
        return f"{type(self).__name__}({constants})" if type(self) is not Loss else f"Loss({self.name!r})"

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

    __slots__ = ()

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__("huber", (_positive("delta", delta),))

    @property
    def delta(self) -> float:
        """Where the parabola becomes a line."""
        return self.constants[0]


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

    __slots__ = ()

    def __init__(self, tau: float | Iterable[float] = 0.5) -> None:
        given = cast(Iterable[float], tau) if is_sequence(tau) else (tau,)
        constants = tuple(_number("tau", value) for value in given)
        if not constants or not all(0 < value < 1 for value in constants):
            raise ValueError(f"tau must be one or several numbers in (0, 1), got {tau!r}")
        super().__init__("quantile", constants)

    def __repr__(self) -> str:
        return f"Quantile({self.tau!r})"

    @property
    def tau(self) -> float | tuple[float, ...]:
        """The quantile, or all of them."""
        return self.constants[0] if len(self.constants) == 1 else self.constants


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

    __slots__ = ()

    def __init__(self, label_smoothing: float = 0.0) -> None:
        value = _number("label_smoothing", label_smoothing)
        if not 0 <= value < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing!r}")
        super().__init__("cross_entropy", (value,))

    @property
    def label_smoothing(self) -> float:
        """The share of a target that all classes get alike."""
        return self.constants[0]


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
    # Two places for the same blanks would be tried in all ways, in the square of their number.
    match = re.fullmatch(r"(\w+)\s*(?:\(([^()]*)\))?", given.strip())
    if match is None or match[1] not in LOSSES:
        raise ValueError(f"loss must be one of {allowed}; got {given!r:.80}")
    kind = LOSSES[match[1]]
    constants = [_number("loss", text) for text in match[2].split(",")] if match[2] and match[2].strip() else []
    if kind is None:
        if constants:
            raise ValueError(f"loss {match[1]!r} has no constants; got {given!r}")
        return Loss(match[1])
    if kind is Quantile:
        return Quantile(constants) if constants else Quantile()
    if len(constants) > 1:
        raise ValueError(f"loss {match[1]!r} has one constant; got {given!r}")
    return kind(*constants)


def _number(argument: str, given: object) -> float:
    if not isinstance(given, str | numbers.Real) or isinstance(given, NO_NUMBERS):
        raise TypeError(f"{argument} must be a number, got {given!r}")
    try:
        value = float(given.replace("_", "?") if isinstance(given, str) else given)  # 1_0 is 10 to Python alone
    except ValueError:
        raise ValueError(f"{argument} must be a number, got {given!r}") from None
    except OverflowError:  # an integer
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{argument} must be finite, got {given!r}")
    return value


def _positive(argument: str, given: object) -> float:
    value = _number(argument, given)
    if value <= 0:
        raise ValueError(f"{argument} must be positive, got {given!r}")
    return value
