"""Stochastic solvers: epochs run by the C++ core, stopped by scikit-learn's rules.

Where nobody looks on, as many epochs are one call of the core as pass before a rule can stop the fit: with one a call,
an epoch of 331 rows took 118 microseconds for 82.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from .._core import permutation
from ..core_fit import start_core_fit
from ..engine import FitOptions
from ..errors import DivergenceError
from ..fit_data import FitData
from ..history import FitState, asks_to_stop
from ..net import Net
from ..optimizers import SGD, check_batch_size
from ..regularization import Regularization
from .callbacks import FitHooks
from .parameters import batch_rows, optimizer_of
from .step_size import StepSize

__all__ = ["NOT_FINITE", "Rows", "StochasticFit", "start_record"]

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)

Array = NDArray[Any]

#: The most epochs in one call of the core, so that the record of a long fit grows while it runs.
EPOCHS_PER_CALL = 64


@dataclass(frozen=True)
class Rows:
    """Samples, which may be sparse, with their targets, as the net takes them, and their weights or None."""

    X: Any
    Y: Array
    weights: Array | None

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def at(self, indices: Array) -> Rows:
        """Return these rows, copied."""
        return Rows(self.X[indices], self.Y[indices], None if self.weights is None else self.weights[indices])

    @property
    def weight_sum(self) -> float:
        """The sum of the weights, or the number of rows."""
        return float(len(self)) if self.weights is None else float(self.weights.sum())


def start_record(estimator: Any) -> None:
    """Set the fitted attributes that count from a first fit on."""
    estimator.n_iter_, estimator.t_ = 0, 0
    if estimator.solver == "lbfgs":
        return
    estimator.loss_curve_ = []
    estimator._no_improvement_count = 0
    early = estimator._stops_early
    estimator.best_loss_ = None if early else math.inf
    estimator.validation_scores_ = [] if early else None
    estimator.best_validation_score_ = -math.inf if early else None


class StochasticFit:
    """One fit, or one epoch of `partial_fit`, that writes its results into the estimator.

    Parameters
    ----------
    estimator : BaseMultilayerPerceptron
    net : Net
    training : Rows
    held_out : Rows or None
        What early stopping is judged by.
    reported : callable
        The loss of an epoch as scikit-learn defines it, without the penalty, from the net's.
    incremental : bool
        Whether this is `partial_fit`: one epoch, with the optimizer as the last call left it.

    Nothing is written into the estimator and the net before `run`, so that data may still be refused.
    """

    def __init__(
        self,
        estimator: Any,
        net: Net,
        training: Rows,
        held_out: Rows | None,
        reported: Callable[[float], float],
        incremental: bool,
    ) -> None:
        self._estimator, self._net, self._held_out, self._reported = estimator, net, held_out, reported
        self._rows, self._incremental = len(training), incremental
        self._optimizer = optimizer_of(estimator)
        warn_of_batch_size(estimator.batch_size, self._rows)
        batch = batch_rows(estimator.batch_size, self._rows, self._optimizer)
        check_batch_size(self._optimizer, batch, self._rows)
        with estimator._capped_losses(net):
            self._engine = start_core_fit(
                net._core, net.seed, FitData(training.X, training.Y, training.weights), self._options(batch)
            )
        constants = estimator._loss_constants(training)
        self._constants = None if constants is None else constants.reshape(len(training), -1).sum(axis=1)
        self._training, self._batch = training, min(batch, len(training))
        self._best = net.parameters.copy() if held_out is not None else None

    def run(self, hooks: FitHooks) -> None:
        """Run epochs until a rule stops them; `hooks` are told of each."""
        self._hooks, self._start = hooks, time.perf_counter()
        self._begin_steps()
        estimator, epochs = self._estimator, 1 if self._incremental else int(self._estimator.max_iter)
        estimator.n_iter_ = 0
        try:
            while estimator.n_iter_ < epochs:
                self._hooks.begin_epoch()
                self._run_epochs(min(epochs - estimator.n_iter_, self._epochs_until_a_stop()))
                if self._is_told_to_stop() or self._has_stalled():
                    break
            else:
                self._warn_of_the_end(epochs)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        except DivergenceError as error:
            self._end_diverged(error)
        finally:
            if self._best is not None:
                self._net.parameters = self._best
            self._net._core.begin_epoch_anew()
        self._hooks.end_fit()

    def _warn_of_the_end(self, epochs: int) -> None:
        if not self._incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization hasn't converged "
                "yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _begin_steps(self) -> None:
        """Begin with a new optimizer, as scikit-learn does in each `fit`, or go on with that of the last call.

        An epoch that was interrupted was of other data, for all that is known, and is not gone on with.
        """
        self._net._core.begin_epoch_anew()
        estimator, optimizer = self._estimator, self._optimizer
        if self._incremental and hasattr(estimator, "_optimizer"):
            return
        self._net._core.write_optimizer_state(optimizer.name, 0, [])
        # scikit-learn's modes are for sgd alone; ours are for all of the rules that it does not know, too.
        fixed = estimator.solver == "adam" or not optimizer.has_rate
        mode = "constant" if fixed else estimator.learning_rate
        estimator._optimizer = StepSize(mode, float(optimizer.lr), float(estimator.power_t))

    def _options(self, batch: int) -> FitOptions:
        return FitOptions(
            optimizer=self._optimizer,
            batch_size=batch,
            shuffle=bool(self._estimator.shuffle),
            regularization=Regularization(l2=float(self._estimator.alpha), per_weight=True),
            tol=0.0,
            patience=None,
            time_limit=math.inf,
            judged_outside=True,
        )

    def _epochs_until_a_stop(self) -> int:
        """Return how many epochs are certain to follow, at one learning rate and seen by nobody; at least one."""
        estimator = self._estimator
        looks_on = self._held_out is not None or estimator.callback is not None or self._hooks.listened_to
        if looks_on or estimator.verbose or estimator._optimizer.mode == "invscaling":
            return 1
        stalls = estimator.n_iter_no_change - estimator._no_improvement_count + 1
        return int(max(1, min(EPOCHS_PER_CALL, stalls)))

    def _run_epochs(self, count: int) -> None:
        estimator, before = self._estimator, self._engine.epochs
        rate = estimator._optimizer.learning_rate
        try:
            with estimator._capped_losses(self._net):
                self._engine.run(np.full(count, rate))
        finally:  # those that are complete count, whatever happened to the next
            done = self._engine.epochs - before
            losses, penalties = self._engine.last_losses(done), self._engine.last_penalties(done)
            first = self._net.epochs_trained - done
            for epoch, (loss, penalty) in enumerate(zip(losses.tolist(), penalties.tolist(), strict=True), first):
                self._record_epoch(self._reported(loss) + self._shift(epoch) + penalty)
        self._follow(rate)

    def _shift(self, epoch: int) -> float:
        """Return how far the mean of the minibatches' constants is from that of all rows, where weights differ."""
        weights, rows, shuffled = self._training.weights, self._rows, bool(self._estimator.shuffle)
        if self._constants is None or weights is None or self._batch == rows:
            return 0.0
        order = permutation(self._net.seed, epoch, rows) if shuffled else np.arange(rows)
        starts = np.arange(0, rows, self._batch)
        of_batches = np.add.reduceat(weights[order], starts)
        sums = np.add.reduceat((weights * self._constants)[order], starts)
        means = np.divide(sums, of_batches, out=np.zeros(len(starts)), where=of_batches > 0)
        counts = np.diff(np.append(starts, rows))
        return float(means @ counts / rows - np.average(self._constants, weights=weights))

    def _record_epoch(self, loss: float) -> None:
        estimator = self._estimator
        estimator.n_iter_ += 1
        estimator.t_ += self._rows
        estimator.loss_ = loss
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        self._count_stall()
        estimator._optimizer.end_epoch(estimator.t_)

    def _count_stall(self) -> None:
        """Count the epochs in a row without an improvement by tol."""
        estimator = self._estimator
        if self._held_out is None:
            stalls = estimator.loss_ > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        else:
            score = estimator._score_outputs(self._held_out, self._net.predict(self._held_out.X))
            estimator.validation_scores_.append(score)
            if estimator.verbose:
                print(f"Validation score: {score:f}")
            stalls = score < estimator.best_validation_score_ + estimator.tol
            if score > estimator.best_validation_score_:
                estimator.best_validation_score_ = score
                self._best = self._net.parameters.copy()
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if stalls else 0

    def _has_stalled(self) -> bool:
        """Return whether to stop after too many such epochs, unless a smaller learning rate may help."""
        estimator, rate = self._estimator, self._estimator._optimizer.learning_rate
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        goes_on = estimator._optimizer.goes_on_after_stall()
        if estimator.verbose:
            what = "Training loss" if self._held_out is None else "Validation score"
            pace = estimator._optimizer
            stop = "Learning rate too small. Stopping." if pace.mode == "adaptive" else "Stopping."
            then = f"Setting learning rate to {pace.learning_rate:f}" if goes_on else stop
            print(
                f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
                f"consecutive epochs. {then}"
            )
        if goes_on:
            estimator._no_improvement_count = 0
            self._follow(rate)
        return not goes_on

    def _follow(self, rate: float) -> None:
        """Make the next epoch's momentum what it would be with the learning rate inside of the velocity."""
        now = self._estimator._optimizer.learning_rate
        if now not in (rate, 0.0) and isinstance(self._optimizer, SGD) and self._optimizer.momentum > 0:
            rule, steps, slots = self._net._core.read_optimizer_state()
            self._net._core.write_optimizer_state(rule, steps, [slot * slot.dtype.type(rate / now) for slot in slots])

    def _is_told_to_stop(self) -> bool:
        estimator = self._estimator
        stops = self._hooks.end_epoch()
        if estimator.callback is None:
            return stops
        scores = {} if self._held_out is None else {"validation_score": estimator.validation_scores_[-1]}
        state = FitState(
            net=self._net,
            epoch=estimator.n_iter_,
            loss=estimator.loss_,
            validation_loss=None,
            metrics=scores,
            learning_rate=estimator._optimizer.learning_rate,
            seconds=time.perf_counter() - self._start,
        )
        return asks_to_stop(estimator.callback(state)) or stops

    def _end_diverged(self, error: DivergenceError) -> None:
        """Raise, unless early stopping has parameters to go back to."""
        if self._held_out is None or not math.isfinite(self._estimator.best_validation_score_):
            raise DivergenceError(f"{NOT_FINITE} {error}") from None
        self._estimator.validation_scores_.append(math.nan)
        warnings.warn(f"{error}; the parameters are those of the best epoch.", ConvergenceWarning, stacklevel=5)


def warn_of_batch_size(batch_size: Any, rows: int) -> None:
    """Warn as scikit-learn does where a minibatch is to have more rows than there are."""
    if not isinstance(batch_size, str) and batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
