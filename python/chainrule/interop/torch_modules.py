"""Stacks of PyTorch's linear layers and activations, as arguments of a net, and made from a net."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..config import DTYPES
from ..losses import Loss
from ..reference.activations import LEAK
from .scikit_learn import natural_loss

if TYPE_CHECKING:
    from ..exchange import Exchangeable

__all__ = ["Exp", "read_sequential", "to_sequential"]


class Exp(nn.Module):  # type: ignore[misc]  # mypy may not see PyTorch's types
    """The exponential function, which PyTorch has no module for."""

    def forward(self, h: Any) -> Any:
        """Return e^h."""
        return h.exp()


#: The module of each activation. PyTorch's softplus is a line from its threshold on, which is put where no digit of
#: float64 is lost.
MODULES: dict[str, Callable[[], Any]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": nn.Hardsigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAK),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": lambda: nn.Softplus(threshold=40),
    "softsign": nn.Softsign,
    "exp": Exp,
    "softmax": lambda: nn.Softmax(dim=-1),
}

#: What is read: the class, the name here, and the arguments of the class that have to be so.
READABLE: tuple[tuple[type[Any], str, dict[str, tuple[Any, ...]]], ...] = (
    (nn.Sigmoid, "sigmoid", {}),
    (nn.Hardsigmoid, "hard_sigmoid", {}),
    (nn.Tanh, "tanh", {}),
    (nn.ReLU, "relu", {}),
    (nn.LeakyReLU, "leaky_relu", {"negative_slope": (LEAK,)}),
    (nn.ELU, "elu", {"alpha": (1.0,)}),
    (nn.SELU, "selu", {}),
    (nn.GELU, "gelu", {"approximate": ("none",)}),
    (nn.GELU, "gelu_tanh", {"approximate": ("tanh",)}),
    (nn.SiLU, "silu", {}),
    (nn.Mish, "mish", {}),
    (nn.Softplus, "softplus", {"beta": (1.0,), "threshold": (20.0, 40)}),
    (nn.Softsign, "softsign", {}),
    (Exp, "exp", {}),
    (nn.Softmax, "softmax", {"dim": (-1, 1)}),
)
ALLOWED = ", ".join(dict.fromkeys(("Linear", *(kind.__name__ for kind, _, _ in READABLE), "Dropout", "Identity")))

LOGARITHMS = (
    "returns logarithms of probabilities, which no output of a net is: leave it out, and give output='softmax' for the "
    "probabilities themselves; the loss 'cross_entropy' takes the logarithm"
)


@dataclass
class Layer:
    """A linear module with what follows it.

    Attributes
    ----------
    linear : torch.nn.Linear
    activation : str, optional
    dropout : float, optional
    """

    linear: Any
    activation: str | None = None
    dropout: float | None = None


def read_sequential(module: Any, output: str | None, loss: str | Loss | None) -> dict[str, Any]:
    """Return the arguments of `chainrule.Net` that give the module's outputs; see `Net.from_torch`."""
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        raise TypeError(f"module must be a torch.nn.Sequential with its own forward, got {type(module).__name__}")
    _check_hooks("itself", module)
    layers = _read_layers(module)
    if not layers:
        raise ValueError("module has no Linear, and a net has at least one")
    last = layers[-1]
    if last.dropout is not None:
        raise ValueError("module ends with a Dropout, but a net drops outputs of hidden layers alone")
    if output is not None:
        if last.activation is not None:
            raise ValueError(
                f"output={output!r} is for a module that ends with a Linear; it ends with {last.activation}"
            )
        last.activation = output
    names = [layer.activation or "identity" for layer in layers]
    weights = [_to_array(layer.linear.weight).T for layer in layers]
    bias = any(layer.linear.bias is not None for layer in layers)
    return {
        "sizes": [layers[0].linear.in_features, *(layer.linear.out_features for layer in layers)],
        "hidden": names[:-1],
        "output": names[-1],
        "loss": natural_loss(names[-1]) if loss is None else loss,
        "bias": bias,
        "dtype": _common_dtype(weights),
        "init": list(zip(weights, map(_read_bias, layers), strict=True)) if bias else weights,
        "dropout": [layer.dropout or 0.0 for layer in layers[:-1]],
    }


def _read_layers(module: Any) -> list[Layer]:
    layers: list[Layer] = []
    for name, part in _flatten(module, ""):
        if type(part) is nn.Linear:
            layers.append(Layer(part))
        elif type(part) is nn.Dropout:
            _follow(layers, name, part, "dropout").dropout = part.p
        else:
            activation = _read_activation(name, part)
            _follow(layers, name, part, "activation").activation = activation
    return layers


def _flatten(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the modules and their places, such as ``1.0 (ReLU)``, without those that do nothing."""
    for key, part in module._modules.items():  # not named_children, which skips a module that is there twice
        name = f"{prefix}{key}"
        _check_hooks(name, part)
        if type(part) is nn.Sequential:
            yield from _flatten(part, f"{name}.")
        elif type(part) is not nn.Identity:
            yield f"{name} ({type(part).__name__})", part


def _check_hooks(name: str, part: Any) -> None:
    if part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part):
        raise ValueError(f"module {name} ({type(part).__name__}) has forward hooks, which a net cannot run")


def _follow(layers: list[Layer], name: str, part: Any, what: str) -> Layer:
    """Return the layer that an activation or dropout belongs to, which has none of its kind and no dropout yet."""
    layer = layers[-1] if layers else None
    if layer is None or layer.dropout is not None or (what == "activation" and layer.activation is not None):
        raise ValueError(
            f"module {name} is not where a net has it: each Linear may be followed by one activation, and that by one "
            "Dropout"
        )
    return layer


def _read_activation(name: str, part: Any) -> str:
    if type(part) is nn.LogSoftmax:
        raise TypeError(f"module {name} {LOGARITHMS}")
    known = [(activation, needed) for kind, activation, needed in READABLE if type(part) is kind]
    if not known:
        raise TypeError(f"module {name} is not allowed; allowed are {ALLOWED}")
    for activation, needed in known:
        if all(getattr(part, argument) in values for argument, values in needed.items()):
            return activation
    needed = known[0][1]
    given = ", ".join(f"{argument}={getattr(part, argument)!r}" for argument in needed)
    allowed = ", ".join(f"{argument}={values[0]!r}" for argument, values in needed.items())
    raise ValueError(f"module {name} has {given}; allowed is {allowed}")


def _to_array(tensor: Any) -> NDArray[Any]:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise TypeError(f"module has parameters of {name}; allowed are {' and '.join(DTYPES)}")
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def _read_bias(layer: Layer) -> NDArray[Any]:
    """Return the biases, which are zeros where one linear module has none and others have."""
    return np.zeros(layer.linear.out_features) if layer.linear.bias is None else _to_array(layer.linear.bias)


def _common_dtype(weights: list[NDArray[Any]]) -> str:
    names = sorted({array.dtype.name for array in weights})
    if len(names) > 1:
        raise TypeError(f"module has parameters of {' and '.join(names)}; a net has one dtype")
    return names[0]


def to_sequential(net: Exchangeable) -> Any:
    """Return the module; see `Net.to_torch`."""
    import torch

    config, parts = net.config, []
    for layer, (W, activation) in enumerate(zip(net.weights, config.activations, strict=True)):
        # Empty, so that PyTorch's random numbers are not drawn upon.
        linear = torch.nn.utils.skip_init(nn.Linear, *W.shape, bias=config.bias, dtype=getattr(torch, config.dtype))
        linear.weight.data.copy_(torch.from_numpy(W.T.copy()))
        if config.bias:
            linear.bias.data.copy_(torch.from_numpy(net.biases[layer].copy()))
        parts += [linear] if activation == "identity" else [linear, MODULES[activation]()]
        if layer < len(config.dropout) and config.dropout[layer]:
            parts.append(nn.Dropout(config.dropout[layer]))
    return nn.Sequential(*parts).eval()
