"""Pictures of a training run; needs matplotlib, from the extra ``[cli]``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .history import History

__all__ = ["plot_history"]

TRAINING, VALIDATION, BEST = "#4c72b0", "#dd8452", "#333333"
#: Curves that span more than this factor are drawn on a logarithmic scale.
LOG_SCALE_FROM = 10.0


def plot_history(history: History, ax: Any = None) -> Any:
    """Draw the loss curves of a fit, the best epoch marked.

    Parameters
    ----------
    history : History
        What `Net.fit` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure of pyplot by default. Nothing is shown or saved.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The fit completed no epoch.
    ImportError
        matplotlib is not installed.
    """
    if history.epochs == 0:
        raise ValueError("history has no completed epoch to plot")
    if ax is None:
        ax = _new_axes()
    curves = {"training": (history.loss, TRAINING)}
    if history.validation_loss is not None:
        curves["validation"] = (history.validation_loss, VALIDATION)
    epochs = np.arange(1, history.epochs + 1)
    marker = "o" if history.epochs == 1 else ""
    for label, (losses, colour) in curves.items():
        ax.plot(epochs, losses, color=colour, marker=marker, linewidth=1.6, label=label)
    monitored = list(curves.values())[-1][0]
    _mark_best(ax, monitored)
    if _spans_decades(np.concatenate([losses for losses, _ in curves.values()])):
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.margins(x=0.02)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax


def _new_axes() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: pip install 'chainrule[cli]'") from error
    return pyplot.subplots(layout="constrained")[1]


def _mark_best(ax: Any, losses: NDArray[np.float64]) -> None:
    best = int(np.argmin(losses))
    label = f"best epoch {best + 1}: {losses[best]:.4g}"
    ax.axvline(best + 1, color=BEST, linewidth=0.9, linestyle=":")
    ax.plot(best + 1, losses[best], "o", color=BEST, markersize=5, label=label, zorder=3)


def _spans_decades(losses: NDArray[np.float64]) -> bool:
    finite = losses[np.isfinite(losses)]
    return bool(len(finite) and finite.min() > 0 and finite.max() >= LOG_SCALE_FROM * finite.min())
