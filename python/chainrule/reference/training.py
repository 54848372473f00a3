"""The loop of `fit`: the minibatches of an epoch, and when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core import permutation
from ..errors import DivergenceError
from ..history import FitState, History, StopReason
from ..optimizers import Optimizer
from ..trace import Array
from .layers import Layers
from .optimizers import UpdateRule, update

if TYPE_CHECKING:
    from .net import Net

__all__ = ["EarlyStopping", "Trainer", "run_epochs"]


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
    l2 : float
        Adds l2 W to the gradient of the weights, that of the penalty l2 / 2 sum W^2.
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
        l2: float,
    ) -> None:
        self.layers, self.rule, self.optimizer = layers, rule, optimizer
        # Taking rows from an array that is not contiguous would copy all of it every time.
        self.X, self.Y, self.weights = np.ascontiguousarray(X), Y, weights
        self.batch_size, self.l2 = batch_size, l2
        self.weight_count = sum(W.size for W in layers.weights)
        self.ones = np.ones(batch_size, layers.config.dtype)
        self.even_share = layers.shares(self.ones)

    def run_epoch(self, epoch: int, order: NDArray[np.int64] | None) -> float:
        """Take one step per minibatch, over the rows in this order, and return the loss met on the way."""
        total = 0.0
        for batch, start in enumerate(range(0, len(self.X), self.batch_size), start=1):
            try:
                total += self.step(start, order)
            except DivergenceError as error:
                raise DivergenceError(f"training diverged in epoch {epoch}, batch {batch}: {error}") from None
        if self.layers.config.reduction == "sum":
            return total
        return total / (len(self.X) if self.weights is None else float(self.weights.sum()))

    def step(self, start: int, order: NDArray[np.int64] | None) -> float:
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
        preactivations, activations = layers.forward(X)
        loss = float(weights @ layers.row_losses(preactivations, activations, Y))
        if not math.isfinite(loss):
            raise DivergenceError("the loss is not finite")
        layers.backward(activations, Y, share)
        if self.l2 > 0:
            layers.gradients[: self.weight_count] += self.l2 * layers.parameters[: self.weight_count]
        update(self.rule, self.optimizer, layers.parameters, layers.gradients)
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

    def judge(self, loss: float, validation_loss: float | None, parameters: Array) -> StopReason | None:
        """Return why to stop after this epoch, or None."""
        if self.patience is None:
            change, self.previous = abs(loss - self.previous), loss
            return "converged" if self.tol > 0 and change <= self.tol else None
        monitored = loss if validation_loss is None else validation_loss
        if monitored < self.best - self.tol:
            self.best, self.waited = monitored, 0
            if validation_loss is not None:
                self.best_parameters = parameters.copy()
            return None
        self.waited += 1
        return "patience" if self.waited >= self.patience else None

    def restore_best(self, parameters: Array) -> None:
        """Put the parameters of the best epoch back, where patience watched a validation loss."""
        if self.best_parameters is not None:
            parameters[...] = self.best_parameters


def run_epochs(
    net: Net,
    trainer: Trainer,
    stopping: EarlyStopping,
    epochs: int,
    shuffle: bool,
    validation: Sequence[ArrayLike] | None,
    watchers: Sequence[Callable[[FitState], object]],
) -> History:
    """Train for these epochs, or until `stopping` or a watcher ends it."""
    losses: list[float] = []
    validation_losses: list[float] = []
    validation_loss: float | None = None
    stopped: StopReason | None = None
    began = time.perf_counter()
    while stopped is None and len(losses) < epochs:
        order = permutation(net.seed, net.epochs_trained, len(trainer.X)) if shuffle else None
        losses.append(trainer.run_epoch(len(losses) + 1, order))
        net.epochs_trained += 1
        if validation is not None:
            validation_loss = net.loss(*validation)
            validation_losses.append(validation_loss)
        stopped = stopping.judge(losses[-1], validation_loss, net.parameters)
        state = FitState(net, len(losses), losses[-1], validation_loss, time.perf_counter() - began)
        answers = [watch(state) for watch in watchers]
        if any(answers):
            stopped = "callback"
    stopping.restore_best(net.parameters)
    return History(
        loss=np.array(losses),
        validation_loss=None if validation is None else np.array(validation_losses),
        epochs=len(losses),
        seconds=time.perf_counter() - began,
        stopped=stopped or "epochs",
    )
