"""Every intermediate number of one forward and backward pass, under the derivations' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Trace", "hidden_suffix"]

Array: TypeAlias = "NDArray[np.floating[Any]]"


def hidden_suffix(layer: int, layers: int) -> str:
    """Return the number of a hidden layer in the names: none where there is one hidden layer, else 1, 2, ..."""
    return "" if layers == 2 else str(layer + 1)


@dataclass(frozen=True)
class Trace(Mapping[str, Array]):
    """The intermediates of ``net.trace(X, Y)``, as arrays in the net's dtype.

    Index it by the names of the derivations. In a net with one hidden layer these are
    ``H`` (hidden preactivation, X W1 + b1), ``Z`` (its activation), ``O`` (output
    preactivation), ``Yhat`` (output), ``delta_O`` and ``delta_H`` (dL/dO and dL/dH), and
    ``dW1, db1, dW2, db2`` (gradients). With several hidden layers they are numbered:
    ``H1, Z1, delta_H1, H2, ...``. Without biases there are no ``db``.

    Attributes
    ----------
    preactivations, activations, deltas : list of ndarray, one (rows, fan_out) per layer
    weight_gradients : list of ndarray, one (fan_in, fan_out) per layer
    bias_gradients : list of ndarray, one (fan_out,) per layer; empty without biases
    loss : float
    """

    preactivations: list[Array]
    activations: list[Array]
    deltas: list[Array]
    weight_gradients: list[Array]
    bias_gradients: list[Array]
    loss: float

    def _named(self) -> dict[str, Array]:
        layers = len(self.activations)
        named: dict[str, Array] = {}
        for layer in range(layers - 1):
            suffix = hidden_suffix(layer, layers)
            named["H" + suffix] = self.preactivations[layer]
            named["Z" + suffix] = self.activations[layer]
        named["O"], named["Yhat"] = self.preactivations[-1], self.activations[-1]
        named["delta_O"] = self.deltas[-1]
        for layer in reversed(range(layers - 1)):
            named["delta_H" + hidden_suffix(layer, layers)] = self.deltas[layer]
        for layer in reversed(range(layers)):
            named[f"dW{layer + 1}"] = self.weight_gradients[layer]
            if self.bias_gradients:
                named[f"db{layer + 1}"] = self.bias_gradients[layer]
        return named

    def __getitem__(self, name: str) -> Array:
        named = self._named()
        if name not in named:
            raise KeyError(f"{name!r}; this trace has {', '.join(named)}")
        return named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named())

    def __len__(self) -> int:
        return len(self._named())

    def __str__(self) -> str:
        lines = [f"{name} {value.shape}\n{value}" for name, value in self._named().items()]
        return "\n".join([*lines, f"loss\n{self.loss}"])
