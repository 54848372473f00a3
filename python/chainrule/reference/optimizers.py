"""Update rules over the flat parameter array: each is its state and one step, nothing else.

The constants come with every step, as the frozen values of `chainrule.optimizers`, and so does the learning rate,
which a schedule may have changed. In the formulas c is the change, ``w <- w - c``.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DivergenceError
from ..optimizers import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop, Rprop
from ..trace import Array

__all__ = ["UPDATE_RULES", "UpdateRule", "all_finite", "update"]


class UpdateRule(ABC):
    """The state of an optimizer for one net: its steps so far, and its arrays.

    Parameters
    ----------
    parameters : ndarray, flat
    weights : int
        How many of them, from the first, are weights; the others are biases.

    Attributes
    ----------
    steps : int
    slots : dict of str to ndarray
        The arrays that `Optimizer.slots` names, each of the shape of the parameters; zeros when they are first needed.
    """

    def __init__(self, parameters: Array, weights: int) -> None:
        self.parameters, self.weights = parameters, weights
        self.steps = 0
        self.slots: dict[str, Array] = {}
        self._change = np.empty_like(parameters)

    def of(self, parameters: Array) -> Self:
        """Return a copy, for a copy of the parameters."""
        copied = copy.copy(self)
        copied.parameters, copied._change = parameters, np.empty_like(parameters)
        copied.slots = {name: slot.copy() for name, slot in self.slots.items()}
        return copied

    def step(self, optimizer: Optimizer, lr: float, gradients: Array, frozen: NDArray[np.bool_] | None = None) -> Array:
        """Take the gradients in, and return what is to be taken off the parameters; good until the next step.

        Where parameters are frozen, nothing is, and their places in the arrays stay as they were.
        """
        for name in optimizer.slots:
            if name not in self.slots:
                self.slots[name] = np.zeros_like(self.parameters)
        self.steps += 1
        if frozen is None:
            return self.change(optimizer, lr, gradients)
        before = {name: slot[frozen] for name, slot in self.slots.items()}
        change = self.change(optimizer, lr, gradients)
        change[frozen] = 0
        for name, slot in self.slots.items():
            slot[frozen] = before[name]
        return change

    @abstractmethod
    def change(self, optimizer: Any, lr: float, gradients: Array) -> Array:
        """Return the change of this step by the formula of the rule."""


class SGDRule(UpdateRule):
    """v <- momentum v + g;  c = lr v, or with Nesterov's look ahead lr (g + momentum v).

    Without momentum v is g, and no velocity is kept.
    """

    def change(self, optimizer: SGD, lr: float, gradients: Array) -> Array:
        if optimizer.momentum == 0:
            return np.multiply(gradients, lr, out=self._change)
        velocity = self.slots["velocity"]
        velocity *= optimizer.momentum
        velocity += gradients
        if not optimizer.nesterov:
            return np.multiply(velocity, lr, out=self._change)
        change = np.multiply(velocity, optimizer.momentum, out=self._change)
        change += gradients
        change *= lr
        return change


class MomentsRule(UpdateRule):
    """What Adam and its kin share: m <- beta1 m + (1 - beta1) g and v <- beta2 v + (1 - beta2) g^2."""

    def moments(self, optimizer: Adam, gradients: Array) -> tuple[Array, Array]:
        """Take the gradients into m and v, and return these."""
        mean, square, fresh = self.slots["mean"], self.slots["square"], self._change
        mean *= optimizer.beta1
        mean += np.multiply(gradients, 1 - optimizer.beta1, out=fresh)
        square *= optimizer.beta2
        np.multiply(gradients, gradients, out=fresh)
        fresh *= 1 - optimizer.beta2
        square += fresh
        return mean, square

    def adam(self, optimizer: Adam, lr: float, gradients: Array) -> Array:
        """Return lr mhat / (sqrt(vhat) + epsilon), with mhat = m / (1 - beta1^t) and vhat = v / (1 - beta2^t)."""
        mean, square = self.moments(optimizer, gradients)
        # Multiplied through by root = sqrt(1 - beta2^t), the corrections touch numbers alone:
        # lr root / (1 - beta1^t) * m / (sqrt(v) + epsilon root), and epsilon hat is epsilon root.
        root = math.sqrt(1 - optimizer.beta2**self.steps)
        change = np.sqrt(square, out=self._change)
        change += optimizer.epsilon * (1 if optimizer.epsilon_hat else root)
        np.divide(mean, change, out=change)
        change *= lr * root / (1 - optimizer.beta1**self.steps)
        return change


class AdamRule(MomentsRule):
    """Adam's change by itself."""

    def change(self, optimizer: Adam, lr: float, gradients: Array) -> Array:
        return self.adam(optimizer, lr, gradients)


class AdamWRule(MomentsRule):
    """c = lr weight_decay w + Adam's change, the decay over the weights, and over the biases only if asked for."""

    def change(self, optimizer: AdamW, lr: float, gradients: Array) -> Array:
        change = self.adam(optimizer, lr, gradients)
        count = len(change) if optimizer.decay_biases else self.weights
        change[:count] += lr * optimizer.weight_decay * self.parameters[:count]
        return change


class NAdamRule(MomentsRule):
    """c = lr (mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)) / (sqrt(vhat) + epsilon), M_t = mu_1 ... mu_t."""

    def __init__(self, parameters: Array, weights: int) -> None:
        super().__init__(parameters, weights)
        self.product = 1.0
        self._constants: tuple[float, float] | None = None

    def change(self, optimizer: NAdam, lr: float, gradients: Array) -> Array:
        mean, square = self.moments(optimizer, gradients)
        self._count(optimizer)
        mu, mu_next = optimizer.momentum(self.steps), optimizer.momentum(self.steps + 1)
        mhat = mu_next / (1 - self.product * mu_next) * mean + (1 - mu) / (1 - self.product) * gradients
        correction = 1 - optimizer.beta2**self.steps
        epsilon = optimizer.epsilon / math.sqrt(correction) if optimizer.epsilon_hat else optimizer.epsilon
        change: Array = lr * mhat / (np.sqrt(square / correction) + epsilon)
        return change

    def _count(self, optimizer: NAdam) -> None:
        """Bring the product up to M_t. It is a function of t and the constants, so others have it taken anew."""
        constants = optimizer.beta1, optimizer.momentum_decay
        if constants != self._constants:
            self._constants = constants
            self.product = math.prod(optimizer.momentum(t) for t in range(1, self.steps))
        self.product *= optimizer.momentum(self.steps)


class RMSpropRule(UpdateRule):
    """s <- rho s + (1 - rho) g^2;  v <- momentum v + g / (sqrt(s) + epsilon);  c = lr v."""

    def change(self, optimizer: RMSprop, lr: float, gradients: Array) -> Array:
        square = self.slots["square"]
        square *= optimizer.rho
        square += (1 - optimizer.rho) * gradients**2
        direction: Array = gradients / (np.sqrt(square) + optimizer.epsilon)
        if optimizer.momentum > 0:
            velocity = self.slots["velocity"]
            velocity *= optimizer.momentum
            velocity += direction
            direction = velocity
        return np.multiply(direction, lr, out=self._change)


class AdagradRule(UpdateRule):
    """s <- s + g^2;  c = lr g / (sqrt(s) + epsilon)."""

    def change(self, optimizer: Adagrad, lr: float, gradients: Array) -> Array:
        square_sum = self.slots["square_sum"]
        square_sum += gradients**2
        change: Array = lr * gradients / (np.sqrt(square_sum) + optimizer.epsilon)
        return change


class RpropRule(UpdateRule):
    """d <- d eta_plus, d eta_minus or d, as the signs of g and of the last g say;  c = d sign(g)."""

    def change(self, optimizer: Rprop, lr: float, gradients: Array) -> Array:
        step_size, previous = self.slots["step_size"], self.slots["previous"]
        # Of a parameter's first step, which comes later where its layer was frozen.
        step_size[step_size == 0] = lr
        # The product of the signs, not the sign of the product, which may underflow to 0.
        turn = np.sign(gradients) * np.sign(previous)
        step_size *= np.select([turn > 0, turn < 0], [optimizer.eta_plus, optimizer.eta_minus], 1.0)
        np.clip(step_size, optimizer.step_min, optimizer.step_max, out=step_size)
        previous[:] = np.where(turn < 0, 0, gradients)
        return np.multiply(step_size, np.sign(previous), out=self._change)


UPDATE_RULES: dict[type[Optimizer], type[UpdateRule]] = {
    SGD: SGDRule,
    Adam: AdamRule,
    AdamW: AdamWRule,
    NAdam: NAdamRule,
    RMSprop: RMSpropRule,
    Adagrad: AdagradRule,
    Rprop: RpropRule,
}


def update(
    rule: UpdateRule, optimizer: Optimizer, lr: float, gradients: Array, frozen: NDArray[np.bool_] | None = None
) -> None:
    """Take one step, or leave the parameters alone and raise DivergenceError where it would not be finite.

    Parameters that are frozen stay as they are.
    """
    if not all_finite(gradients):
        raise DivergenceError("the gradient is not finite")
    parameters = rule.parameters
    change = rule.step(optimizer, lr, gradients, frozen)
    # A change whose squares have a finite sum is far too small to make any finite number infinite.
    if not (math.isfinite(change @ change) or all_finite(parameters - change)):
        raise DivergenceError("the update overflows")
    parameters -= change


def all_finite(values: Array) -> bool:
    """Whether every number is finite."""
    # The sum of squares is one fast pass; it may be infinite by itself.
    return math.isfinite(values @ values) or bool(np.isfinite(values).all())
