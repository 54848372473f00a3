"""Constants of users, checked: each error names the argument, what was given and what is allowed."""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
from typing import Literal, SupportsIndex, cast

import numpy as np

__all__ = ["NO_NUMBERS", "Fraction", "is_sequence", "keep", "read_flag", "read_fraction", "read_index", "read_number"]

#: Ranges from 0 to 1, by whether their ends belong to them.
Fraction = Literal["[0, 1)", "(0, 1)", "(0, 1]", "[0, 1]"]

#: What Python or NumPy count among the numbers all the same.
NO_NUMBERS = (bool, np.timedelta64)


def is_sequence(given: object) -> bool:
    """Return whether `given` has elements: not text, and no array of no dimension."""
    return hasattr(given, "__iter__") and not isinstance(given, str | bytes) and getattr(given, "ndim", 1) > 0


def read_number(argument: str, given: object, *, positive: bool = False) -> float:
    """Return `given` as a finite float that is at least 0, or above 0 if it has to be positive."""
    # An abstract class takes ten times as long to ask; a fit of one epoch has two dozen numbers.
    if type(given) is not float and (not isinstance(given, numbers.Real) or isinstance(given, NO_NUMBERS)):
        raise TypeError(f"{argument} must be a number, got {given!r}")
    try:
        value = float(given)
    except OverflowError:  # an integer
        value = math.inf
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{argument} must be finite and {'positive' if positive else 'at least 0'}, got {given!r}")
    return value


def read_fraction(argument: str, given: object, allowed: Fraction) -> float:
    """Return `given` as a float in the range `allowed`."""
    value = read_number(argument, given)
    if value > 1 or (value == 0 and allowed[0] == "(") or (value == 1 and allowed[-1] == ")"):
        raise ValueError(f"{argument} must be in {allowed}, got {given!r}")
    return value


def keep(instance: object, **values: object) -> None:
    """Put values that were read in the place of those that an immutable instance was given.

    A NumPy scalar would compute in its own precision, and wrap where a count is of eight bits.
    """
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def read_index(argument: str, given: object) -> int:
    """Return `given` as an int, which may be negative."""
    if not isinstance(given, bool | np.bool_):
        with contextlib.suppress(TypeError):
            return operator.index(cast(SupportsIndex, given))
    raise TypeError(f"{argument} must be an integer, got {given!r}")


def read_flag(argument: str, given: object) -> bool:
    """Return `given` if it is True or False."""
    if not isinstance(given, bool | np.bool_):
        raise TypeError(f"{argument} must be True or False, got {given!r}")
    return bool(given)
