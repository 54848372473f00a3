"""The same training by chainrule and by its peers: equal first weights, data, minibatches and update rule.

A runner is made once and then asked for epochs; `parameters` tells what it has learned, so that
no time is quoted for work whose result differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import reference
from ..initializers import initial_weights
from ..net import Net
from .cases import Case

__all__ = [
    "Array",
    "NetRunner",
    "NoEquivalent",
    "Runner",
    "RunnerFactory",
    "first_weights",
    "flat",
    "train_net",
    "train_reference",
]

Array = NDArray[Any]


class NoEquivalent(Exception):
    """The library has nothing that computes the same as this case."""


class Runner(Protocol):
    """Trains one net on one data set, an epoch of minibatches in order at a time."""

    def run(self, epochs: int) -> None:
        """Train for `epochs` epochs, and return when they are done."""

    def parameters(self) -> Array:
        """Return all parameters, flat, in the order of `chainrule.Net.parameters`."""


#: Makes a runner from the case, the inputs, the targets and the number of threads, or raises NoEquivalent.
RunnerFactory = Callable[[Case, Array, Array, int], Runner]


class NetRunner:
    """`chainrule.Net`, or with the same interface `chainrule.reference.Net`, the rival in NumPy."""

    def __init__(self, net_type: type[Net] | type[reference.Net], case: Case, X: Array, Y: Array, threads: int) -> None:
        self.net = net_type(
            case.sizes, case.hidden, case.output, case.loss, dtype=X.dtype.name, seed=case.seed, threads=threads
        )
        self.arguments: dict[str, Any] = {
            "batch_size": case.batch_size,
            "optimizer": case.optimizer,
            "shuffle": False,
        }
        self.X, self.Y = X, Y

    def run(self, epochs: int) -> None:
        self.net.fit(self.X, self.Y, epochs=epochs, **self.arguments)

    def parameters(self) -> Array:
        return self.net.parameters


def train_net(case: Case, X: Array, Y: Array, threads: int) -> Runner:
    """Make a runner of the C++ core."""
    return NetRunner(Net, case, X, Y, threads)


def train_reference(case: Case, X: Array, Y: Array, threads: int) -> Runner:
    """Make a runner of the NumPy reference."""
    return NetRunner(reference.Net, case, X, Y, threads)


def first_weights(case: Case) -> list[Array]:
    """Return the weights, (fan_in, fan_out) in float64, that every runner starts from; biases start at zero."""
    return list(initial_weights(case.config("float64"), "glorot_uniform", seed=case.seed))


def flat(weights: Iterable[Array], biases: Iterable[Array]) -> Array:
    """Return all parameters in one array: the weights of every layer, then the biases."""
    return np.concatenate([np.ravel(array) for array in (*weights, *biases)])
