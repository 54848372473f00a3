"""The nets that are measured, and the data that they are trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import OUTPUT_OF_LOSS, NetConfig
from ..losses import Loss, read_loss
from ..optimizers import SGD, Adam, Optimizer, read_optimizer
from ..random_rows import random_rows

__all__ = ["CASES", "ONE_ROW_CASES", "Case", "create_case", "data", "one_row"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One training problem: a net, its minibatches, its optimizer; the loss as text, such as ``"huber(0.5)"``.

    First weights and data are drawn with the seed.
    """

    name: str
    sizes: tuple[int, ...]
    hidden: str
    output: str
    loss: str
    batch_size: int
    optimizer: Optimizer
    seed: int = 0

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

    def bytes_held(self, dtype: str) -> int:
        """Bytes of parameters, gradients and optimizer state."""
        config = self.config(dtype)
        return (2 + len(self.optimizer.slots)) * config.parameter_count * np.dtype(dtype).itemsize

    def bytes_per_step(self, dtype: str) -> int:
        """Bytes of one step if caches kept nothing but activations: the inputs read, all else read and written."""
        return 2 * self.bytes_held(dtype) + self.batch_size * self.sizes[0] * np.dtype(dtype).itemsize


CASES = (
    Case("seed 3-4-1, batch 1", (3, 4, 1), "sigmoid", "sigmoid", "half_squared_error", 1, SGD(lr=0.1)),
    Case("seed 3-4-1, batch 32", (3, 4, 1), "sigmoid", "sigmoid", "half_squared_error", 32, SGD(lr=0.1)),
    Case("8-32-1 tanh, batch 32", (8, 32, 1), "tanh", "identity", "half_squared_error", 32, Adam()),
    Case("16-64-64-1 relu, batch 64", (16, 64, 64, 1), "relu", "identity", "half_squared_error", 64, Adam()),
    Case("64-128-128-10 relu, batch 128", (64, 128, 128, 10), "relu", "softmax", "cross_entropy", 128, Adam()),
    Case("784-256-128-10 relu, batch 128", (784, 256, 128, 10), "relu", "softmax", "cross_entropy", 128, Adam()),
    Case("784-1024-1024-10 relu, batch 256", (784, 1024, 1024, 10), "relu", "softmax", "cross_entropy", 256, Adam()),
)


def create_case(
    sizes: tuple[int, ...],
    hidden: str | None = None,
    output: str | None = None,
    loss: str | Loss | None = None,
    batch_size: int | None = None,
    optimizer: str | None = None,
) -> Case:
    """Return a case of the user's own, named after what differs from the defaults.

    Parameters
    ----------
    sizes : tuple of int
        Units per layer, inputs first.
    hidden, output, loss, batch_size, optimizer : optional
        By default relu, what the loss needs or else identity, half_squared_error, 32, adam.

    Raises
    ------
    ValueError
        They do not go together.
    """
    hidden, batch_size = hidden or "relu", batch_size or 32
    row_loss = read_loss(loss or "half_squared_error")
    usual_output = OUTPUT_OF_LOSS.get(row_loss.name, "identity")
    output = output or usual_output
    rule = read_optimizer(optimizer or "adam")
    NetConfig.create(sizes, hidden, output, row_loss)
    parts = ["-".join(map(str, sizes)) + (f" {hidden}" if len(sizes) > 2 else ""), f"batch {batch_size}"]
    parts += [output] if output != usual_output else []
    parts += [str(row_loss)] if row_loss.name != "half_squared_error" else []
    parts += [rule.name] if rule.name != "adam" else []
    return Case(", ".join(parts), sizes, hidden, output, str(row_loss), batch_size, rule)


def one_row(case: Case) -> Case:
    """Return the case for predictions of one row."""
    return replace(case, name=case.name.replace(f", batch {case.batch_size}", ""), batch_size=1)


#: The nets whose prediction of one row is measured.
ONE_ROW_CASES = tuple(one_row(CASES[i]) for i in (1, 3, 5))


def data(case: Case, dtype: str, batches: int) -> tuple[Array, Array]:
    """Return inputs and targets for whole minibatches, as `random_rows` draws them."""
    return random_rows(case.config(dtype), batches * case.batch_size, np.random.default_rng(case.seed))
