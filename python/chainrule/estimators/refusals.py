"""Fits that are refused: the estimator stays what it was. What is refused that scikit-learn takes for numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .callbacks import STATE_OF_A_FIT

__all__ = ["refuse_no_numbers", "unchanged_if_refused"]


def refuse_no_numbers(**given: Any) -> None:
    """Raise TypeError for an argument that is masked, whose numbers are those behind the mask, or holds dates."""
    for name, values in given.items():
        if np.ma.isMaskedArray(values):
            raise TypeError(f"{name} must not be masked; fill the masked values first")
        if getattr(getattr(values, "dtype", None), "kind", None) in ("m", "M"):
            raise TypeError(f"{name} must be numbers; got the dtype {values.dtype}")


@contextlib.contextmanager
def unchanged_if_refused(estimator: Any) -> Iterator[None]:
    """Give the estimator its attributes back if anything is raised.

    The copy is shallow, so what comes before the training must replace attributes, and not write into their values.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # scikit-learn still has to tear its callbacks down.
        kept = {name: value for name, value in vars(estimator).items() if name in STATE_OF_A_FIT}
        estimator.__dict__ = before | kept
        raise
