"""Predicted numbers against the true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import BLUE, INK, choose_axes, tidy

__all__ = ["PredictionErrorDisplay"]

KINDS = ("predicted_vs_true", "residual_vs_predicted")


class PredictionErrorDisplay:
    """Predicted numbers against the true ones, or how far they are off.

    Parameters
    ----------
    y_true, y_pred : array_like, (rows,)
        One number for each row; (rows, 1) is read as (rows,).

    Attributes
    ----------
    r2 : float
        ``1 - sum (y - yhat)^2 / sum (y - mean y)^2``; NaN where all y are equal.
    rmse : float
        ``sqrt(mean (y - yhat)^2)``, in the unit of y.
    ax_, figure_
        The axes and the figure that `plot` drew on.
    line_ : matplotlib.lines.Line2D
        Where the points of exact predictions lie.
    scatter_ : matplotlib.collections.PathCollection

    Raises
    ------
    ValueError
        The lengths differ or are zero, there are several columns, or a number is not finite.

    Examples
    --------
    >>> from chainrule.plots import PredictionErrorDisplay
    >>> PredictionErrorDisplay([1.0, 2.0, 3.0], [1.0, 2.0, 5.0]).r2
    -1.0
    """

    ax_: Any
    figure_: Any
    line_: Any
    scatter_: Any

    def __init__(self, y_true: ArrayLike, y_pred: ArrayLike) -> None:
        self.y_true, self.y_pred = _read_numbers("y_true", y_true), _read_numbers("y_pred", y_pred)
        if len(self.y_true) != len(self.y_pred):
            raise ValueError(f"y_true and y_pred must have as many rows; got {len(self.y_true)} and {len(self.y_pred)}")

    @classmethod
    def from_predictions(
        cls, y_true: ArrayLike, y_pred: ArrayLike, *, ax: Any = None, **options: Any
    ) -> PredictionErrorDisplay:
        """Draw `y_pred` against `y_true`; `options` are those of `plot`."""
        return cls(y_true, y_pred).plot(ax, **options)

    @classmethod
    def from_net(
        cls, net: Any, X: ArrayLike, Y: ArrayLike, *, output: int | None = None, ax: Any = None, **options: Any
    ) -> PredictionErrorDisplay:
        """Predict `X` and draw against `Y`.

        Parameters
        ----------
        net : Net
        X : array_like, (rows, features)
        Y : array_like, (rows, outputs), or (rows,) for one output
        output : int, optional
            Which output, from 0; not needed where there is one.
        ax, **options
            As in `plot`.

        Raises
        ------
        ValueError
            The net has several outputs and none is chosen.
        """
        return cls.from_predictions(_choose(Y, output), _choose(net.predict(X), output), ax=ax, **options)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: ArrayLike, *, output: int | None = None, ax: Any = None, **options: Any
    ) -> PredictionErrorDisplay:
        """Predict with an estimator of chainrule or scikit-learn, and draw; arguments as in `from_net`."""
        if hasattr(estimator, "classes_"):
            raise ValueError(f"estimator is a classifier, of which ConfusionDisplay tells more; got {estimator}")
        return cls.from_predictions(_choose(y, output), _choose(estimator.predict(X), output), ax=ax, **options)

    @property
    def r2(self) -> float:
        """Share of the variance that is explained."""
        total = float(np.sum((self.y_true - self.y_true.mean()) ** 2))
        # The mean of equal numbers may be off by a rounding error, and the square of a small one is 0.
        varies = np.ptp(self.y_true) > 0 and total > 0
        return 1 - float(np.sum((self.y_true - self.y_pred) ** 2)) / total if varies else float("nan")

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(np.mean((self.y_true - self.y_pred) ** 2)))

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "predicted_vs_true",
        name: str = "",
        subsample: int | None = 1000,
        random_state: int = 0,
    ) -> PredictionErrorDisplay:
        """Draw a point for each row.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot by default.
        kind : {"predicted_vs_true", "residual_vs_predicted"}, default "predicted_vs_true"
            A residual is the true number minus the predicted one.
        name : str, optional
            What the numbers are, for the labels of the axes, such as ``"price in euros"``.
        subsample : int or None, default 1000
            The most points to draw; the scores in the legend are always those of all rows. None draws all.
        random_state : int, default 0
            Which rows are drawn where there are more.

        Returns
        -------
        PredictionErrorDisplay
            The object itself.

        Raises
        ------
        ValueError
            `kind` is none of these, or `subsample` is below 1.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {kind!r}")
        rows = self._choose_rows(subsample, random_state)
        ax = choose_axes(ax)
        true, predicted, of = self.y_true[rows], self.y_pred[rows], f": {name}" if name else ""
        # Many points are fainter, so that their density is seen.
        style = {"s": 20, "color": BLUE, "alpha": 0.75 if len(rows) <= 200 else 0.4, "linewidths": 0}
        scores = f"$R^2$ = {self.r2:.3f}, RMSE = {self.rmse:.4g}"
        if kind == "predicted_vs_true":
            self.scatter_ = ax.scatter(true, predicted, label=scores, **style)
            self.line_ = ax.axline((true[0], true[0]), slope=1, color=INK, linewidth=1, linestyle="--", label="exact")
            ax.set_aspect("equal", adjustable="datalim")
            labels = "true value" + of, "predicted value" + of
        else:
            self.scatter_ = ax.scatter(predicted, true - predicted, label=scores, **style)
            self.line_ = ax.axhline(0, color=INK, linewidth=1, linestyle="--", label="exact")
            labels = "predicted value" + of, "residual (true - predicted)" + of
        ax.set_xlabel(labels[0], parse_math=False)
        ax.set_ylabel(labels[1], parse_math=False)
        ax.grid(alpha=0.25)
        tidy(ax)
        _add_legend(ax, len(rows), len(self.y_true))
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _choose_rows(self, subsample: int | None, random_state: int) -> NDArray[np.intp]:
        if subsample is not None and subsample < 1:
            raise ValueError(f"subsample must be at least 1, or None for all rows; got {subsample}")
        rows = np.arange(len(self.y_true))
        if subsample is None or len(rows) <= subsample:
            return rows
        return np.sort(np.random.default_rng(random_state).choice(rows, subsample, replace=False))


def _add_legend(ax: Any, drawn: int, rows: int) -> None:
    title = None if drawn == rows else f"{drawn} of {rows} rows drawn"
    ax.legend(frameon=False, title=title, loc="best", alignment="left")


def _read_numbers(argument: str, given: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(given, dtype=np.float64)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(f"{argument} must be one number for each row, (rows,); got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{argument} must be finite; row {int(np.flatnonzero(~np.isfinite(numbers))[0])} is not")
    return numbers


def _choose(given: ArrayLike, output: int | None) -> NDArray[Any]:
    """Return the column of one output."""
    values = np.asarray(given)
    if values.ndim != 2:
        return values
    outputs = values.shape[1]
    if output is None and outputs > 1:
        raise ValueError(f"output must say which of the {outputs} outputs to draw, from 0 to {outputs - 1}; got None")
    if output is not None and not -outputs <= output < outputs:
        raise ValueError(f"output must be from 0 to {outputs - 1}; got {output}")
    return values[:, output or 0]
