"""Constants of users, checked: each error names the argument, what was given and what is allowed."""

from __future__ import annotations

import math
import numbers
from typing import Literal

import numpy as np

__all__ = ["Fraction", "read_flag", "read_fraction", "read_number"]

#: Ranges from 0 to 1, by whether their ends belong to them.
Fraction = Literal["[0, 1)", "(0, 1)", "(0, 1]", "[0, 1]"]


def read_number(argument: str, given: object, *, positive: bool = False) -> float:
    """Return `given` as a finite float that is at least 0, or above 0 if it has to be positive."""
    # An abstract class takes ten times as long to ask; a fit of one epoch has two dozen numbers.
    if type(given) is not float and (not isinstance(given, numbers.Real) or isinstance(given, bool)):
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


def read_flag(argument: str, given: object) -> bool:
    """Return `given` if it is True or False."""
    if not isinstance(given, bool | np.bool_):
        raise TypeError(f"{argument} must be True or False, got {given!r}")
    return bool(given)
