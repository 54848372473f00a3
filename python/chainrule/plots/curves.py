"""The losses of a fit, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import BLUE, INK, ORANGE, choose_axes, tidy

if TYPE_CHECKING:
    from ..history import History

__all__ = ["LossCurveDisplay", "plot_history"]

#: Curves that span more than this factor are drawn on a logarithmic scale.
LOG_SCALE_FROM = 10.0


class LossCurveDisplay:
    """Training loss per epoch, the validation loss beside it, and the best epoch.

    Parameters
    ----------
    loss : array_like, (epochs,)
    validation_loss : array_like, (epochs,), optional
    validation_score : array_like, (epochs,), optional
        Scores whose highest marks the best epoch, where there are no validation losses. They are not drawn.

    Attributes
    ----------
    best_epoch : int or None
        The epoch, from 1, with the lowest validation loss, or else the highest validation score, or else the lowest
        training loss; None where no epoch has a number.
    ax_, figure_
        The axes and the figure that `plot` drew on.
    lines_ : list of matplotlib.lines.Line2D
        The curves, training first.

    Raises
    ------
    ValueError
        There is no completed epoch, or the curves differ in length.

    Examples
    --------
    >>> from chainrule.plots import LossCurveDisplay
    >>> LossCurveDisplay([4.0, 3.0, 2.0], validation_loss=[5.0, 3.5, 3.75]).best_epoch
    2
    """

    ax_: Any
    figure_: Any
    lines_: list[Any]

    def __init__(
        self,
        loss: ArrayLike,
        *,
        validation_loss: ArrayLike | None = None,
        validation_score: ArrayLike | None = None,
    ) -> None:
        self.loss = _read_curve("loss", loss)
        if len(self.loss) == 0:
            raise ValueError("there is no completed epoch to plot")
        epochs = len(self.loss)
        self.validation_loss = _read_optional("validation_loss", validation_loss, epochs)
        self.validation_score = _read_optional("validation_score", validation_score, epochs)

    @classmethod
    def from_history(cls, history: History, *, ax: Any = None, **options: Any) -> LossCurveDisplay:
        """Draw what `Net.fit` returned; `options` are those of `plot`.

        Raises
        ------
        ValueError
            The fit completed no epoch.
        ImportError
            matplotlib is not installed.
        """
        return cls(history.loss, validation_loss=history.validation_loss).plot(ax, **options)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **options: Any) -> LossCurveDisplay:
        """Draw the ``loss_curve_`` of a fitted estimator, the best epoch by its validation scores, if any.

        Raises
        ------
        ValueError
            The estimator is not fitted, or has no loss curve (scikit-learn's with ``solver="lbfgs"`` has none).
        ImportError
            matplotlib is not installed.
        """
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(
                f"estimator has no loss_curve_: it is not fitted, or its solver keeps none; got {estimator}"
            )
        scores = getattr(estimator, "validation_scores_", None)
        return cls(estimator.loss_curve_, validation_score=scores).plot(ax, **options)

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, counted from 1."""
        return None if (best := self._find_best()) is None else best[0] + 1

    def plot(self, ax: Any = None, *, log_scale: bool | None = None, mark_best: bool = True) -> LossCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot by default.
        log_scale : bool, optional
            Whether losses are on a logarithmic scale, which leaves away those that are not positive; by default
            where all are positive and the largest is ten times the smallest.
        mark_best : bool, default True

        Returns
        -------
        LossCurveDisplay
            The object itself.
        """
        ax = choose_axes(ax)
        curves = [("training", self.loss, BLUE)]
        if self.validation_loss is not None:
            curves.append(("validation", self.validation_loss, ORANGE))
        epochs = np.arange(1, len(self.loss) + 1)
        style = {"marker": "o" if len(epochs) == 1 else "", "linewidth": 1.6}  # one epoch is no line
        self.lines_ = [
            ax.plot(epochs, losses, color=colour, label=label, **style)[0] for label, losses, colour in curves
        ]
        if mark_best:
            self._mark_best(ax)
        if log_scale is None:
            log_scale = _spans_decades(np.concatenate([losses for _, losses, _ in curves]))
        if log_scale:
            ax.set_yscale("log", nonpositive="mask")
            _label_minor_ticks(ax)
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss (log scale)" if log_scale else "loss")
        ax.margins(x=0.02)
        if len(epochs) == 1:
            ax.set_xlim(0, 2)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.25)
        tidy(ax)
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _find_best(self) -> tuple[int, str] | None:
        """Return the best epoch from 0, and what it reached in words."""
        if self.validation_loss is None and self.validation_score is not None:
            scores = self.validation_score
            best = None if np.isnan(scores).all() else int(np.nanargmax(scores))
            return None if best is None else (best, f"validation score {scores[best]:.4g}")
        losses = self.loss if self.validation_loss is None else self.validation_loss
        return None if np.isnan(losses).all() else ((best := int(np.nanargmin(losses))), f"{losses[best]:.4g}")

    def _mark_best(self, ax: Any) -> None:
        if (found := self._find_best()) is None:
            return
        best, reached = found
        losses = self.loss if self.validation_loss is None else self.validation_loss
        ax.axvline(best + 1, color=INK, linewidth=0.9, linestyle=":")
        label = f"best epoch {best + 1}: {reached}"
        ax.plot(best + 1, losses[best], "o", color=INK, markersize=5, label=label, zorder=3)


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
    return LossCurveDisplay.from_history(history, ax=ax).ax_


def _read_curve(argument: str, given: ArrayLike) -> NDArray[np.float64]:
    curve = np.array(given, dtype=np.float64)
    if curve.ndim != 1:
        raise ValueError(f"{argument} must have one number for each epoch, (epochs,); got shape {curve.shape}")
    return curve


def _read_optional(argument: str, given: ArrayLike | None, epochs: int) -> NDArray[np.float64] | None:
    curve = None if given is None else _read_curve(argument, given)
    if curve is not None and len(curve) != epochs:
        raise ValueError(f"{argument} must be as long as loss, {epochs}; got {len(curve)}")
    return curve


def _spans_decades(losses: NDArray[np.float64]) -> bool:
    finite = losses[np.isfinite(losses)]
    return bool(len(finite) and finite.min() > 0 and finite.max() >= LOG_SCALE_FROM * finite.min())


def _label_minor_ticks(ax: Any) -> None:
    """Name some ticks between the powers of ten, of which a curve may cross only one."""
    from matplotlib.ticker import LogFormatterSciNotation

    ax.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(2, 0.8)))
