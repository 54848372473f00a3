"""onnxruntime as a peer: it predicts, with a graph that is made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..net import Net
from .runners import Array, NoEquivalent

__all__ = ["predict_onnxruntime"]

OPERATORS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softmax": "Softmax", "identity": "Identity"}


def predict_onnxruntime(net: Net, x: Array, threads: int) -> tuple[Callable[[Any], Any], Any]:
    """Return a call of an inference session, and the row as it wants it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(_build_graph(net), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0], x[np.newaxis]


def _build_graph(net: Net) -> bytes:
    from onnx import helper, numpy_helper

    nodes, constants, last = [], [], "x"
    for layer, (W, b, activation) in enumerate(zip(net.weights, net.biases, net.config.activations, strict=True)):
        for name, array in (("W", W), ("b", b)):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{name}{layer}"))
        nodes.append(helper.make_node("Gemm", [last, f"W{layer}", f"b{layer}"], [f"h{layer}"]))
        last = f"z{layer}"
        if activation not in OPERATORS:
            raise NoEquivalent(activation)
        nodes.append(helper.make_node(OPERATORS[activation], [f"h{layer}"], [last]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(net.config.dtype))
    ends = [
        helper.make_tensor_value_info(name, kind, [1, size])
        for name, size in (("x", net.config.features), (last, net.config.outputs))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    # Versions of the format that every onnxruntime of the last years reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    text: bytes = model.SerializeToString()
    return text
