"""A net as circles and lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import BLUE, GREY, INK, ORANGE, choose_axes, new_figure, printable

__all__ = ["MAX_UNITS", "MAX_WEIGHTS", "NetworkDisplay", "check_size", "fits"]

#: Beyond these a diagram is a grey area.
MAX_UNITS = 24
MAX_WEIGHTS = 300
#: Weights are written beside their lines where they are at least as far from each other.
VALUE_HEIGHT = 0.11

#: In units of the drawing, whose layers are `LAYER_GAP` apart and `HEIGHT` high.
LAYER_GAP, HEIGHT = 1.6, 2.0
#: Room for the names at both sides, for the legend and for the titles; and inches per unit of the drawing.
MARGIN, BELOW, ABOVE, SCALE = 1.15, 0.35, 0.45, 1.6
MAX_RADIUS, MAX_WIDTH, MIN_WIDTH = 0.13, 4.0, 0.3
#: Layers of more weights have thinner lines.
THICK_WEIGHTS = 16

Array = NDArray[np.floating[Any]]


class NetworkDisplay:
    """A diagram of a small net: a circle for each unit, a line for each weight.

    Lines are as thick as their weights are large, of the layer's largest; blue and solid where positive, orange and
    dashed where negative. A circle is filled by its bias in the same colours, as strongly as the bias is large.

    Parameters
    ----------
    weights : sequence of array_like, one (fan_in, fan_out) per layer
    biases : sequence of array_like, one (fan_out,) per layer, optional
    activations : sequence of str, one per layer, optional
    feature_names, output_names : sequence of str, optional
        By default ``x1, x2, ...`` and ``y1, y2, ...``, or ``y`` for one output.

    Attributes
    ----------
    ax_, figure_
        The axes and the figure that `plot` drew on.
    lines_ : list of ndarray of object, one (fan_in, fan_out) per layer
        The line of each weight.
    circles_ : list of list of matplotlib.patches.Circle
        The units of each layer, inputs first.

    Raises
    ------
    ValueError
        A layer has more than 24 units or the net more than 300 weights; or the shapes, or the numbers of names, do not
        fit each other, or a number is not finite.

    Examples
    --------
    >>> import chainrule
    >>> from chainrule.plots import NetworkDisplay
    >>> net = chainrule.Net([2, 3, 1], seed=0)
    >>> NetworkDisplay(list(net.weights), list(net.biases)).sizes
    (2, 3, 1)
    """

    ax_: Any
    figure_: Any
    lines_: list[NDArray[Any]]
    circles_: list[list[Any]]

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike] | None = None,
        *,
        activations: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        self.weights = [np.array(layer, dtype=np.float64) for layer in weights]
        self.sizes = _read_sizes(self.weights)
        check_size(self.sizes)
        shapes = [(size,) for size in self.sizes[1:]]
        self.biases = (
            [np.array(layer, dtype=np.float64) for layer in biases] if biases else [np.zeros(s) for s in shapes]
        )
        if [layer.shape for layer in self.biases] != shapes:
            raise ValueError(f"biases must have the shapes {shapes}; got {[layer.shape for layer in self.biases]}")
        if not all(np.isfinite(layer).all() for layer in (*self.weights, *self.biases)):
            raise ValueError("weights and biases must be finite")
        self.activations = _read_names("activations", activations, [""] * len(self.weights))
        self.feature_names = _read_names("feature_names", feature_names, _numbered("x", self.sizes[0]))
        self.output_names = _read_names("output_names", output_names, _numbered("y", self.sizes[-1]))

    @classmethod
    def from_net(
        cls,
        net: Any,
        *,
        feature_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        ax: Any = None,
        **options: Any,
    ) -> NetworkDisplay:
        """Draw a `Net` as it is now; arguments and errors as of the class and, in `options`, of `plot`."""
        check_size(net.config.sizes)
        names = {"feature_names": feature_names, "output_names": output_names}
        display = cls(list(net.weights), list(net.biases), activations=net.config.activations, **names)
        return display.plot(ax, **options)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        ax: Any = None,
        **options: Any,
    ) -> NetworkDisplay:
        """Draw the ``coefs_`` and ``intercepts_`` of an estimator of chainrule or scikit-learn.

        Names are its ``feature_names_in_`` and ``classes_`` where it has them.

        Raises
        ------
        ValueError
            The estimator is not fitted, or the net is too large.
        """
        if not hasattr(estimator, "coefs_"):
            raise ValueError(f"estimator has no coefs_: it is not fitted; got {estimator}")
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        classes = getattr(estimator, "classes_", ())
        if output_names is None and len(classes) == estimator.coefs_[-1].shape[1]:
            output_names = [str(label) for label in classes]
        names = {"feature_names": feature_names, "output_names": output_names}
        return cls(estimator.coefs_, estimator.intercepts_, **names).plot(ax, **options)

    def new_axes(self) -> Any:
        """Return axes of a new figure that has the shape of the diagram, unknown to pyplot."""
        width = LAYER_GAP * len(self.weights) + 2 * MARGIN
        return new_figure(SCALE * width, SCALE * (HEIGHT + ABOVE + BELOW)).subplots()

    def plot(self, ax: Any = None, *, values: bool | None = None) -> NetworkDisplay:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot by default.
        values : bool, optional
            Whether to write the weights beside their lines; by default in layers that have room for them.

        Returns
        -------
        NetworkDisplay
            The object itself.
        """
        ax = choose_axes(ax)
        places = [_spread(layer * LAYER_GAP, size) for layer, size in enumerate(self.sizes)]
        radius = min(MAX_RADIUS, 0.36 * HEIGHT / max(self.sizes))
        self.lines_ = [
            _draw_lines(ax, weights, places[layer], places[layer + 1]) for layer, weights in enumerate(self.weights)
        ]
        for layer, weights in enumerate(self.weights):
            if values if values is not None else _has_room(weights):
                _write_values(ax, weights, places[layer], places[layer + 1], radius)
        self.circles_ = self._draw_circles(ax, places, radius)
        self._write_names(ax, places, radius)
        self._set_view(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_circles(self, ax: Any, places: list[Array], radius: float) -> list[list[Any]]:
        from matplotlib.patches import Circle

        largest = max((float(np.abs(layer).max()) for layer in self.biases), default=0.0) or 1.0
        fills: list[list[Any]] = [["white"] * self.sizes[0]]
        fills += [[_tint(bias / largest) for bias in layer] for layer in self.biases]
        style = {"edgecolor": INK, "linewidth": 1.2, "zorder": 3}
        return [
            [ax.add_patch(Circle(place, radius, facecolor=fill, **style)) for place, fill in zip(*layer, strict=True)]
            for layer in zip(places, fills, strict=True)
        ]

    def _write_names(self, ax: Any, places: list[Array], radius: float) -> None:
        small = {"va": "center", "fontsize": 9 if max(self.sizes) <= 12 else 7, "parse_math": False, "zorder": 4}
        for place, name in zip(places[0], self.feature_names, strict=True):
            ax.text(place[0] - radius - 0.05, place[1], printable(name), ha="right", **small)
        for place, name in zip(places[-1], self.output_names, strict=True):
            ax.text(place[0] + radius + 0.05, place[1], printable(name), ha="left", **small)
        if radius > 0.08:
            for layer in places[1:-1]:
                for unit, place in enumerate(layer, start=1):
                    ax.text(*place, str(unit), ha="center", **small)
        titles = ["inputs", *(f"layer {layer}" for layer in range(1, len(places) - 1)), "outputs"]
        for title, activation, layer in zip(titles, ("", *self.activations), places, strict=True):
            ax.text(layer[0, 0], HEIGHT + 0.4, f"{title}\n{activation}", ha="center", va="top", fontsize=9)

    def _set_view(self, ax: Any) -> None:
        width = LAYER_GAP * len(self.weights)
        shown = "; units filled by their biases alike" if any(np.any(layer) for layer in self.biases) else ""
        ax.text(
            width / 2,
            -0.12,
            f"weights: solid blue positive, dashed orange negative, as thick as large{shown}",
            ha="center",
            va="top",
            fontsize=8,
            color=GREY,
        )
        ax.set(xlim=(-MARGIN, width + MARGIN), ylim=(-BELOW, HEIGHT + ABOVE), aspect="equal")
        ax.set_axis_off()


def fits(sizes: Sequence[int]) -> bool:
    """Whether a net is small enough to be drawn."""
    return max(sizes) <= MAX_UNITS and _count_weights(sizes) <= MAX_WEIGHTS


def check_size(sizes: Sequence[int]) -> None:
    """Raise ValueError, naming the limit, for a net that is too large to be drawn."""
    if fits(sizes):
        return
    if max(sizes) > MAX_UNITS:
        raise ValueError(f"a diagram shows at most {MAX_UNITS} units a layer; this net has {max(sizes)}")
    raise ValueError(f"a diagram shows at most {MAX_WEIGHTS} weights; this net has {_count_weights(sizes)}")


def _count_weights(sizes: Sequence[int]) -> int:
    return sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))


def _read_sizes(weights: Sequence[Array]) -> tuple[int, ...]:
    shapes = [layer.shape for layer in weights]
    fitting = all(len(shape) == 2 and min(shape) > 0 for shape in shapes)
    if not shapes or not fitting or any(a[1] != b[0] for a, b in pairwise(shapes)):
        raise ValueError(f"weights must be one (fan_in, fan_out) per layer, each as wide as the next; got {shapes}")
    return (shapes[0][0], *(shape[1] for shape in shapes))


def _read_names(argument: str, given: Sequence[str] | None, default: list[str]) -> list[str]:
    names = default if given is None else [str(name) for name in given]
    if len(names) != len(default):
        raise ValueError(f"{argument} must be {len(default)}; got {len(names)}")
    return names


def _numbered(letter: str, count: int) -> list[str]:
    return [letter] if letter == "y" and count == 1 else [f"{letter}{number}" for number in range(1, count + 1)]


def _spread(x: float, units: int) -> Array:
    """Places of a layer's units, (units, 2): the first on top, each in the middle of an equal share of the height."""
    heights = HEIGHT * (1 - (np.arange(units) + 0.5) / units)
    return np.column_stack([np.full(units, x), heights])


def _draw_lines(ax: Any, weights: Array, starts: Array, ends: Array) -> NDArray[Any]:
    largest = float(np.abs(weights).max()) or 1.0
    thickest = MAX_WIDTH * min(1.0, (THICK_WEIGHTS / weights.size) ** 0.5)
    lines = np.empty(weights.shape, dtype=object)
    # The thick ones last, so that they are not cut by thin ones.
    for flat in np.argsort(np.abs(weights), axis=None):
        place = start, end = np.unravel_index(flat, weights.shape)
        share, positive = float(weights[place]) / largest, weights[place] >= 0
        (lines[place],) = ax.plot(
            *zip(starts[start], ends[end], strict=True),
            color=BLUE if positive else ORANGE,
            linestyle="-" if positive else (0, (4, 2)),
            linewidth=max(MIN_WIDTH, thickest * abs(share)),
            alpha=0.35 + 0.55 * abs(share),
            zorder=1,
        )
    return lines


def _write_values(ax: Any, weights: Array, starts: Array, ends: Array, radius: float) -> None:
    # At 1 / (1 + fan_in) of the way the lines of a layer are at equal distances, so that no number covers another.
    way = max(1 / (1 + len(starts)), (radius + 0.17) / LAYER_GAP)
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    for (start, end), weight in np.ndenumerate(weights):
        place = (1 - way) * starts[start] + way * ends[end]
        ax.text(*place, f"{weight:.2g}", ha="center", va="center", fontsize=7, color=INK, bbox=box, zorder=2)


def _has_room(weights: Array) -> bool:
    fan_in, fan_out = weights.shape
    return bool(HEIGHT / ((fan_in + 1) * fan_out) >= VALUE_HEIGHT)


def _tint(share: float) -> tuple[float, float, float]:
    """White for 0, deeper towards blue for 1 or orange for -1, light enough to read a number on."""
    from matplotlib.colors import to_rgb

    colour = np.array(to_rgb(BLUE if share >= 0 else ORANGE))
    red, green, blue = 1 - 0.55 * abs(share) * (1 - colour)
    return float(red), float(green), float(blue)
