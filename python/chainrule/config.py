"""What a network is: sizes, activations, loss; checked once, here, for every kind of net.

Not here: parameters, arrays, or anything that computes.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex, cast

from .checks import is_sequence, read_fraction, read_number
from .losses import Loss, read_loss

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "OUTPUT_OF_LOSS",
    "REDUCTIONS",
    "DType",
    "NetConfig",
    "choose",
    "read_count",
]

DType = Literal["float32", "float64"]

#: Activation names; softmax couples the units of a layer and is for the output only.
ACTIVATIONS = (
    "identity",
    "sigmoid",
    "hard_sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "softplus",
    "softsign",
    "exp",
    "softmax",
)
HIDDEN_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name != "softmax")
REDUCTIONS = ("mean", "sum")
DTYPES = ("float32", "float64")

#: Losses that are one formula of the logits together with their output activation, and which that is.
OUTPUT_OF_LOSS = {"log_loss": "sigmoid", "cross_entropy": "softmax", "poisson": "exp"}


def choose(argument: str, given: object, allowed: Sequence[str]) -> str:
    """Return `given` if it is one of `allowed`, else raise an error that lists them."""
    if not isinstance(given, str):
        raise TypeError(f"{argument} must be a string, one of {_listed(allowed)}; got {given!r}")
    if given not in allowed:
        raise ValueError(f"{argument} must be one of {_listed(allowed)}; got {given!r}")
    return given


def read_count(argument: str, given: object, minimum: int = 1) -> int:
    """Return `given` as an int of at least `minimum`, else raise an error that names it."""
    if isinstance(given, bool):
        raise TypeError(f"{argument} must be an integer, got {given!r}")
    try:
        count = operator.index(cast(SupportsIndex, given))
    except TypeError:
        raise TypeError(f"{argument} must be an integer, got {given!r}") from None
    if count < minimum:
        raise ValueError(f"{argument} must be at least {minimum}, got {count}")
    return count


def _listed(allowed: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in allowed)


@dataclass(frozen=True)
class NetConfig:
    """The description of a multilayer perceptron, validated.

    Attributes
    ----------
    sizes : tuple of int
        Units per layer, inputs first: ``(features, hidden..., outputs)``.
    activations : tuple of str
        One name per layer of weights, the output's last.
    loss : Loss
    reduction : str
        ``"mean"`` or ``"sum"`` over rows; the outputs of a row are always summed.
    bias : bool
        Whether every layer adds a bias.
    dtype : str
        ``"float32"`` or ``"float64"``.
    dropout : tuple of float
        One per hidden layer: the share of its outputs that a training step drops.
    input_noise : float
        Standard deviation of the normal noise that a training step adds to the inputs.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: Loss
    reduction: str
    bias: bool
    dtype: DType
    dropout: tuple[float, ...] = ()
    input_noise: float = 0.0

    @classmethod
    def create(
        cls,
        sizes: Sequence[int],
        hidden: str | Sequence[str] = "sigmoid",
        output: str = "sigmoid",
        loss: str | Loss = "half_squared_error",
        reduction: str = "mean",
        bias: bool = True,
        dtype: Any = "float32",
        dropout: float | Sequence[float] = 0.0,
        input_noise: float = 0.0,
    ) -> NetConfig:
        """Check every argument of `chainrule.Net` and return the configuration.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong type or not allowed; the message lists what is.
        OverflowError
            The parameters cannot be addressed.
        MemoryError
            The parameters need more memory than the machine has.
        """
        checked_sizes = _read_sizes(sizes)
        hidden_names = _read_hidden(hidden, len(checked_sizes) - 2)
        output = choose("output", output, ACTIVATIONS)
        rule = read_loss(loss)
        required = OUTPUT_OF_LOSS.get(rule.name)
        if required is not None and output != required:
            raise ValueError(f"loss={rule.name!r} needs output={required!r}; got output={output!r}")
        if checked_sizes[-1] % rule.outputs_per_target:
            raise ValueError(
                f"loss={str(rule)!r} needs {rule.outputs_per_target} outputs for each column of the targets; "
                f"got {checked_sizes[-1]} outputs"
            )
        if output == "softmax" and checked_sizes[-1] < 2:
            raise ValueError("output='softmax' needs at least 2 outputs; got 1")
        if not isinstance(bias, bool):
            raise TypeError(f"bias must be True or False, got {bias!r}")
        config = cls(
            sizes=checked_sizes,
            activations=(*hidden_names, output),
            loss=rule,
            reduction=choose("reduction", reduction, REDUCTIONS),
            bias=bias,
            dtype=_read_dtype(dtype),
            dropout=_read_dropout(dropout, len(checked_sizes) - 2),
            input_noise=read_number("input_noise", input_noise),
        )
        _check_memory(config)
        return config

    @property
    def features(self) -> int:
        """Number of inputs of the first layer."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """Number of outputs of the last layer."""
        return self.sizes[-1]

    @property
    def target_columns(self) -> int:
        """Columns of the targets: one per output, or per group of outputs where the loss has several quantiles."""
        return self.outputs // self.loss.outputs_per_target

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(fan_in, fan_out)`` of every layer of weights."""
        return tuple(zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        weights = sum(fan_in * fan_out for fan_in, fan_out in self.layer_shapes)
        return weights + (sum(self.sizes[1:]) if self.bias else 0)


def _read_sizes(sizes: object) -> tuple[int, ...]:
    if not is_sequence(sizes):
        raise TypeError(f"sizes must be a sequence of layer sizes such as [3, 4, 1], got {sizes!r}")
    given = list(cast(Sequence[object], sizes))
    if len(given) < 2:
        raise ValueError(f"sizes needs at least inputs and outputs, such as [3, 1]; got {given!r}")
    return tuple(read_count(f"sizes[{i}]", size) for i, size in enumerate(given))


def _read_hidden(hidden: object, layers: int) -> tuple[str, ...]:
    if isinstance(hidden, str):
        return (choose("hidden", hidden, HIDDEN_ACTIVATIONS),) * layers
    if not is_sequence(hidden):
        raise TypeError(f"hidden must be one activation name or one per hidden layer, got {hidden!r}")
    names = list(cast(Sequence[object], hidden))
    if len(names) != layers:
        raise ValueError(f"hidden lists {len(names)} activations, but the net has {layers} hidden layers")
    return tuple(choose(f"hidden[{i}]", name, HIDDEN_ACTIVATIONS) for i, name in enumerate(names))


def _read_dropout(dropout: object, layers: int) -> tuple[float, ...]:
    if not is_sequence(dropout):
        return (read_fraction("dropout", dropout, "[0, 1)"),) * layers
    shares = list(cast(Sequence[object], dropout))
    if len(shares) != layers:
        raise ValueError(f"dropout lists {len(shares)} shares, but the net has {layers} hidden layers")
    return tuple(read_fraction(f"dropout[{i}]", share, "[0, 1)") for i, share in enumerate(shares))


def _read_dtype(dtype: object) -> DType:
    # NumPy's float32 class and dtype objects are as welcome as the names.
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype
    return cast(DType, choose("dtype", name, DTYPES))


def _check_memory(config: NetConfig) -> None:
    largest = max(fan_in * fan_out for fan_in, fan_out in config.layer_shapes)
    # Parameters and gradients; and the random numbers that a layer starts from, as integers and as floats.
    needed = 2 * config.parameter_count * (4 if config.dtype == "float32" else 8) + 2 * 8 * largest
    if needed > 2**62:
        raise OverflowError(f"sizes {list(config.sizes)} give {config.parameter_count} parameters: too many to address")
    physical = _physical_memory()
    if physical is not None and needed > physical:
        raise MemoryError(
            f"sizes {list(config.sizes)} need {needed / 1e9:.0f} GB for parameters, gradients and initial weights; "
            f"this machine has {physical / 1e9:.0f} GB"
        )


def _physical_memory() -> int | None:
    """Bytes of physical memory, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is None:  # what a signal's handler raised
            raise
        return None
