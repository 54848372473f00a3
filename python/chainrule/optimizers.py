"""Update rules, as plain values: which rule, with which constants.

An optimizer holds no state. Momentum and Adam's moments live in an arena of the
net, next to the parameters they belong to, so one optimizer serves any number of
nets, and the learning rate may change between steps without losing the moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast

from . import _core
from .config import choose

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "core_optimizer", "read_optimizer"]


@dataclass(frozen=True)
class Optimizer:
    """Base of all update rules; construct `SGD` or `Adam` instead."""

    name: ClassVar[str] = ""

    lr: float = 0.01

    def __post_init__(self) -> None:
        _check_constant("lr", self.lr, positive=True)


@dataclass(frozen=True)
class SGD(Optimizer):
    r"""Gradient descent, ``w <- w - lr * v`` with ``v <- momentum * v + g``.

    Parameters
    ----------
    lr : float, default 0.01
        Learning rate, the gamma (also alpha) of the five source documents; positive.
    momentum : float, default 0
        Share of the last velocity that is kept, in [0, 1). Zero is plain gradient descent.

    References
    ----------
    Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964, in
    the form of Sutskever et al., *On the importance of initialization and momentum*, 2013,
    with the learning rate outside the velocity.
    """

    name: ClassVar[str] = "sgd"

    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_fraction("momentum", self.momentum)


@dataclass(frozen=True)
class Adam(Optimizer):
    r"""Adam: the gradient's running mean over the root of its running square.

    At step ``t``, ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2`` and
    ``w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)``.

    Parameters
    ----------
    lr : float, default 0.001
        Learning rate; positive.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay of the two running means, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root, against division by zero; positive.

    References
    ----------
    Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015, algorithm 1.
    """

    name: ClassVar[str] = "adam"

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_fraction("beta1", self.beta1)
        _check_fraction("beta2", self.beta2)
        _check_constant("epsilon", self.epsilon, positive=True)


#: Every update rule by its name.
OPTIMIZERS: dict[str, type[Optimizer]] = {rule.name: rule for rule in (SGD, Adam)}


def read_optimizer(optimizer: object) -> Optimizer:
    """Return the optimizer for a name or an instance, else raise an error that lists the names."""
    if isinstance(optimizer, Optimizer):
        if type(optimizer) not in OPTIMIZERS.values():
            raise TypeError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be a name or an optimizer such as SGD(lr=0.1); got {optimizer!r}")
    return OPTIMIZERS[choose("optimizer", optimizer, tuple(OPTIMIZERS))]()


def core_optimizer(optimizer: object) -> _core.Optimizer:
    """Return the core's form of an optimizer, given as for `read_optimizer`."""
    rule = read_optimizer(optimizer)
    constants = {name: float(value) for name, value in vars(rule).items()}
    return _core.Optimizer(rule.name, **constants)


def _check_constant(argument: str, given: object, *, positive: bool) -> float:
    if isinstance(given, bool) or not hasattr(given, "__float__"):
        raise TypeError(f"{argument} must be a number, got {given!r}")
    value = float(cast(float, given))
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{argument} must be finite and {'positive' if positive else 'at least 0'}, got {given!r}")
    return value


def _check_fraction(argument: str, given: object) -> None:
    if _check_constant(argument, given, positive=False) >= 1:
        raise ValueError(f"{argument} must be in [0, 1), got {given!r}")
