"""Per-layer views of a flat arena, to be read, indexed and written like a list of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .config import NetConfig
    from .trace import Array

__all__ = ["LayerViews", "layer_views", "write_numbers"]


class LayerViews(Sequence[Any]):
    """One array per layer, each a view; assigning to an index writes into the view.

    So ``net.weights[0] = W`` and ``net.weights[0] += dW`` change the net, and no assignment can
    leave the net behind unnoticed.
    """

    def __init__(self, views: list[Array]) -> None:
        self._views = views

    @overload
    def __getitem__(self, layer: int) -> Array: ...
    @overload
    def __getitem__(self, layer: slice) -> list[Array]: ...
    def __getitem__(self, layer: int | slice) -> Array | list[Array]:
        return self._views[layer]

    def __setitem__(self, layer: int | slice, values: ArrayLike) -> None:
        if isinstance(layer, slice):
            raise TypeError(f"one layer at a time can be assigned; got {layer!r}")
        write_numbers(f"layer {layer}", values, self._views[layer])

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return repr(self._views)


def write_numbers(name: str, given: ArrayLike, target: Array) -> None:
    """Write real numbers into an array, broadcast to its shape.

    Raises
    ------
    TypeError
        They are something else, or masked.
    ValueError
        They have another shape, are beyond what the array's dtype holds, or the array is read-only.
    """
    values = np.asanyarray(given)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers; got {given!r:.80} of dtype {values.dtype}")
    if hasattr(values, "mask"):
        raise TypeError(f"{name} must not be masked; fill the masked values first")
    if not target.flags.writeable:
        raise ValueError(f"{name} cannot be written: the array is read-only")
    if values.dtype != target.dtype:
        values = _cast(name, values, target.dtype)  # all of them, before any is written
    try:
        target[...] = values
    except ValueError:
        shape = target.shape
        raise ValueError(f"{name} must have the shape {shape}, or be broadcast to it; got {values.shape}") from None


def _cast(name: str, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        with np.errstate(over="raise"):
            return values.astype(dtype)
    except FloatingPointError:
        raise ValueError(f"{name} must be numbers that {dtype} holds; some are beyond") from None


def layer_views(config: NetConfig, arena: Array) -> tuple[LayerViews, LayerViews]:
    """Return views of the weights and of the biases in an arena of a net's parameters or gradients."""
    weights, biases, offset = [], [], 0
    for fan_in, fan_out in config.layer_shapes:
        weights.append(arena[offset : offset + fan_in * fan_out].reshape(fan_in, fan_out))
        offset += fan_in * fan_out
    for fan_out in config.sizes[1:] if config.bias else ():
        biases.append(arena[offset : offset + fan_out])
        offset += fan_out
    return LayerViews(weights), LayerViews(biases)
