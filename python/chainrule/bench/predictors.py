"""The same prediction of one row by chainrule and by its peers, each as a function and the argument it wants.

Not here: the time that a peer needs to make its own kind of array from the row; it is handed that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..net import Net
from ..reference.activations import ACTIVATIONS
from .cases import Case
from .runners import Array

__all__ = ["PredictorFactory", "predict_net", "predict_numpy", "problem"]

#: Makes from the net, a row (features,) and the number of threads a function and its argument, or raises NoEquivalent.
PredictorFactory = Callable[[Net, Array, int], tuple[Callable[[Any], Any], Any]]


def problem(case: Case, dtype: str, threads: int) -> tuple[Net, Array]:
    """Return the case's net, with biases that are not zero, and a row for it."""
    net = Net(case.sizes, case.hidden, case.output, case.loss, dtype=dtype, seed=case.seed, threads=threads)
    random = np.random.default_rng(case.seed)
    for bias in net.biases:
        bias[...] = random.uniform(-0.5, 0.5, bias.shape)
    return net, random.standard_normal(net.config.features).astype(dtype)


def predict_net(net: Net, x: Array, threads: int) -> tuple[Callable[[Any], Any], Any]:
    """Return the C++ core's prediction."""
    return net.predict, x


def predict_numpy(net: Net, x: Array, threads: int) -> tuple[Callable[[Any], Any], Any]:
    """Return what one would write in NumPy: an expression for each layer."""
    layers = [
        (W.copy(), b.copy(), _activation(name))
        for W, b, name in zip(net.weights, net.biases, net.config.activations, strict=True)
    ]

    def predict(x: Array) -> Array:
        for W, b, activation in layers:
            x = activation(x @ W + b)
        return x

    return predict, x


def _activation(name: str) -> Callable[[Array], Array]:
    return _softmax if name == "softmax" else ACTIVATIONS[name].function


def _softmax(h: Array) -> Array:
    e = np.exp(h - h.max())
    return np.asarray(e / e.sum())
