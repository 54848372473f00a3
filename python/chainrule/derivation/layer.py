"""The symbols of one layer, under the names of `Trace`."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import NetConfig
from ..trace import hidden_suffix
from .expression import Expression
from .formulas import ACTIVATION_FORMULAS
from .symbols import Index, Symbol

__all__ = ["Layer", "layers_of"]


@dataclass(frozen=True)
class Layer:
    """One layer of weights: what goes in, what comes out, and its indices.

    Index k runs over the layer's inputs, l over its units, m over the units of the layer
    after it, and j over the units once more where softmax couples them.
    """

    activation: str
    inputs: Symbol
    weights: Symbol
    bias: Symbol
    preactivation: Symbol
    output: Symbol
    fan_in: int
    fan_out: int

    @property
    def delta(self) -> Symbol:
        """The derivative of the loss by the preactivation."""
        return Symbol(f"delta_{self.preactivation.name}")

    @property
    def definition(self) -> Expression:
        """The activation, unit by unit."""
        return ACTIVATION_FORMULAS[self.activation].definition(self.preactivation)

    @property
    def slope(self) -> Expression:
        """The derivative of the activation, unit by unit."""
        return ACTIVATION_FORMULAS[self.activation].derivative(self.preactivation, self.output)

    def input_index(self) -> Index:
        """Return the index of the layer's inputs."""
        return Index("k", self.fan_in)

    def unit_index(self, letter: str = "l") -> Index:
        """Return an index of the layer's units."""
        return Index(letter, self.fan_out)


def layers_of(config: NetConfig) -> list[Layer]:
    """Return the symbols of every layer of a net, the first one first."""
    count = len(config.activations)
    layers: list[Layer] = []
    for at, (activation, (fan_in, fan_out)) in enumerate(zip(config.activations, config.layer_shapes, strict=True)):
        suffix = hidden_suffix(at, count)
        last = at == count - 1
        layers.append(
            Layer(
                activation=activation,
                inputs=layers[-1].output if layers else Symbol("X"),
                weights=Symbol(f"W{at + 1}"),
                bias=Symbol(f"b{at + 1}", rank=1),
                preactivation=Symbol("O" if last else f"H{suffix}"),
                output=Symbol("Yhat" if last else f"Z{suffix}"),
                fan_in=fan_in,
                fan_out=fan_out,
            )
        )
    return layers
