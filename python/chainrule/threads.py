"""How many threads work may use at this moment."""

from __future__ import annotations

import functools
import sys
from typing import Any

# For its BLAS, which tells what threadpoolctl allows, also in a limit that was set before the first net.
import numpy as np  # noqa: F401

from . import _core

__all__ = ["resolve"]

#: Libraries that threadpoolctl reports with one thread as long as nobody asked them for more.
_SINGLE_BY_DEFAULT = {"blis", "flexiblas"}


def resolve(threads: int | None) -> int:
    """Return the most threads that work may use now, at least 1.

    It is never above what the process may use (`_core.thread_limit`: affinity, cgroup quota, OMP_NUM_THREADS) nor,
    where threadpoolctl is imported, above what any library that it controls is held to. Takes some 10
    microseconds if threadpoolctl is imported, else less than one; milliseconds the first time.

    Parameters
    ----------
    threads : int or None
        The most that the user wants; None for as many as are allowed.
    """
    limit = _core.thread_limit()
    allowed = limit if threads is None else min(threads, limit)
    # Imported by the user, or there is no limit to find. None is how an import is blocked.
    if allowed == 1 or sys.modules.get("threadpoolctl") is None:
        return allowed
    # Its limits have no record but the state of the libraries; NumPy's BLAS is there whenever chainrule is.
    return min([allowed, *(library.num_threads or allowed for library in _libraries())])


@functools.cache
def _libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().lib_controllers
    return [library for library in found if library.internal_api not in _SINGLE_BY_DEFAULT]
