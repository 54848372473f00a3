"""What a fit reports: losses and metrics per epoch, time, and why it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FitState", "History", "StopReason", "asks_to_stop"]

StopReason = Literal["epochs", "converged", "patience", "time", "callback", "interrupted", "diverged"]


@dataclass
class History:
    """The record of one fit.

    Attributes
    ----------
    loss : ndarray of float64, (epochs,)
        Training loss of each epoch, as met on the way: every row's loss before the
        update that its minibatch makes, averaged over the rows by their weights
        (``reduction="mean"``) or summed; without penalties. The first epoch of a fit
        may have been begun by the one before.
    validation_loss : ndarray of float64, (epochs,), or None
        Loss on the validation set after each epoch.
    learning_rate : ndarray of float64, (epochs,), or None
        The optimizer's learning rate in each epoch, as the schedule set it.
    metrics : dict of str to ndarray of float64, (epochs,)
        The user's metrics after each epoch; NaN where an exception came in between.
    epochs : int
        Epochs completed.
    seconds : float
        Wall time of the fit.
    stopped : str
        ``"epochs"`` (all were run), ``"converged"`` (the training loss changed by at most
        `tol`), ``"patience"`` (no improvement for `patience` epochs), ``"time"`` (the
        `time_limit` has passed), ``"callback"`` (also where a callback, a metric
        or a checkpoint raised),
        ``"interrupted"`` (Ctrl-C) or ``"diverged"``; the last two are seen in `net.history`,
        for the fit raises.
    """

    loss: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    validation_loss: NDArray[np.float64] | None = None
    learning_rate: NDArray[np.float64] | None = None
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    stopped: StopReason = "epochs"

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss curves with matplotlib and return the axes; needs the extra ``[plot]``."""
        from .plots import plot_history

        return plot_history(self, ax)


def asks_to_stop(answer: object) -> bool:
    """Return whether a callback's answer is true.

    Raises
    ------
    TypeError
        It is neither true nor false, as an array of several elements.
    """
    try:
        return bool(answer)
    except ValueError:
        raise TypeError(f"callback must return True to stop, or False or None to go on; got {answer!r:.80}") from None


@dataclass(frozen=True)
class FitState:
    """What ``callback(state)`` sees after each epoch; returning True stops the fit.

    Attributes
    ----------
    net : Net
        The net being trained; predicting with it, and changing its parameters, is allowed.
    epoch : int
        Epochs completed in this fit, from 1.
    loss : float
        Training loss of the epoch, as in `History.loss`.
    validation_loss : float or None
        Loss on the validation set, where there is one.
    metrics : dict of str to float
        The user's metrics after the epoch.
    learning_rate : float
        The learning rate of the epoch.
    seconds : float
        Wall time since the fit began.
    """

    net: Any
    epoch: int
    loss: float
    validation_loss: float | None
    metrics: dict[str, float]
    learning_rate: float
    seconds: float
