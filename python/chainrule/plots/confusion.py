"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import choose_axes, printable

__all__ = ["ConfusionDisplay", "confusion_matrix", "predicted_labels"]

#: With more classes than this the cells are too small for numbers, and with many more for the names of all classes.
MAX_CLASSES_WITH_VALUES = 20
MAX_CLASS_NAMES = 40
NORMALIZATIONS = (None, "true", "predicted", "all")
#: The sum that shares are of, by what they are shares of.
SUM_AXES = {"true": 1, "predicted": 0, "all": None}


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, labels: ArrayLike | None = None) -> NDArray[np.int64]:
    """Count the rows of each true class by the class that was predicted.

    Parameters
    ----------
    y_true, y_pred : array_like, (rows,)
        Labels: numbers or strings.
    labels : array_like, (classes,), optional
        The classes, each once, in the order of the matrix; by default all that occur, sorted.

    Returns
    -------
    ndarray of int64, (classes, classes)
        The true class by row, the predicted one by column.

    Raises
    ------
    ValueError
        The lengths differ or are zero, a label is given twice, or one occurs that is not in `labels`.
    """
    true, predicted = _read_labels("y_true", y_true), _read_labels("y_pred", y_pred)
    if len(true) != len(predicted):
        raise ValueError(f"y_true and y_pred must have as many rows; got {len(true)} and {len(predicted)}")
    if len(true) == 0:
        raise ValueError("y_true and y_pred must have at least one row")
    classes = np.unique(np.concatenate([true, predicted])) if labels is None else _read_labels("labels", labels)
    order = np.argsort(classes, kind="stable")
    if np.any(classes[order][1:] == classes[order][:-1]):
        raise ValueError(f"labels must name each class once; got {classes.tolist()}")
    rows, columns = (_find("y_true", true, classes, order), _find("y_pred", predicted, classes, order))
    cells = np.bincount(rows * len(classes) + columns, minlength=len(classes) ** 2)
    return cells.reshape(len(classes), len(classes)).astype(np.int64)


class ConfusionDisplay:
    """How many rows of each true class were taken for each class.

    Parameters
    ----------
    confusion_matrix : array_like, (classes, classes)
        Counts, the true class by row, the predicted one by column.
    labels : sequence, (classes,), optional
        Names of the classes; by default 0, 1, 2, ...

    Attributes
    ----------
    ax_, figure_
        The axes and the figure that `plot` drew on.
    im_ : matplotlib.image.AxesImage
    text_ : list of matplotlib.text.Text
        The numbers in the cells, row by row.

    Raises
    ------
    ValueError
        The matrix is not square, empty or has negative counts, or there is not one label for each class.

    Examples
    --------
    >>> from chainrule.plots import ConfusionDisplay
    >>> ConfusionDisplay([[3, 1], [0, 4]], labels=["cat", "dog"]).accuracy
    0.875
    """

    ax_: Any
    figure_: Any
    im_: Any
    text_: list[Any]

    def __init__(self, confusion_matrix: ArrayLike, *, labels: Sequence[Any] | None = None) -> None:
        matrix = np.asarray(confusion_matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
            raise ValueError(f"confusion_matrix must be square, (classes, classes); got shape {matrix.shape}")
        if matrix.dtype.kind not in "biuf" or not np.isfinite(matrix).all() or np.any(matrix < 0):
            raise ValueError("confusion_matrix must hold counts, finite numbers of at least 0")
        names = list(range(len(matrix))) if labels is None else list(labels)
        if len(names) != len(matrix):
            raise ValueError(f"labels must be as many as classes, {len(matrix)}; got {len(names)}")
        self.confusion_matrix, self.labels = matrix, names

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        labels: Sequence[Any] | None = None,
        ax: Any = None,
        **options: Any,
    ) -> ConfusionDisplay:
        """Count and draw; arguments and errors are those of `confusion_matrix` and, in `options`, of `plot`."""
        if labels is None:
            labels = np.unique(
                np.concatenate([_read_labels("y_true", y_true), _read_labels("y_pred", y_pred)])
            ).tolist()
        return cls(confusion_matrix(y_true, y_pred, labels), labels=labels).plot(ax, **options)

    @classmethod
    def from_net(
        cls,
        net: Any,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        labels: Sequence[Any] | None = None,
        ax: Any = None,
        **options: Any,
    ) -> ConfusionDisplay:
        """Predict the classes of `X` and draw them against those of `Y`.

        Parameters
        ----------
        net : Net
            The most probable class is the largest output; of one output, 1 where it is at least 0.5.
        X : array_like, (rows, features)
        Y : array_like, (rows,), or one-hot (rows, outputs)
            Class indices from 0.
        labels : sequence, (classes,), optional
            Names of the classes.
        ax, **options
            As in `plot`.
        """
        outputs = net.predict(X)
        classes = max(2, outputs.shape[1])
        true = np.asarray(Y)
        true = predicted_labels(true) if true.ndim == 2 else true
        matrix = confusion_matrix(true, predicted_labels(outputs), np.arange(classes))
        return cls(matrix, labels=labels).plot(ax, **options)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        labels: Sequence[Any] | None = None,
        ax: Any = None,
        **options: Any,
    ) -> ConfusionDisplay:
        """Predict with a classifier of chainrule or scikit-learn, and draw; the classes are its ``classes_``."""
        if not hasattr(estimator, "classes_"):
            raise ValueError(f"estimator has no classes_: it is not fitted, or no classifier; got {estimator}")
        if labels is None:
            labels = np.asarray(estimator.classes_).tolist()
        return cls.from_predictions(y, estimator.predict(X), labels=labels, ax=ax, **options)

    @property
    def accuracy(self) -> float:
        """Share of the rows whose class was found; NaN where there are none."""
        total = self.confusion_matrix.sum()
        return float(np.trace(self.confusion_matrix) / total) if total else float("nan")

    def plot(
        self,
        ax: Any = None,
        *,
        normalize: str | None = None,
        include_values: bool | None = None,
        cmap: str = "Blues",
        colorbar: bool = False,
    ) -> ConfusionDisplay:
        """Draw the matrix: cells as dark as their share of the true class, with their counts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot by default.
        normalize : {None, "true", "predicted", "all"}, default None
            Write shares of the true class, of the predicted class or of all rows instead of counts, and colour by them.
        include_values : bool, optional
            Whether to write numbers into the cells; by default up to 20 classes.
        cmap : str, default "Blues"
        colorbar : bool, default False

        Returns
        -------
        ConfusionDisplay
            The object itself.

        Raises
        ------
        ValueError
            `normalize` is none of these.
        """
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {', '.join(map(repr, NORMALIZATIONS))}; got {normalize!r}")
        ax = choose_axes(ax)
        shares = self._shares(normalize or "true")
        self.im_ = ax.imshow(shares, cmap=cmap, vmin=0, vmax=1)
        classes = len(self.labels)
        if include_values if include_values is not None else classes <= MAX_CLASSES_WITH_VALUES:
            self._write_values(ax, shares, normalize)
        else:
            self.text_ = []
        self._name_classes(ax)
        if colorbar:
            ax.figure.colorbar(self.im_, ax=ax, shrink=0.8, label=f"share of {_whole(normalize or 'true')}")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _shares(self, normalize: str) -> NDArray[np.float64]:
        counts = self.confusion_matrix.astype(np.float64)
        sums = counts.sum(axis=SUM_AXES[normalize], keepdims=True)
        shares = np.zeros_like(counts)
        np.divide(counts, sums, out=shares, where=sums > 0)
        return shares

    def _write_values(self, ax: Any, shares: NDArray[np.float64], normalize: str | None) -> None:
        size = 10 if len(self.labels) <= 10 else 7
        self.text_ = [
            ax.text(
                column,
                row,
                f"{self.confusion_matrix[row, column]:g}" if normalize is None else f"{share:.0%}",
                ha="center",
                va="center",
                fontsize=size,
                color=_ink_on(self.im_.cmap(share)),
            )
            for (row, column), share in np.ndenumerate(shares)
        ]

    def _name_classes(self, ax: Any) -> None:
        names = [printable(label) for label in self.labels]
        step = -(-len(names) // MAX_CLASS_NAMES)
        ticks = range(0, len(names), step)
        longest = max(map(len, names))
        # Names that would run into each other are turned.
        turned = (
            {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
            if longest > 2 and longest * len(names) > 40
            else {}
        )
        shown = [names[tick] for tick in ticks]
        size = 10 if len(names) <= MAX_CLASSES_WITH_VALUES else 7
        ax.set_xticks(ticks, shown, parse_math=False, fontsize=size, **turned)
        ax.set_yticks(ticks, shown, parse_math=False, fontsize=size)
        ax.set_xlabel("predicted class")
        ax.set_ylabel("true class")
        ax.tick_params(length=0)


def predicted_labels(outputs: ArrayLike) -> NDArray[np.int64]:
    """Return the class of each row: the largest output, or of one output whether it is at least 0.5."""
    values = np.asarray(outputs)
    chosen: NDArray[Any] = values[:, 0] >= 0.5 if values.shape[1] == 1 else np.argmax(values, axis=1)
    return chosen.astype(np.int64)


def _read_labels(argument: str, given: ArrayLike) -> NDArray[Any]:
    labels = np.asarray(given)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"{argument} must be one label for each row, (rows,); got shape {labels.shape}")
    return labels


def _find(argument: str, given: NDArray[Any], classes: NDArray[Any], order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the position in `classes` of each label."""
    places = np.searchsorted(classes, given, sorter=order).clip(max=len(classes) - 1)
    positions: NDArray[np.int64] = order[places].astype(np.int64)
    unknown = classes[positions] != given
    if np.any(unknown):
        absent = np.asarray(given)[unknown][0]
        raise ValueError(f"{argument} has the label {absent!r}, which is not one of labels, {classes.tolist()}")
    return positions


def _whole(normalize: str) -> str:
    return {"true": "the true class", "predicted": "the predicted class", "all": "all rows"}[normalize]


def _ink_on(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever is read better on `colour` (luminance of Rec. 709)."""
    red, green, blue, _ = colour
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else "white"
