"""A fit, seen from Python: arguments checked, epochs run in C++ in blocks, losses reported."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from . import _core
from .config import read_count
from .errors import DivergenceError
from .history import FitState, History, StopReason
from .optimizers import core_optimizer

if TYPE_CHECKING:
    from .net import Net

__all__ = ["fit"]

#: Epochs per call of the core when nobody looks on: what a call costs vanishes, its buffers stay small.
EPOCHS_PER_CALL = 4096

#: Stands for all rows, and for any count that the core's integers cannot hold.
LARGEST_COUNT = 2**63 - 1


def fit(
    net: Net,
    X: Any,
    Y: Any,
    *,
    epochs: int,
    batch_size: int | None,
    optimizer: Any,
    shuffle: bool,
    sample_weight: Any,
    validation: Sequence[Any] | None,
    patience: int | None,
    tol: float,
    l2: float,
    callback: Callable[[FitState], object] | None,
    progress: bool,
) -> History:
    """Run `Net.fit`, which documents the arguments."""
    epochs = read_count("epochs", epochs, minimum=0)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    core_fit = (_core.Fit32 if net.config.dtype == "float32" else _core.Fit64)(
        net._core,
        X,
        Y,
        sample_weight,
        _read_validation(validation),
        core_optimizer(optimizer),
        LARGEST_COUNT if batch_size is None else min(read_count("batch_size", batch_size), LARGEST_COUNT),
        bool(shuffle),
        net.seed,
        _read_penalty("l2", l2),
        _read_penalty("tol", tol),
        0 if patience is None else min(read_count("patience", patience), LARGEST_COUNT),
    )
    if not progress:
        return _Run(net, core_fit, validation is not None).run(epochs, callback)
    from .progress import epoch_progress

    with epoch_progress(epochs) as show:
        return _Run(net, core_fit, validation is not None).run(epochs, _both(show, callback))


class _Run:
    """One fit under way."""

    def __init__(self, net: Net, core_fit: _core.Fit32 | _core.Fit64, has_validation: bool) -> None:
        self._net = net
        self._core = core_fit
        self._has_validation = has_validation
        self._start = time.perf_counter()

    def run(self, epochs: int, callback: Callable[[FitState], object] | None) -> History:
        stopped: StopReason = "callback"  # also where the callback raises
        try:
            stopped = self._run_blocks(epochs, callback)
            self._core.restore_best()
        except KeyboardInterrupt:
            stopped = "interrupted"
            raise
        except DivergenceError:
            stopped = "diverged"
            raise
        finally:
            self._net.history = self._record(stopped)
        return self._net.history

    def _run_blocks(self, epochs: int, callback: Callable[[FitState], object] | None) -> StopReason:
        block = EPOCHS_PER_CALL if callback is None else 1
        for done in range(0, epochs, block):
            settled = self._core.run(min(block, epochs - done))
            if callback is not None and callback(self._state()):
                return "callback"
            if settled is not None:
                return cast(StopReason, settled)
        return "epochs"

    def _state(self) -> FitState:
        return FitState(
            net=self._net,
            epoch=self._core.epochs,
            loss=self._core.last_loss,
            validation_loss=self._core.last_validation_loss if self._has_validation else None,
            seconds=time.perf_counter() - self._start,
        )

    def _record(self, stopped: StopReason) -> History:
        return History(
            loss=self._core.losses,
            validation_loss=self._core.validation_losses if self._has_validation else None,
            epochs=self._core.epochs,
            seconds=time.perf_counter() - self._start,
            stopped=stopped,
        )


def _both(
    first: Callable[[FitState], object], second: Callable[[FitState], object] | None
) -> Callable[[FitState], object]:
    def call(state: FitState) -> object:
        first(state)
        return second(state) if second is not None else False

    return call


def _read_validation(validation: Sequence[Any] | None) -> tuple[Any, Any, Any] | None:
    if validation is None:
        return None
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        raise TypeError("validation must be (X, Y) or (X, Y, sample_weight)")
    X, Y, *weights = validation
    return X, Y, weights[0] if weights else None


def _read_penalty(argument: str, given: Any) -> float:
    if isinstance(given, bool) or not hasattr(given, "__float__"):
        raise TypeError(f"{argument} must be a number, got {given!r}")
    value = float(given)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{argument} must be finite and at least 0, got {given!r}")
    return value
