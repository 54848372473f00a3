"""The engine in NumPy: the minibatches of an epoch, and when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._core import permutation
from ..config import NetConfig
from ..engine import FitOptions
from ..errors import DivergenceError
from ..fit_data import FitData
from ..history import StopReason
from ..optimizers import Optimizer
from ..regularization import Regularization
from ..trace import Array
from .inputs import read_rows, read_targets, read_weights
from .interrupts import interrupts_held_back
from .layers import Layers
from .optimizers import UpdateRule, update
from .regularization import add_penalties, clip_gradients, limit_weights

if TYPE_CHECKING:
    from .net import Net

__all__ = ["EarlyStopping", "Fit", "Progress", "Trainer"]


class Trainer:
    """The rows of one fit, and the step that every minibatch takes.

    Parameters
    ----------
    layers : Layers
    rule : UpdateRule
    optimizer : Optimizer
    X : ndarray, (rows, features), of any dtype
    Y : ndarray, (rows, outputs)
    weights : ndarray, (rows,), or None
        None weighs every row 1.
    batch_size : int
    regularization : Regularization
    """

    def __init__(
        self,
        layers: Layers,
        rule: UpdateRule,
        optimizer: Optimizer,
        X: NDArray[Any],
        Y: Array,
        weights: Array | None,
        batch_size: int,
        regularization: Regularization,
    ) -> None:
        self.layers, self.rule, self.optimizer = layers, rule, optimizer
        # Taking rows from an array that is not contiguous would copy all of it every time.
        self.X, self.Y, self.weights = np.ascontiguousarray(X), Y, weights
        self.batch_size, self.regularization = batch_size, regularization
        self.penalised = slice(None if regularization.penalize_biases else rule.weights)
        self.ones = np.ones(batch_size, layers.config.dtype)
        self.even_share = layers.shares(self.ones)

    def mean_or_sum(self, total: float) -> float:
        """Return the loss of an epoch from the weighted sum of its rows' losses."""
        if self.layers.config.reduction == "sum":
            return total
        return total / (len(self.X) if self.weights is None else float(self.weights.sum()))

    def step(self, start: int, order: NDArray[np.int64] | None, lr: float) -> float:
        """Update on the minibatch that begins at `start`; return the weighted sum of its rows' losses before it."""
        layers = self.layers
        X, Y = self.minibatch(self.X, start, order), self.minibatch(self.Y, start, order)
        X = X.astype(layers.config.dtype, copy=False)
        if self.weights is not None:
            weights = self.minibatch(self.weights, start, order)
            share = layers.shares(weights)
        elif len(X) == self.batch_size:
            weights, share = self.ones, self.even_share
        else:
            weights = self.ones[: len(X)]
            share = layers.shares(weights)
        passes = layers.forward(X, self.rule.steps)
        loss = layers.weighted_loss(passes, Y, weights)
        if not math.isfinite(loss):
            raise DivergenceError("the loss is not finite")
        layers.backward(passes, Y, share, may_be_0=self.weights is not None)
        penalties = self.regularization.of_minibatch(float(weights.sum()))
        add_penalties(layers.gradients[self.penalised], layers.parameters[self.penalised], penalties)
        clip_gradients(layers.gradients, self.regularization)
        update(self.rule, self.optimizer, lr, layers.gradients, layers.frozen_parameters())
        limit_weights(layers.unfrozen_weights(), self.regularization)
        return loss

    def minibatch(self, rows: NDArray[Any], start: int, order: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return the rows of the minibatch that begins at `start`."""
        stop = start + self.batch_size
        return rows[start:stop] if order is None else rows.take(order[start:stop], axis=0)


class EarlyStopping:
    """Watch the losses of the epochs, and keep the parameters of the best one.

    Parameters
    ----------
    tol : float
        Without patience: stop once the training loss changes by no more than this (0: never).
        With patience: an improvement is a fall below the best loss by more than this.
    patience : int or None
        Stop after so many epochs in a row without an improvement.
    """

    def __init__(self, tol: float, patience: int | None) -> None:
        self.tol, self.patience = tol, patience
        self.previous = self.best = math.inf
        self.waited = 0
        self.best_parameters: Array | None = None

    def judge(self, loss: float, measure: float | None, parameters: Array) -> StopReason | None:
        """Return why to stop after this epoch, or None.

        Parameters
        ----------
        loss : float
            Training loss.
        measure : float or None
            The validation loss or another number that is the better the less it is, if there is one.
        parameters : ndarray
        """
        if self.patience is None:
            change, self.previous = abs(loss - self.previous), loss
            return "converged" if self.tol > 0 and change <= self.tol else None
        monitored = loss if measure is None else measure
        if monitored < self.best - self.tol:
            self.best, self.waited = monitored, 0
            if measure is not None:
                self.best_parameters = parameters.copy()
            return None
        self.waited += 1
        return "patience" if self.waited >= self.patience else None

    def restore_best(self, parameters: Array) -> bool:
        """Put the parameters of the best epoch back, where patience watched something else than the training loss.

        Returns whether it did: they have not seen the rows of an epoch in progress.
        """
        if self.best_parameters is None:
            return False
        parameters[...] = self.best_parameters
        return True


@dataclass
class Progress:
    """How far an epoch has come. A fit with as many rows, and minibatches of the same size and order, goes on there.

    Attributes
    ----------
    rows, batch_size, shuffled
        What a fit must have to go on.
    rows_done : int
    loss : float
        The weighted sum of their losses.
    """

    rows: int
    batch_size: int
    shuffled: bool
    rows_done: int = 0
    loss: float = 0.0

    def suits(self, rows: int, batch_size: int, shuffled: bool) -> bool:
        """Whether a fit like this can go on here."""
        return (self.rows, self.batch_size, self.shuffled) == (rows, batch_size, shuffled)


class Fit:
    """One fit of a reference net; the methods of `Engine`.

    Parameters
    ----------
    net : Net
    data : FitData
    options : FitOptions
    """

    def __init__(self, net: Net, data: FitData, options: FitOptions) -> None:
        self._net, self._options = net, options
        X, Y, weights = _read(net.config, data.X, data.Y, data.sample_weight)
        batch_size = len(X) if options.batch_size is None else min(options.batch_size, len(X))
        rule = net._rule_of(options.optimizer)
        self._trainer = Trainer(net._layers, rule, options.optimizer, X, Y, weights, batch_size, options.regularization)
        # One batch of all the rows needs no order.
        self._shuffled = options.shuffle and batch_size < len(X)
        self._validation = _read(net.config, *data.validation, "validation ") if data.validation is not None else None
        self._stopping = EarlyStopping(options.tol, options.patience)
        self._losses: list[float] = []
        self._validation_losses: list[float] = []
        self._deadline = time.perf_counter() + options.time_limit

    def __enter__(self) -> None:
        """Claim nothing: a reference net is for one thread."""

    def __exit__(self, *args: object) -> None:
        """Give nothing up."""

    @property
    def epochs(self) -> int:
        """Epochs that are complete."""
        return len(self._losses)

    @property
    def last_loss(self) -> float:
        """Training loss of the last complete epoch."""
        return self._losses[-1]

    @property
    def last_validation_loss(self) -> float:
        """Validation loss after it."""
        return self._validation_losses[-1]

    @property
    def losses(self) -> NDArray[np.float64]:
        """Training losses of all complete epochs."""
        return np.array(self._losses)

    @property
    def validation_losses(self) -> NDArray[np.float64]:
        """Validation losses after them."""
        return np.array(self._validation_losses)

    def run(self, learning_rates: NDArray[np.float64], /) -> StopReason | None:
        """Run an epoch with each of these rates; return why it stopped early, or None."""
        self._net._passes = None
        with np.errstate(over="ignore", invalid="ignore"), interrupts_held_back() as let_through:
            for lr in learning_rates:
                if not self._run_minibatches(float(lr), let_through):
                    return "time"
                stopped = self._end_epoch()
                if stopped is not None:
                    return stopped
        return None

    def judge(self, measure: float, /) -> StopReason | None:
        """Judge the last epoch by a number that is the better the less it is."""
        return self._stopping.judge(self.last_loss, measure, self._net.parameters)

    def restore_best(self) -> None:
        """Put the parameters of the best epoch back, if they were kept."""
        if self._stopping.restore_best(self._net.parameters):
            self._net._progress = None

    def _run_minibatches(self, lr: float, let_through: Callable[[], None]) -> bool:
        """Begin an epoch, or go on with one; return whether there was time to complete it."""
        trainer, progress = self._trainer, self._progress()
        order = permutation(self._net.seed, self._net.epochs_trained, progress.rows) if self._shuffled else None
        while progress.rows_done < progress.rows:
            let_through()
            if time.perf_counter() >= self._deadline:
                return False
            try:
                progress.loss += trainer.step(progress.rows_done, order, lr)
            except DivergenceError as error:
                self._net._progress = None
                batch = progress.rows_done // trainer.batch_size + 1
                place = f"training diverged in epoch {self.epochs + 1}, batch {batch}"
                raise DivergenceError(f"{place}: {error}") from None
            progress.rows_done += trainer.batch_size
        let_through()
        self._check_weights()
        return True

    def _check_weights(self) -> None:
        """Begin the epoch anew if all weights, of which one was not 0 when the fit began, are 0 by now."""
        if self._trainer.weights is not None and not self._trainer.weights.any():
            self._net._progress = None
            place = f"training diverged in epoch {self.epochs + 1}, batch 1"
            raise DivergenceError(f"{place}: the weights of all rows are 0")

    def _progress(self) -> Progress:
        terms = len(self._trainer.X), self._trainer.batch_size, self._shuffled
        if self._net._progress is None or not self._net._progress.suits(*terms):
            self._net._progress = Progress(*terms)
        return self._net._progress

    def _end_epoch(self) -> StopReason | None:
        """Take the losses down, and return why to stop."""
        net = self._net
        validation_loss = None if self._validation is None else self._validate(*self._validation)
        if validation_loss is not None:
            self._validation_losses.append(validation_loss)
        self._losses.append(self._trainer.mean_or_sum(self._progress().loss))
        net.epochs_trained += 1
        net._progress = None
        if self._options.judged_outside:
            return None
        return self._stopping.judge(self.last_loss, validation_loss, net.parameters)

    def _validate(self, X: NDArray[Any], Y: Array, weights: Array | None) -> float:
        layers = self._net._layers
        if weights is not None and not weights.any():
            return math.nan  # they became 0 during the fit
        X = X.astype(layers.config.dtype, copy=False)
        share = layers.shares(np.ones(len(X), X.dtype) if weights is None else weights)
        return layers.weighted_loss(layers.forward(X), Y, share)


def _read(
    config: NetConfig, X: Any, Y: Any, weights: Any, prefix: str = ""
) -> tuple[NDArray[Any], Array, Array | None]:
    """Return the data of a fit as arrays; weights that are None stay so."""
    rows = read_rows(config, X, f"{prefix}X")
    targets = read_targets(config, Y, len(rows))
    return rows, targets, None if weights is None else read_weights(config, weights, len(rows))
