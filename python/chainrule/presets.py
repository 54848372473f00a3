"""The five source documents as ready-made nets: ``PRESETS["004b"].net(seed=1)``.

What each document prints, and where it slips, is in docs/derivations.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .config import NetConfig

if TYPE_CHECKING:
    from .net import Net

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The net and the loss of one source document, or of one variant in it.

    Attributes
    ----------
    name : str
        Key in `PRESETS`: the document's number and, where it has several, the variant.
    document : str
        Title and number of the document.
    sizes : tuple of int
        Units per layer. Only 002 fixes them; the others say f-h-1, and take its 3-4-1.
    hidden, output, loss, reduction : str
        As in `Net`.
    bias : bool
        As in `Net`.
    learning_rate : str
        The document's letter for it; gamma where no update is printed.
    summary : str
        One line on what is derived.
    """

    name: str
    document: str
    sizes: tuple[int, ...] = (3, 4, 1)
    hidden: str = "sigmoid"
    output: str
    loss: str
    reduction: str
    bias: bool
    learning_rate: str
    summary: str

    def config(self) -> NetConfig:
        """Return the validated configuration, in float64."""
        return NetConfig.create(**self._options())

    def net(self, **overrides: Any) -> Net:
        """Return a new net in float64; `overrides` are arguments of `Net`, such as ``sizes`` or ``seed``."""
        from .net import Net

        return Net(**(self._options() | overrides))

    def _options(self) -> dict[str, Any]:
        names = ("sizes", "hidden", "output", "loss", "reduction", "bias")
        return {name: getattr(self, name) for name in names} | {"dtype": "float64"}


def _without_biases(name: str, title: str, summary: str) -> Preset:
    """Return one of 000, 001, 002: the same net and loss, written in three ways."""
    return Preset(
        name=name,
        document=f"{title} ({name})",
        output="sigmoid",
        loss="half_squared_error",
        reduction="mean",
        bias=False,
        learning_rate="gamma",
        summary=summary,
    )


def _regression_notes(variant: str, hidden: str) -> Preset:
    """Return one of the four readings of 003, whose rule is not quite that of its loss."""
    losses = {"stated": ("squared_error", "mean"), "derived": ("half_squared_error", "sum")}
    loss, reduction = losses[variant]
    return Preset(
        name=f"003-{variant}-{hidden}",
        document="Notes on back prop for regression, untitled (003)",
        hidden=hidden,
        output="identity",
        loss=loss,
        reduction=reduction,
        bias=True,
        learning_rate="alpha",
        summary=f"regression, {hidden} hidden units, the loss as {variant}",
    )


def _assignment(name: str, output: str, loss: str, summary: str) -> Preset:
    """Return one of the nets of 004, which compares two losses."""
    return Preset(
        name=name,
        document="Assignment 2, Question 2 (004)",
        output=output,
        loss=loss,
        reduction="sum",
        bias=True,
        learning_rate="alpha",
        summary=summary,
    )


#: The documents by number; 003 by the loss it states or derives and by its hidden activation,
#: 004 (a) regression by output activation and (b) classification.
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _without_biases("000", "Gradient Derivation for Neural Network", "dW2 and dW1, element by element"),
        _without_biases("001", "Calculation of Gradients", "dW2 and dW1 in matrices, with delta_O and delta_H"),
        _without_biases("002", "Partial Derivative Calculations", "dW2 and dW1 at 3-4-1, with every index"),
        *(_regression_notes(variant, hidden) for variant in ("stated", "derived") for hidden in ("sigmoid", "tanh")),
        *(
            _assignment(f"004a-{output}", output, "squared_error", f"regression, {output} output")
            for output in ("identity", "sigmoid", "tanh")
        ),
        _assignment("004b", "sigmoid", "log_loss", "binary classification with the log loss"),
    )
}
