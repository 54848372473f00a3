"""Why a fit diverged: clues, looked for after the fact."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import NetConfig
from .errors import DivergenceError
from .foreign_arrays import as_csr, is_sparse
from .optimizers import Optimizer
from .regularization import Regularization

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Circumstances", "explain"]

#: Inputs and targets beyond this are worth scaling.
LARGE = 1e3
#: So many times a rule's default is a large learning rate.
LARGE_RATE = 10

#: Losses whose gradient grows with the targets.
LOSSES_OF_ANY_SIZE = ("squared_error", "half_squared_error", "poisson")
BOUNDED_ACTIVATIONS = ("sigmoid", "hard_sigmoid", "tanh", "softsign", "softmax")


@dataclass(frozen=True)
class Circumstances:
    """What a fit was like when it diverged.

    Attributes
    ----------
    config : NetConfig
    parameters : ndarray, flat
    X, Y : array_like
    sample_weight : array_like or None
    optimizer : Optimizer
    lr : float
        The learning rate of the epoch.
    regularization : Regularization
    losses : ndarray, (epochs,)
        Those of the epochs that were complete.
    """

    config: NetConfig
    parameters: NDArray[Any]
    X: Any
    Y: Any
    sample_weight: Any
    optimizer: Optimizer
    lr: float
    regularization: Regularization
    losses: NDArray[np.float64]

    @property
    def remedy(self) -> str:
        """What makes steps smaller, unless it is done already."""
        clips = self.regularization.clip_norm is not None
        return "lower the learning rate" if clips else "lower the learning rate, or set clip_norm"


def explain(error: DivergenceError, circumstances: Circumstances) -> DivergenceError:
    """Return the error of a fit anew, with its place and its likely cause."""
    cause = _likely_cause(circumstances)
    place = re.search(r"epoch (\d+), batch (\d+)", str(error))
    epoch, batch = (int(place[1]), int(place[2])) if place else (None, None)
    return DivergenceError(f"{error}; likely cause: {cause}", epoch=epoch, batch=batch, cause=cause)


def _likely_cause(c: Circumstances) -> str:
    """Return what is certain, else all that is likely, else the first that is possible."""
    for find in (_bad_parameters, _bad_data):
        if found := find(c):
            return found
    likely = [found for find in (_large_inputs, _large_targets, _large_rate, _large_penalty) if (found := find(c))]
    if likely:
        return "; ".join(likely)
    for find in (_sum_over_rows, _exponential, _rising_loss, _unbounded):
        if found := find(c):
            return found
    return f"a step that was too long: {c.remedy}"


def _bad_parameters(c: Circumstances) -> str | None:
    # A fit leaves finite parameters, so these came from somewhere else.
    return None if np.isfinite(c.parameters).all() else "parameters of the net were set to numbers that are not finite"


def _bad_data(c: Circumstances) -> str | None:
    names = [name for name, values in (("X", c.X), ("Y", c.Y)) if not np.isfinite(_largest(values))]
    if names:
        return f"{' and '.join(names)} changed during the fit, to numbers that are not finite"
    labels = c.config.loss.name == "cross_entropy" and np.size(c.Y) == len(c.Y)
    if labels and (np.min(c.Y) < 0 or np.max(c.Y) >= c.config.outputs):
        return "Y changed during the fit, to class indices that are out of range"
    if c.sample_weight is not None and not np.min(c.sample_weight) >= 0:
        return "sample_weight changed during the fit, to numbers below 0 or NaN"
    if c.sample_weight is not None and not np.any(c.sample_weight):
        return "sample_weight changed during the fit, to 0 for every row"
    return None


def _large_inputs(c: Circumstances) -> str | None:
    largest = _largest(c.X)
    if largest <= LARGE:
        return None
    return f"the inputs reach {largest:.3g}: scale each feature to mean 0 and standard deviation 1"


def _large_targets(c: Circumstances) -> str | None:
    largest = _largest(c.Y)
    if c.config.loss.name not in LOSSES_OF_ANY_SIZE or largest <= LARGE:
        return None
    return f"the targets reach {largest:.3g}, and the gradient of {c.config.loss.name} grows with them: scale them down"


def _large_rate(c: Circumstances) -> str | None:
    default = type(c.optimizer)().lr
    if not c.optimizer.has_rate or c.lr <= LARGE_RATE * default:
        return None
    return f"the learning rate {c.lr:.3g} is {c.lr / default:g} times the default of {c.optimizer.name}: lower it"


def _large_penalty(c: Circumstances) -> str | None:
    penalties = {"l1": c.regularization.l1, "l2": c.regularization.l2}
    penalties["weight_decay"] = getattr(c.optimizer, "weight_decay", 0.0)
    # A step of plain descent then takes a weight to the other side of 0, and no nearer.
    names = [f"{name}={value:.3g}" for name, value in penalties.items() if c.lr * value >= 2]
    if not names:
        return None
    return f"{' and '.join(names)} with the learning rate {c.lr:.3g} throws weights beyond 0: lower it"


def _rising_loss(c: Circumstances) -> str | None:
    last = c.losses[-5:]
    if len(last) < 2 or last[-1] <= last.min():
        return None
    return f"the loss rose from {last.min():.3g} to {last[-1]:.3g} in the last epochs: {c.remedy}"


def _sum_over_rows(c: Circumstances) -> str | None:
    if c.config.reduction != "sum":
        return None
    return f"reduction='sum' makes steps longer the more rows a minibatch has: {c.remedy}"


def _exponential(c: Circumstances) -> str | None:
    return f"the activation 'exp' magnifies every step: {c.remedy}" if "exp" in c.config.activations else None


def _unbounded(c: Circumstances) -> str | None:
    names = dict.fromkeys(repr(name) for name in c.config.activations if name not in BOUNDED_ACTIVATIONS)
    return f"activations without bounds ({', '.join(names)}) that a long step drove up: {c.remedy}" if names else None


def _largest(given: Any) -> float:
    """Return the largest absolute value, or NaN if there is one, without a copy of the data."""
    values = as_csr(given, "X")[0] if is_sparse(given) else np.asarray(given)
    highest, lowest = float(values.max(initial=0)), float(values.min(initial=0))
    return math.nan if math.isnan(highest) else max(highest, -lowest)
