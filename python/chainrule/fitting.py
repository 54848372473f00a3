"""A fit, seen from Python: arguments checked, epochs run by an engine in blocks, results reported.

Not here: minibatches, passes and updates, which are the engine's, in C++ or in NumPy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .checks import read_number
from .config import read_count
from .divergence import Circumstances, explain
from .engine import Engine, FitOptions, TrainedNet
from .errors import DivergenceError
from .fit_data import FitData, read_fit_data
from .history import FitState, History, StopReason
from .metrics import Metrics, read_metrics
from .monitor import Monitor, read_monitor
from .optimizers import check_batch_size, read_optimizer
from .rates import Rates, start_rates
from .regularization import Regularization

__all__ = ["fit"]

#: Epochs per call of the engine when nobody looks on: what a call costs vanishes, its buffers stay small.
EPOCHS_PER_CALL = 4096


def fit(
    net: TrainedNet,
    X: Any,
    Y: Any,
    sample_weight: Any,
    *,
    epochs: int,
    batch_size: int | None,
    optimizer: Any,
    schedule: Any,
    shuffle: bool,
    class_weight: Any,
    validation: Any,
    metrics: Any,
    monitor: Any,
    patience: int | None,
    tol: float,
    regularization: Regularization,
    time_limit: float | None,
    callback: Callable[[FitState], object] | None,
    progress: bool,
) -> History:
    """Run `Trainable.fit`, which documents the arguments."""
    epochs = read_count("epochs", epochs, minimum=0)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    functions = read_metrics(metrics)
    monitored = read_monitor(monitor, validation is not None, functions)
    options = FitOptions(
        optimizer=read_optimizer(optimizer),
        batch_size=None if batch_size is None else read_count("batch_size", batch_size),
        shuffle=bool(shuffle),
        regularization=regularization,
        tol=read_number("tol", tol),
        patience=None if patience is None else read_count("patience", patience),
        time_limit=math.inf if time_limit is None else read_number("time_limit", time_limit, positive=True),
        # The engine judges by the validation loss itself, and keeps the best parameters.
        judged_outside=patience is not None and monitor is not None and monitored != Monitor("validation_loss"),
    )
    rates = start_rates(schedule, options.optimizer, epochs, net.epochs_trained, net.schedule_state)
    data = read_fit_data(
        net.config,
        net.seed,
        FitData(X, Y, sample_weight),
        class_weight,
        validation,
        check=lambda whole: net._start_fit(whole, options),
    )
    engine = net._start_fit(data, options)
    if options.optimizer.full_batch:
        check_batch_size(options.optimizer, options.batch_size, np.shape(data.X)[0])
    judged_by = data if data.validation is None else FitData(*data.validation)
    measured = Metrics(functions, judged_by.X, judged_by.Y)
    run = _Run(net, engine, data, options, rates, monitored, measured)
    watchers = [] if callback is None else [callback]
    with ExitStack() as stack:
        if progress:
            from .progress import epoch_progress

            watchers.insert(0, stack.enter_context(epoch_progress(epochs)))
        return run.run(epochs, watchers)


class _Run:
    """One fit under way."""

    def __init__(
        self,
        net: TrainedNet,
        engine: Engine,
        data: FitData,
        options: FitOptions,
        rates: Rates,
        monitored: Monitor,
        metrics: Metrics,
    ) -> None:
        self._net, self._engine, self._data, self._options = net, engine, data, options
        self._rates, self._monitored, self._metrics = rates, monitored, metrics
        self._learning_rates: list[NDArray[np.float64]] = []
        self._values: dict[str, float] = {}
        self._finished = 0
        self._start = time.perf_counter()

    def run(self, epochs: int, watchers: Sequence[Callable[[FitState], object]]) -> History:
        stopped: StopReason = "callback"  # also where a callback or a metric raises
        try:
            if watchers or self._metrics or self._rates.looks_at_results or self._options.judged_outside:
                stopped = self._run_watched(epochs, watchers)
            else:
                stopped = self._run_blocks(epochs)
            self._engine.restore_best()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                stopped = "interrupted"
            elif isinstance(error, DivergenceError):
                stopped = "diverged"
            # An interrupt may come just after the engine's last look for one, with the epoch complete.
            self._finish_epoch()
            raise
        finally:
            self._net.history = self._record(stopped)
        return self._net.history

    def _run_blocks(self, epochs: int) -> StopReason:
        """Run many epochs at a time."""
        while self._engine.epochs < epochs:
            settled = self._run_engine(min(EPOCHS_PER_CALL, epochs - self._engine.epochs))
            self._net.schedule_state = self._rates.state
            if settled is not None:
                return settled
        return "epochs"

    def _run_watched(self, epochs: int, watchers: Sequence[Callable[[FitState], object]]) -> StopReason:
        """Run an epoch at a time, and look at it."""
        while self._engine.epochs < epochs:
            settled = self._run_engine(1)
            if settled == "time":
                return settled
            self._finish_epoch()
            if self._options.judged_outside:
                settled = cast("StopReason | None", self._engine.judge(self._monitored.measure(self._values)))
            if watchers:
                state = self._state()
                answers = [watch(state) for watch in watchers]
                if any(answers):
                    return "callback"
            if settled is not None:
                return settled
        return "epochs"

    def _run_engine(self, epochs: int) -> StopReason | None:
        before = self._engine.epochs
        rates = self._rates.rates(self._net.epochs_trained, epochs)
        self._learning_rates.append(rates)
        try:
            return cast("StopReason | None", self._engine.run(rates))
        except DivergenceError as error:
            raise self._explained(error, rates[self._engine.epochs - before]) from None

    def _finish_epoch(self) -> None:
        """Measure the epoch that is complete, and tell the schedule; once, also where a metric raises."""
        if self._finished == self._engine.epochs:
            return
        self._finished = self._engine.epochs
        self._values = {"loss": self._engine.last_loss}
        if self._data.validation is not None:
            self._values["validation_loss"] = self._engine.last_validation_loss
        try:
            self._values |= self._metrics.measure(self._net.predict)
        finally:
            if self._monitored.name in self._values:
                self._rates.observe(self._monitored.measure(self._values))
            self._net.schedule_state = self._rates.state

    def _explained(self, error: DivergenceError, lr: float) -> DivergenceError:
        circumstances = Circumstances(
            config=self._net.config,
            parameters=self._net.parameters,
            X=self._data.X,
            Y=self._data.Y,
            optimizer=self._options.optimizer,
            lr=float(lr),
            regularization=self._options.regularization,
            losses=self._engine.losses,
        )
        return explain(error, circumstances)

    def _state(self) -> FitState:
        return FitState(
            net=self._net,
            epoch=self._engine.epochs,
            loss=self._values["loss"],
            validation_loss=self._values.get("validation_loss"),
            metrics=self._metrics.last,
            learning_rate=float(self._learning_rates[-1][0]),
            seconds=time.perf_counter() - self._start,
        )

    def _record(self, stopped: StopReason) -> History:
        epochs = self._engine.epochs
        return History(
            loss=self._engine.losses,
            validation_loss=None if self._data.validation is None else self._engine.validation_losses,
            learning_rate=np.concatenate([np.empty(0), *self._learning_rates])[:epochs],
            metrics=self._metrics.record(),
            epochs=epochs,
            seconds=time.perf_counter() - self._start,
            stopped=stopped,
        )
