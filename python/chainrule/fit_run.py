"""A fit under way: epochs run by an engine in blocks, looked at, kept in a checkpoint, reported."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from .divergence import Circumstances, explain
from .engine import FitOptions, TrainedNet
from .errors import DivergenceError
from .fit_data import FitData
from .history import FitState, History, StopReason, asks_to_stop
from .metrics import Metric, Metrics
from .monitor import Best, Monitor
from .rates import Rates

if TYPE_CHECKING:
    from .checkpoints import Checkpoint

__all__ = ["FitRun"]

#: Epochs per call of the engine when nobody looks on: what a call costs vanishes, its buffers stay small.
EPOCHS_PER_CALL = 4096


class FitRun:
    """One fit under way, or with a checkpoint the rest of a run.

    Of the epochs before, the engine is told nothing but how they were judged.

    Parameters
    ----------
    net, data, options, rates, monitored, functions
        What to train, how, and by which metrics; all checked. The engine and the clock of `History.seconds` start here.
    checkpoint : Checkpoint or None
    """

    def __init__(
        self,
        net: TrainedNet,
        data: FitData,
        options: FitOptions,
        rates: Rates,
        monitored: Monitor,
        functions: dict[str, Metric],
        checkpoint: Checkpoint | None,
    ) -> None:
        self._start = time.perf_counter()  # before the engine, whose time limit counts from its own start
        self._engine = net._start_fit(data, options)
        self._net, self._data, self._options = net, data, options
        judged_by = data if data.validation is None else FitData(*data.validation)
        self._metrics = Metrics(functions, judged_by.X, judged_by.Y)
        self._rates, self._monitored = rates, monitored
        self._checkpoint, self._past = checkpoint, History() if checkpoint is None else checkpoint.past.history
        keeps_best = options.patience is not None and (data.validation is not None or options.judged_outside)
        self._best = Best(options.tol) if checkpoint is not None and keeps_best else None
        self._learning_rates: list[NDArray[np.float64]] = []
        self._values: dict[str, float] = {}
        self._finished = self._told = 0
        # What tells whether an interrupt came where the run can be written; see `_save_interrupted`.
        self._is_running = self._is_watched = False
        self._whole = 0

    def run(self, epochs: int, watchers: Sequence[Callable[[FitState], object]]) -> History:
        """Run epochs until there are so many in all, or something stops them; see `Trainable.fit`."""
        with self._engine:
            return self._run_claimed(epochs, watchers)

    def _run_claimed(self, epochs: int, watchers: Sequence[Callable[[FitState], object]]) -> History:
        stopped: StopReason = "callback"  # also where a callback, a metric or a checkpoint raises
        try:
            stopped = self._begin() or self._run(epochs, watchers)
            if stopped == "time":
                self._save()
            self._engine.restore_best()
            if stopped != "time":
                self._save(finished=stopped)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                stopped = "interrupted"
                self._save_interrupted(error)
            elif isinstance(error, DivergenceError):
                stopped = "diverged"
            # An interrupt may come just after the engine's last look for one, with the epoch complete.
            self._finish_epoch()
            self._tell_schedule()
            raise
        finally:
            self._keep_record(stopped)
        return cast("History", self._net.history)

    def _keep_record(self, stopped: StopReason) -> None:
        """Make the net's history that of this fit, also where an interrupt comes in between."""
        try:
            self._net.history = self._record(stopped)
        except BaseException:
            self._net.history = self._record(stopped)
            raise

    @property
    def _epochs(self) -> int:
        """Epochs of the run that are complete."""
        return self._past.epochs + self._engine.epochs

    def _begin(self) -> StopReason | None:
        """Write the first checkpoint; or judge what it holds again, and return why the run stopped there, if it did."""
        if self._checkpoint is None:
            return None
        if not self._checkpoint.exists:
            self._save()
        if self._past.epochs == 0:
            return None
        if self._options.patience is None:
            return self._converged(self._past.loss[-2:])
        return self._judge_again(self._checkpoint.past.best)

    def _judge_again(self, best: NDArray[np.generic] | None) -> StopReason | None:
        """Tell the engine of the epochs that are over."""
        parameters, settled = self._net.parameters.copy(), None
        try:
            if best is not None:
                # Whichever epochs the engine takes for the best so far, this is what it keeps of them.
                self._net.parameters[...] = best
            for measure in self._past_measures():
                settled = self._engine.judge(measure)
                if self._best is not None:
                    self._best.look(measure, self._net.parameters)
        finally:
            self._net.parameters[...] = parameters
        return cast("StopReason | None", settled)

    def _past_measures(self) -> list[float]:
        name, past = self._monitored.name, self._past
        column = {"loss": past.loss, "validation_loss": past.validation_loss, **past.metrics}[name]
        return [self._monitored.measure({name: value}) for value in np.asarray(column).tolist()]

    def _converged(self, losses: NDArray[np.float64]) -> StopReason | None:
        """Apply the engine's rule to two epochs of which it has not seen the first."""
        tol = self._options.tol
        if self._options.patience is not None or tol == 0 or len(losses) < 2:
            return None
        return "converged" if abs(losses[1] - losses[0]) <= tol else None

    def _run(self, epochs: int, watchers: Sequence[Callable[[FitState], object]]) -> StopReason:
        judged = self._options.judged_outside or self._best is not None
        self._is_watched = bool(watchers or self._metrics or self._rates.looks_at_results or judged)
        self._is_running = True
        stopped = self._run_watched(epochs, watchers) if self._is_watched else self._run_blocks(epochs)
        self._is_running = False
        return stopped

    def _run_blocks(self, epochs: int) -> StopReason:
        """Run many epochs at a time."""
        while self._epochs < epochs:
            settled = self._run_engine(self._block(epochs))
            self._net.schedule_state = self._rates.state
            if settled is not None:
                return settled
            self._save_if_due()
        return "epochs"

    def _block(self, epochs: int) -> int:
        """Return how many epochs to run in one call: up to the next checkpoint, if there is one."""
        block = min(EPOCHS_PER_CALL, epochs - self._epochs)
        if self._checkpoint is None:
            return block
        # The first has to be compared with one that the engine does not know.
        is_first = self._past.epochs > 0 and self._engine.epochs == 0
        return 1 if is_first else min(block, self._checkpoint.until_due(self._epochs))

    def _run_watched(self, epochs: int, watchers: Sequence[Callable[[FitState], object]]) -> StopReason:
        """Run an epoch at a time, and look at it."""
        while self._epochs < epochs:
            settled = self._run_engine(1)
            if settled == "time":
                return settled
            self._finish_epoch()
            measure = self._monitored.measure(self._values)
            if self._options.judged_outside:
                settled = cast("StopReason | None", self._engine.judge(measure))
            if self._best is not None:
                self._best.look(measure, self._net.parameters)
            if watchers:
                state = self._state()
                try:
                    answers = [asks_to_stop(watch(state)) for watch in watchers]
                finally:
                    self._net.schedule_state = self._rates.state  # a callback may have trained with another schedule
                if any(answers):
                    return "callback"
            if settled is not None:
                return settled
            self._whole = self._engine.epochs
            self._save_if_due()
        return "epochs"

    def _run_engine(self, epochs: int) -> StopReason | None:
        before = self._engine.epochs
        rates = self._rates.rates(self._net.epochs_trained, epochs)
        self._learning_rates.append(rates)
        try:
            settled = cast("StopReason | None", self._engine.run(rates))
        except DivergenceError as error:
            raise self._explained(error, rates[self._engine.epochs - before]) from None
        if settled is None and self._past.epochs > 0 and before == 0 and self._engine.epochs == 1:
            return self._converged(np.append(self._past.loss[-1:], self._engine.last_loss))
        return settled

    def _save_if_due(self) -> None:
        if self._checkpoint is not None and self._checkpoint.until_due(self._epochs) == self._checkpoint.every:
            self._save()

    def _save(self, finished: StopReason | None = None) -> None:
        """Write the run as it is now, to be gone on with, or as one that is over."""
        if self._checkpoint is not None:
            best = None if self._best is None or finished else self._best.parameters
            self._checkpoint.save(self._record(finished or "epochs"), best, finished=finished is not None)

    def _save_interrupted(self, error: KeyboardInterrupt) -> None:
        """Write the run as an interrupt leaves it, where the engine was interrupted.

        An epoch that is complete there, but whose metrics and callback are not, would not be begun again: the file
        stays as it was, and the epochs since are done again.
        """
        if not self._is_running or (self._is_watched and self._whole != self._engine.epochs):
            return
        try:
            self._save()
        except OSError as failure:
            error.add_note(f"the checkpoint is that of an earlier epoch: {failure}")

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
            self._tell_schedule()

    def _tell_schedule(self) -> None:
        """Tell the schedule of the epoch that is complete; once, also where an interrupt comes in between."""
        epochs = self._engine.epochs
        if epochs == 0:
            return  # a net of which nothing has moved is as it was given, for a run that begins anew
        if self._told != epochs and self._monitored.name in self._values:
            self._rates.observe(self._monitored.measure(self._values))
            self._told = epochs
        self._net.schedule_state = self._rates.state

    def _explained(self, error: DivergenceError, lr: float) -> DivergenceError:
        first = self._past.epochs
        renumbered = re.sub(r"epoch (\d+)", lambda epoch: f"epoch {first + int(epoch[1])}", str(error), count=1)
        circumstances = Circumstances(
            config=self._net.config,
            parameters=self._net.parameters,
            X=self._data.X,
            Y=self._data.Y,
            sample_weight=self._data.sample_weight,
            optimizer=self._options.optimizer,
            lr=float(lr),
            regularization=self._options.regularization,
            losses=np.concatenate([self._past.loss, self._engine.losses]),
        )
        return explain(DivergenceError(renumbered), circumstances)

    def _state(self) -> FitState:
        return FitState(
            net=self._net,
            epoch=self._epochs,
            loss=self._values["loss"],
            validation_loss=self._values.get("validation_loss"),
            metrics=self._metrics.last,
            learning_rate=float(self._learning_rates[-1][0]),
            seconds=self._past.seconds + max(0.0, time.perf_counter() - self._start),
        )

    def _record(self, stopped: StopReason) -> History:
        past, epochs = self._past, self._engine.epochs
        rates = np.concatenate([np.empty(0), *self._learning_rates])[:epochs]
        validation = None if self._data.validation is None else self._engine.validation_losses
        metrics = self._metrics.record()
        return History(
            loss=_after(past.loss, self._engine.losses),
            validation_loss=None if validation is None else _after(past.validation_loss, validation),
            learning_rate=_after(past.learning_rate, rates),
            metrics={name: _after(past.metrics.get(name), values) for name, values in metrics.items()},
            epochs=self._epochs,
            seconds=past.seconds + max(0.0, time.perf_counter() - self._start),
            stopped=stopped,
        )


def _after(before: NDArray[np.float64] | None, here: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers of a run, those of the epochs before this fit first."""
    return here if before is None or before.size == 0 else np.concatenate([before, here])
