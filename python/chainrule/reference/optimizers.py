"""Update rules over the flat parameter array: each is its state and one step, nothing else.

The constants come with every step, as the frozen values of `chainrule.optimizers`.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from ..errors import DivergenceError
from ..optimizers import SGD, Adam, Optimizer
from ..trace import Array

__all__ = ["UPDATE_RULES", "UpdateRule", "all_finite", "update"]


class UpdateRule(Protocol):
    """The state of an optimizer for one net, in arrays of the shape of its parameters."""

    def __init__(self, parameters: Array) -> None: ...

    def step(self, optimizer: Any, gradients: Array) -> Array:
        """Take the gradients in, and return what is to be taken off the parameters; good until the next step."""


class SGDRule:
    """v <- momentum v + g;  w <- w - lr v. Without momentum v is g, and no velocity is kept."""

    def __init__(self, parameters: Array) -> None:
        self.velocity = np.zeros_like(parameters)
        self.change = np.empty_like(parameters)

    def step(self, optimizer: SGD, gradients: Array) -> Array:
        if optimizer.momentum == 0:
            return np.multiply(gradients, optimizer.lr, out=self.change)
        self.velocity *= optimizer.momentum
        self.velocity += gradients
        return np.multiply(self.velocity, optimizer.lr, out=self.change)


class AdamRule:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  w <- w - lr mhat / (sqrt(vhat) + epsilon)."""

    def __init__(self, parameters: Array) -> None:
        self.steps = 0
        self.mean = np.zeros_like(parameters)
        self.square = np.zeros_like(parameters)
        self.change = np.empty_like(parameters)

    def step(self, optimizer: Adam, gradients: Array) -> Array:
        self.steps += 1
        mean, square, change = self.mean, self.square, self.change
        mean *= optimizer.beta1
        mean += np.multiply(gradients, 1 - optimizer.beta1, out=change)
        square *= optimizer.beta2
        np.multiply(gradients, gradients, out=change)
        change *= 1 - optimizer.beta2
        square += change
        # mhat = m / (1 - beta1^t) and vhat = v / root^2. Multiplied through by root, the corrections touch numbers
        # alone: lr mhat / (sqrt(vhat) + epsilon) = lr root / (1 - beta1^t) * m / (sqrt(v) + epsilon root).
        root = math.sqrt(1 - optimizer.beta2**self.steps)
        np.sqrt(square, out=change)
        change += optimizer.epsilon * root
        np.divide(mean, change, out=change)
        change *= optimizer.lr * root / (1 - optimizer.beta1**self.steps)
        return change


UPDATE_RULES: dict[type[Optimizer], type[UpdateRule]] = {SGD: SGDRule, Adam: AdamRule}


def update(rule: UpdateRule, optimizer: Optimizer, parameters: Array, gradients: Array) -> None:
    """Take one step, or leave the parameters alone and raise DivergenceError where it would not be finite."""
    if not all_finite(gradients):
        raise DivergenceError("the gradient is not finite")
    change = rule.step(optimizer, gradients)
    # A change whose squares have a finite sum is far too small to make any finite number infinite.
    if not (math.isfinite(change @ change) or all_finite(parameters - change)):
        raise DivergenceError("the update overflows")
    parameters -= change


def all_finite(values: Array) -> bool:
    """Whether every number is finite."""
    # The sum of squares is one fast pass; it may be infinite by itself.
    return math.isfinite(values @ values) or bool(np.isfinite(values).all())
