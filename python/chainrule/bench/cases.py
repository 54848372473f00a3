"""The grid of nets that are measured, and the data that they are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import NetConfig
from ..optimizers import SGD, Adam, Optimizer

__all__ = ["CASES", "Case", "data", "select"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One training problem of the grid: a net, its minibatches, its optimizer."""

    name: str
    sizes: tuple[int, ...]
    hidden: str
    output: str
    loss: str
    batch_size: int
    optimizer: Optimizer

    def config(self, dtype: str) -> NetConfig:
        """Return the net's configuration."""
        return NetConfig.create(self.sizes, self.hidden, self.output, self.loss, dtype=dtype)

    @property
    def flops_per_step(self) -> int:
        """Floating-point operations of the matrix products of one step.

        Each weight takes part in three multiply-adds a row (forward, weight gradient, input
        gradient), those of the first layer in two, for nobody needs the gradient of the inputs.
        """
        weights = sum(fan_in * fan_out for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False))
        return 2 * self.batch_size * (3 * weights - self.sizes[0] * self.sizes[1])


CASES = (
    Case("seed 3-4-1, batch 1", (3, 4, 1), "sigmoid", "sigmoid", "half_squared_error", 1, SGD(lr=0.1)),
    Case("seed 3-4-1, batch 32", (3, 4, 1), "sigmoid", "sigmoid", "half_squared_error", 32, SGD(lr=0.1)),
    Case("8-32-1 tanh, batch 32", (8, 32, 1), "tanh", "identity", "half_squared_error", 32, Adam()),
    Case("16-64-64-1 relu, batch 64", (16, 64, 64, 1), "relu", "identity", "half_squared_error", 64, Adam()),
    Case("64-128-128-10 relu, batch 128", (64, 128, 128, 10), "relu", "softmax", "cross_entropy", 128, Adam()),
    Case("784-256-128-10 relu, batch 128", (784, 256, 128, 10), "relu", "softmax", "cross_entropy", 128, Adam()),
    Case("784-1024-1024-10 relu, batch 256", (784, 1024, 1024, 10), "relu", "softmax", "cross_entropy", 256, Adam()),
)


def data(case: Case, dtype: str, batches: int) -> tuple[Array, Array]:
    """Return ``X`` (rows, features) and targets for whole minibatches; class indices for cross_entropy."""
    random = np.random.default_rng(0)
    rows = batches * case.batch_size
    X = random.standard_normal((rows, case.sizes[0])).astype(dtype)
    if case.loss == "cross_entropy":
        return X, random.integers(0, case.sizes[-1], rows)
    return X, random.random((rows, case.sizes[-1])).astype(dtype)


def select(text: str) -> list[Case]:
    """Return the cases whose name contains `text`."""
    return [case for case in CASES if text in case.name]
