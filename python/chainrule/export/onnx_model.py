"""A net as an ONNX model: a product, a bias and an activation for each layer, and nothing of the training.

References
----------
ONNX operators, version 20: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reference.activations import LEAK, SELU_ALPHA, SELU_SCALE, TWICE_CUBIC, TWICE_LINEAR

if TYPE_CHECKING:
    from ..exchange import Exchangeable

__all__ = ["to_onnx_bytes"]

#: The first with Gelu, and the version of the file format that came with it.
OPSET, IR_VERSION = 20, 9

#: Beyond this, in bytes, a model does not fit into a single file: that is the limit of Protocol Buffers.
LARGEST_MODEL = 2**31 - 2**20

#: Operators of both dtypes in onnxruntime.
ANY_DTYPE = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "exp": "Exp"}

#: Operators that onnxruntime computes in float32 alone, with their attributes.
FLOAT32_ONLY: dict[str, tuple[str, dict[str, Any]]] = {
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "leaky_relu": ("LeakyRelu", {"alpha": LEAK}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {"alpha": SELU_ALPHA, "gamma": SELU_SCALE}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "mish": ("Mish", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
}


class Graph:
    """Nodes and constants of a model, which are added by what they compute and named by number.

    Parameters
    ----------
    dtype : str
        Of every number in it.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def node(self, operator: str, *inputs: str | float, **attributes: Any) -> str:
        """Add a node and return the name of what it computes; numbers among the inputs become constants."""
        from onnx import helper

        names = [given if isinstance(given, str) else self.constant(given) for given in inputs]
        result = f"{operator.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [result], name=result, **attributes))
        return result

    def constant(self, value: float) -> str:
        """Add a number and return its name."""
        return self.initializer(f"constant.{len(self.initializers)}", value)

    def initializer(self, name: str, values: Any) -> str:
        """Add an array and return its name."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(values, self.dtype, order="C"), name))
        return name


def to_onnx_bytes(net: Exchangeable, metadata: dict[str, str]) -> bytes:
    """Return the model of `net`; see `Net.to_onnx`."""
    try:
        from onnx import helper
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install 'chainrule[onnx]'") from error
    from .. import __version__

    config = net.config
    if config.parameter_count * np.dtype(config.dtype).itemsize > LARGEST_MODEL:
        raise ValueError(f"the net has {config.parameter_count} parameters; an ONNX file holds at most 2 GB")
    graph = _build_graph(net)
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    x, y = (
        helper.make_tensor_value_info(name, kind, ["rows", size])
        for name, size in (("x", config.features), ("y", config.outputs))
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "net", [x], [y], graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="chainrule",
        producer_version=__version__,
        doc_string=repr(net),
    )
    about = {"sizes": config.sizes, "activations": config.activations, "loss": str(config.loss)}
    helper.set_model_props(model, metadata | {"chainrule": json.dumps(about)})
    content: bytes = model.SerializeToString()
    return content


def _build_graph(net: Exchangeable) -> Graph:
    graph, last = Graph(net.config.dtype), "x"
    for layer, activation in enumerate(net.config.activations):
        weights = graph.initializer(f"weights.{layer}", net.weights[layer])
        if net.config.bias:
            last = graph.node("Gemm", last, weights, graph.initializer(f"biases.{layer}", net.biases[layer]))
        else:
            last = graph.node("MatMul", last, weights)
        last = _activate(graph, activation, last)
    graph.nodes[-1].output[0] = "y"
    return graph


def _activate(graph: Graph, activation: str, h: str) -> str:
    if activation == "identity":
        return h
    if activation == "softmax":
        return graph.node("Softmax", h, axis=-1)
    if activation in ANY_DTYPE:
        return graph.node(ANY_DTYPE[activation], h)
    if graph.dtype == np.float32 and activation in FLOAT32_ONLY:
        operator, attributes = FLOAT32_ONLY[activation]
        return graph.node(operator, h, **attributes)
    return COMPOSED[activation](graph.node, h)


#: Adds a node; see `Graph.node`.
Node = Callable[..., str]


def _hard_sigmoid(node: Node, h: str) -> str:
    return node("Max", 0.0, node("Min", 1.0, node("Div", node("Add", h, 3.0), 6.0)))


def _leaky_relu(node: Node, h: str) -> str:
    return node("Max", h, node("Mul", LEAK, h))


def _elu(node: Node, h: str, alpha: float = 1.0) -> str:
    """Return max(h, 0) + alpha (e^min(h, 0) - 1)."""
    below = node("Sub", node("Exp", node("Min", h, 0.0)), 1.0)
    return node("Add", node("Relu", h), node("Mul", alpha, below))


def _selu(node: Node, h: str) -> str:
    return node("Mul", SELU_SCALE, _elu(node, h, SELU_ALPHA))


def _gelu(node: Node, h: str) -> str:
    """Return h (1 + erf(h / sqrt 2)) / 2; onnxruntime has the error function in float32 alone, right to 1e-7."""
    from onnx import TensorProto

    scaled = node("Cast", node("Mul", h, math.sqrt(0.5)), to=TensorProto.FLOAT)
    erf = node("Cast", node("Erf", scaled), to=TensorProto.DOUBLE)
    return node("Mul", h, node("Add", 0.5, node("Mul", 0.5, erf)))


def _gelu_tanh(node: Node, h: str) -> str:
    """Return h sigmoid(2 u), which is h (1 + tanh u) / 2."""
    cubic = node("Mul", TWICE_CUBIC, node("Mul", h, h))
    return node("Mul", h, node("Sigmoid", node("Mul", h, node("Add", TWICE_LINEAR, cubic))))


def _silu(node: Node, h: str) -> str:
    return node("Mul", h, node("Sigmoid", h))


def _softplus(node: Node, h: str) -> str:
    """Return max(h, 0) + log(1 + e^-|h|), which does not overflow."""
    return node("Add", node("Relu", h), node("Log", node("Add", 1.0, node("Exp", node("Neg", node("Abs", h))))))


def _mish(node: Node, h: str) -> str:
    return node("Mul", h, node("Tanh", _softplus(node, h)))


def _softsign(node: Node, h: str) -> str:
    return node("Div", h, node("Add", 1.0, node("Abs", h)))


#: Activations of operators that onnxruntime has in float64 too.
COMPOSED: dict[str, Callable[[Node, str], str]] = {
    "hard_sigmoid": _hard_sigmoid,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "mish": _mish,
    "softplus": _softplus,
    "softsign": _softsign,
}
