"""Freezing of layers, which every kind of net shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .checks import read_index

if TYPE_CHECKING:
    from .config import NetConfig

__all__ = ["Freezable"]


class Freezable(ABC):
    """A net whose layers can be frozen; it says how, one layer at a time."""

    config: NetConfig

    @property
    def frozen(self) -> tuple[int, ...]:
        """Layers of weights whose parameters no training moves; see `freeze`."""
        return tuple(layer for layer in range(len(self.config.layer_shapes)) if self._is_frozen(layer))

    def freeze(self, *layers: int) -> None:
        """Keep the weights and biases of these layers as they are in every later update, until `unfreeze`.

        Parameters
        ----------
        *layers : int
            Numbers of layers of weights from 0, the one on the inputs, or from -1 backwards.

        Raises
        ------
        TypeError, IndexError
            There is no such layer.
        """
        self._freeze(layers, True)

    def unfreeze(self, *layers: int) -> None:
        """Let training move the parameters of these layers again, or of all layers where none are given."""
        self._freeze(layers or range(len(self.config.layer_shapes)), False)

    def _freeze(self, layers: Sequence[int], frozen: bool) -> None:
        count = len(self.config.layer_shapes)
        numbers = [read_index("a layer", layer) for layer in layers]
        for number in numbers:
            if not -count <= number < count:
                raise IndexError(f"layers must be from 0 to {count - 1}, or from -1 to -{count}; got {number}")
        for number in numbers:
            self._set_frozen(number % count, frozen)

    @abstractmethod
    def _is_frozen(self, layer: int) -> bool: ...

    @abstractmethod
    def _set_frozen(self, layer: int, frozen: bool) -> None: ...
