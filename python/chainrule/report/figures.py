"""The figures of a report, as images inside the page."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..plots import ConfusionDisplay, LossCurveDisplay, NetworkDisplay, PredictionErrorDisplay, confusion_matrix
from ..plots.canvas import new_figure, printable, render
from ..plots.network import fits
from ..tables import Categories, Standardised, TableEncoder, decided
from .markup import Markup, element

if TYPE_CHECKING:
    from ..history import History
    from ..net import Net

__all__ = ["diagram", "loss_curves", "predictions"]


def loss_curves(history: History) -> Markup:
    """Draw training and validation loss."""
    figure = new_figure(7.5, 4)
    display = LossCurveDisplay.from_history(history, ax=figure.subplots())
    validated = "" if history.validation_loss is None else " and validation"
    return _embed(figure, f"Training{validated} loss of each epoch; the best epoch is {display.best_epoch}.")


def predictions(
    target: Categories | Standardised, outputs: NDArray[Any], Y: NDArray[Any], drawn: str = "held-out rows"
) -> Markup:
    """Draw the confusion of classes, or predicted numbers against true ones."""
    if isinstance(target, Categories):
        return _confusion(target, outputs, Y, drawn)
    figure = new_figure(5.6, 5.2)
    display = PredictionErrorDisplay(target.decode(Y), target.decode(outputs))
    display.plot(figure.subplots(), name=printable(target.name))
    return _embed(figure, f"Predicted against true values of {target.name} in {len(Y)} {drawn}.")


def _confusion(target: Categories, outputs: NDArray[Any], Y: NDArray[Any], drawn: str) -> Markup:
    side = min(8.0, 3.6 + 0.4 * len(target.labels))
    figure = new_figure(side + 0.8, side)
    classes = decided(outputs)
    matrix = confusion_matrix(Y[classes >= 0], classes[classes >= 0], labels=range(len(target.labels)))
    ConfusionDisplay(matrix, labels=target.labels).plot(figure.subplots())
    shades = "counts, the darker the larger their share of the true class"
    return _embed(figure, f"True and predicted classes of {len(Y)} {drawn}: {shades}.")


def diagram(net: Net, encoder: TableEncoder) -> Markup:
    """Draw the net, or nothing if it is too large."""
    if not fits(net.config.sizes):
        return Markup("")
    outputs = encoder.target.labels if isinstance(encoder.target, Categories) else [encoder.target.name]
    names = {"feature_names": encoder.feature_names, "output_names": outputs}
    display = NetworkDisplay(list(net.weights), list(net.biases), activations=net.config.activations, **names)
    return _embed(display.plot(display.new_axes()).figure_, "The trained network, its inputs standardised or one-hot.")


def _embed(figure: Any, caption: str) -> Markup:
    data = base64.b64encode(render(figure, "svg")).decode("ascii")
    image = element("img", src=f"data:image/svg+xml;base64,{data}", alt=caption)
    return element("figure", image, element("figcaption", caption))
