"""Fits that are refused: the estimator stays what it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .callbacks import STATE_OF_A_FIT

__all__ = ["unchanged_if_refused"]


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
