"""Initial parameters: by name with the same bits for the same seed on every platform, by a callable, or given."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, cast

import numpy as np

from .config import NetConfig, choose
from .random_numbers import BLOCK, Numbers, normal, orthogonal, uniform

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .trace import Array

__all__ = ["INITIALIZERS", "Init", "initial_weights", "initialize", "read_seed"]

#: A name; a callable (fan_in, fan_out, random) of what one layer starts from; or the same of every layer in a sequence.
Init: TypeAlias = (
    "str | Callable[[int, int, np.random.Generator], ArrayLike | tuple[ArrayLike, ArrayLike]]"
    " | Sequence[ArrayLike | tuple[ArrayLike, ArrayLike]]"
)

#: Variance of the weights, as numerator and denominator, from a layer's fan_in and fan_out.
VARIANCES: dict[str, Callable[[int, int], tuple[int, int]]] = {
    # Glorot and Bengio, 2010, equations 12 and 16.
    "glorot": lambda fan_in, fan_out: (2, fan_in + fan_out),
    # He et al., 2015, equation 10.
    "he": lambda fan_in, fan_out: (2, fan_in),
    # LeCun et al., 1998, section 4.6.
    "lecun": lambda fan_in, fan_out: (1, fan_in),
}


def read_seed(seed: object) -> int:
    """Return `seed` as an int in [0, 2**63), drawing a fresh one for None."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    if isinstance(seed, bool):
        raise TypeError(f"seed must be an integer or None, got {seed!r}")
    try:
        value = operator.index(cast(SupportsIndex, seed))
    except TypeError:
        raise TypeError(f"seed must be an integer or None, got {seed!r}") from None
    if not 0 <= value < 2**63:
        raise ValueError(f"seed must be in [0, 2**63), got {value}")
    return value


def initialize(config: NetConfig, init: Init, seed: int, weights: Sequence[Array], biases: Sequence[Array]) -> None:
    """Write the initial parameters of every layer into its arrays; biases are 0 unless they are given.

    Beside those arrays it takes little memory, for a layer may fill much of the machine's; an orthogonal layer alone
    takes as much again in float64.

    Parameters
    ----------
    config : NetConfig
    init : str, callable or sequence
        As for `chainrule.Net`.
    seed : int
    weights : sequence of ndarray, one (fan_in, fan_out) per layer, contiguous
    biases : sequence of ndarray, one (fan_out,) per layer, or none

    Raises
    ------
    TypeError, ValueError
        `init` is not one of `INITIALIZERS`, or what it gives does not fit the net.
    """
    for vector in biases:
        vector[...] = 0.0
    stream = np.random.Philox(key=seed)
    if isinstance(init, str):
        fill = INITIALIZERS[choose("init", init, tuple(INITIALIZERS))]
        for matrix in weights:
            fill(stream, matrix)
    else:
        for layer, given in enumerate(_layers(config, init, stream)):
            _put_layer(layer, given, weights[layer], biases[layer] if config.bias else None)


def initial_weights(config: NetConfig, init: Init, seed: int) -> list[Numbers]:
    """Return the weights alone in new arrays of float64, (fan_in, fan_out) each; errors as for `initialize`."""
    weights = [np.empty(shape) for shape in config.layer_shapes]
    initialize(config, init, seed, weights, [np.empty(width) for width in config.sizes[1:]])
    return weights


def _fill(
    draw: Callable[[np.random.Philox, int], Numbers],
    precision: float,
    variance: Callable[[int, int], tuple[int, int]],
    stream: np.random.Philox,
    weights: Array,
) -> None:
    """Fill with numbers of `draw`, whose own variance is 1 / precision."""
    numerator, denominator = variance(*weights.shape)
    scale = math.sqrt(precision * numerator / denominator)
    for block in _blocks(weights):
        block[...] = draw(stream, block.size) * scale


def _fill_orthogonal(stream: np.random.Philox, weights: Array) -> None:
    """Orthonormal rows or columns, whichever are fewer (Saxe, McClelland and Ganguli, 2014)."""
    fan_in, fan_out = weights.shape
    matrix = orthogonal(stream, max(fan_in, fan_out), min(fan_in, fan_out))
    weights[...] = matrix if fan_in >= fan_out else matrix.T


def _fill_zeros(stream: np.random.Philox, weights: Array) -> None:
    weights[...] = 0.0


#: Every initialiser by its name: it fills the weights of one layer from the stream.
INITIALIZERS: dict[str, Callable[[np.random.Philox, Array], None]] = {
    **{f"{rule}_uniform": partial(_fill, uniform, 3.0, variance) for rule, variance in VARIANCES.items()},
    **{f"{rule}_normal": partial(_fill, normal, 1.0, variance) for rule, variance in VARIANCES.items()},
    "orthogonal": _fill_orthogonal,
    "zeros": _fill_zeros,
}


def _layers(config: NetConfig, init: object, stream: np.random.Philox) -> Iterable[object]:
    """Return what each layer starts from, as the callable or the sequence gives it."""
    if callable(init):
        random = np.random.Generator(stream)
        return (init(fan_in, fan_out, random) for fan_in, fan_out in config.layer_shapes)
    if not isinstance(init, Sequence | np.ndarray) or isinstance(init, bytes):
        names = ", ".join(map(repr, INITIALIZERS))
        raise TypeError(f"init must be one of {names}, a callable, or a sequence of one array per layer; got {init!r}")
    if len(init) != len(config.layer_shapes):
        raise ValueError(f"init has {len(init)} entries, but the net has {len(config.layer_shapes)} layers of weights")
    return init


def _put_layer(layer: int, given: object, weights: Array, biases: Array | None) -> None:
    if not _is_pair(given):
        _put(f"init for weights[{layer}]", given, weights)
        return
    if biases is None:
        raise ValueError(f"init gives biases[{layer}], but the net has bias=False")
    given_weights, given_biases = cast(Sequence[object], given)
    _put(f"init for weights[{layer}]", given_weights, weights)
    _put(f"init for biases[{layer}]", given_biases, biases)


def _is_pair(given: object) -> bool:
    """Whether it is (weights, biases); a list of two lists of numbers is a matrix of two rows."""
    return isinstance(given, tuple | list) and len(given) == 2 and len(_shape(given[0])) == 2


def _shape(given: object) -> tuple[int, ...]:
    try:
        return np.shape(cast(Any, given))
    except ValueError:  # lists of several lengths
        return ()


def _put(name: str, given: object, target: Array) -> None:
    """Write what is given into `target`, and check it there, so that no copy of a large layer is needed."""
    try:
        values = np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} must be an array of shape {target.shape}; got sequences of several lengths") from None
    if hasattr(given, "filled"):
        raise TypeError(f"{name} must not be masked; fill the masked values first")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of real numbers; got dtype {values.dtype}")
    if values.shape != target.shape:
        raise ValueError(f"{name} must have the shape {target.shape}; got {values.shape}")
    with np.errstate(over="ignore"):
        target[...] = values
    if not all(np.isfinite(block).all() for block in _blocks(target)):
        raise ValueError(f"{name} must be finite in {target.dtype}; got a value that is not")


def _blocks(array: Array) -> Iterator[Array]:
    """Iterate over views of a contiguous array, flat, of `BLOCK` elements at most."""
    flat = array.reshape(-1)
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))
