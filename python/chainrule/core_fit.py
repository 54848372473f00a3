"""The engine in C++: arguments of a fit in the core's terms."""

from __future__ import annotations

import sys

from . import _core
from .engine import FitOptions
from .fit_data import FitData
from .optimizers import core_optimizer
from .regularization import Regularization

__all__ = ["start_core_fit"]

#: Stands for all rows, and for any count that the core's integers cannot hold.
LARGEST_COUNT = 2**63 - 1


def start_core_fit(
    core: _core.Net32 | _core.Net64, seed: int, data: FitData, options: FitOptions
) -> _core.Fit32 | _core.Fit64:
    """Check the data, and return what trains the core of a net on them."""
    fit = _core.Fit32 if isinstance(core, _core.Net32) else _core.Fit64
    return fit(
        core,
        data.X,
        data.Y,
        data.sample_weight,
        data.validation,
        core_optimizer(options.optimizer),
        _core_count(options.batch_size, LARGEST_COUNT),
        options.shuffle,
        seed,
        _core_regularization(options.regularization),
        options.tol,
        _core_count(options.patience, 0),
        options.time_limit,
        options.judged_outside,
    )


def _core_count(count: int | None, absent: int) -> int:
    return absent if count is None else min(count, LARGEST_COUNT)


def _core_regularization(given: Regularization) -> _core.Regularization:
    return _core.Regularization(
        l1=float(given.l1),
        l2=float(given.l2),
        clip_value=_limit(given.clip_value),
        clip_norm=_limit(given.clip_norm),
        max_norm=_limit(given.max_norm),
        penalize_biases=given.penalize_biases,
        per_weight=given.per_weight,
    )


def _limit(given: float | None) -> float:
    """Return 0 for none; training takes subnormal numbers for 0, but a limit that is one is a limit."""
    return 0.0 if given is None else max(float(given), sys.float_info.min)
