"""Update rules, as plain values: which rule, with which constants.

An optimizer holds no state. Velocities, moments and step sizes live in an arena of the
net, next to the parameters they belong to, so one optimizer serves any number of
nets, and the learning rate may change between steps without losing the moments.

In the formulas w is a parameter, g its gradient, and t counts the steps from 1.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import ClassVar

from . import _core
from .checks import keep, read_flag, read_fraction, read_number
from .config import choose

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "check_batch_size",
    "core_optimizer",
    "read_optimizer",
]


@dataclass(frozen=True)
class Optimizer:
    """Base of all update rules; construct one of them instead.

    Attributes
    ----------
    name : str
        The name of the rule.
    full_batch : bool
        Whether the rule works only with steps over all rows.
    has_rate : bool
        Whether `lr` counts in every step, so that a schedule makes sense.
    """

    name: ClassVar[str] = ""
    full_batch: ClassVar[bool] = False
    has_rate: ClassVar[bool] = True

    lr: float = 0.01

    def __post_init__(self) -> None:
        keep(self, lr=read_number("lr", self.lr, positive=True))

    @property
    def slots(self) -> tuple[str, ...]:
        """The arrays that the rule keeps, a number per parameter each, in the order of the state and of files."""
        return ()


@dataclass(frozen=True)
class SGD(Optimizer):
    r"""Gradient descent, ``v <- momentum v + g`` and ``w <- w - lr v``.

    Parameters
    ----------
    lr : float, default 0.01
        Learning rate, the gamma (also alpha) of the five source documents; positive.
    momentum : float, default 0
        Share of the last velocity that is kept, in [0, 1). Zero is plain gradient descent.
    nesterov : bool, default False
        Look ahead by one more share of the velocity: ``w <- w - lr (g + momentum v)``. Needs a momentum above 0.

    References
    ----------
    Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964; Nesterov, *A method of solving
    a convex programming problem with convergence rate O(1/k^2)*, 1983; both in the form of Sutskever et al., *On the
    importance of initialization and momentum*, 2013, with the learning rate outside the velocity, as in PyTorch.
    """

    name: ClassVar[str] = "sgd"

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, momentum=read_fraction("momentum", self.momentum, "[0, 1)"))
        if read_flag("nesterov", self.nesterov) and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0; got momentum=0")

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity, where there is momentum."""
        return ("velocity",) if self.momentum > 0 else ()


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
    epsilon_hat : bool, default False
        Whether `epsilon` is what the paper's section 2 calls epsilon hat: added to ``sqrt(v)``, before the division by
        ``sqrt(1 - beta2^t)``, as scikit-learn and TensorFlow do.

    References
    ----------
    Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015, algorithm 1.
    """

    name: ClassVar[str] = "adam"

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = field(default=False, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(
            self,
            beta1=read_fraction("beta1", self.beta1, "[0, 1)"),
            beta2=read_fraction("beta2", self.beta2, "[0, 1)"),
            epsilon=read_number("epsilon", self.epsilon, positive=True),
        )
        read_flag("epsilon_hat", self.epsilon_hat)

    @property
    def slots(self) -> tuple[str, ...]:
        """The running means of the gradient and of its square."""
        return ("mean", "square")


@dataclass(frozen=True)
class AdamW(Adam):
    r"""Adam with decoupled weight decay: ``w <- w - lr weight_decay w``, then Adam's step.

    The decay does not pass through the moments, so it is the same share of every weight; the penalty `l2` of a fit
    does, and there weighs less where gradients are large.

    Parameters
    ----------
    lr, beta1, beta2, epsilon : float
        As for `Adam`.
    weight_decay : float, default 0.01
        Share of a weight, times `lr`, that is taken off in each step; at least 0. As in PyTorch: the paper's lambda
        is ``lr weight_decay``.
    decay_biases : bool, default False
        Whether biases decay too, as they do in PyTorch if nothing is done about it.

    References
    ----------
    Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019, algorithm 2.
    """

    name: ClassVar[str] = "adamw"

    weight_decay: float = 0.01
    decay_biases: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, weight_decay=read_number("weight_decay", self.weight_decay))
        read_flag("decay_biases", self.decay_biases)


@dataclass(frozen=True)
class NAdam(Adam):
    r"""Adam with Nesterov's momentum.

    With m and v as in `Adam`, ``mu_t = beta1 (1 - 0.5 0.96^(t momentum_decay))`` and ``M_t = mu_1 mu_2 ... mu_t``,
    ``mhat = mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)`` and
    ``w <- w - lr mhat / (sqrt(v / (1 - beta2^t)) + epsilon)``.

    Parameters
    ----------
    lr : float, default 0.002
        Learning rate; positive.
    beta1, beta2, epsilon : float
        As for `Adam`.
    momentum_decay : float, default 0.004
        How fast mu_t comes near beta1; at least 0.

    References
    ----------
    Dozat, *Incorporating Nesterov Momentum into Adam*, 2016, in the form of PyTorch, where m decays by beta1 and not
    by mu_t.
    """

    name: ClassVar[str] = "nadam"

    lr: float = 0.002
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, momentum_decay=read_number("momentum_decay", self.momentum_decay))

    def momentum(self, t: int) -> float:
        """Return mu_t."""
        return self.beta1 * (1 - 0.5 * math.pow(0.96, t * self.momentum_decay))


@dataclass(frozen=True)
class RMSprop(Optimizer):
    r"""The gradient over the root of its running square.

    ``s <- rho s + (1 - rho) g^2``, ``v <- momentum v + g / (sqrt(s) + epsilon)`` and ``w <- w - lr v``.

    Parameters
    ----------
    lr : float, default 0.001
        Learning rate; positive.
    rho : float, default 0.9
        Decay of the running square, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root, against division by zero; positive.
    momentum : float, default 0
        Share of the last velocity that is kept, in [0, 1).

    References
    ----------
    Tieleman and Hinton, *Neural Networks for Machine Learning*, lecture 6.5, 2012; momentum and epsilon as in
    PyTorch, not centred.
    """

    name: ClassVar[str] = "rmsprop"

    lr: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(
            self,
            rho=read_fraction("rho", self.rho, "[0, 1)"),
            epsilon=read_number("epsilon", self.epsilon, positive=True),
            momentum=read_fraction("momentum", self.momentum, "[0, 1)"),
        )

    @property
    def slots(self) -> tuple[str, ...]:
        """The running square; with momentum, also the velocity."""
        return ("square", "velocity") if self.momentum > 0 else ("square",)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    r"""The gradient over the root of the sum of all its squares.

    ``s <- s + g^2`` and ``w <- w - lr g / (sqrt(s) + epsilon)``.

    Parameters
    ----------
    lr : float, default 0.01
        Learning rate; positive. The paper has no default; this is PyTorch's.
    epsilon : float, default 1e-10
        Added to the root, against division by zero; positive.

    References
    ----------
    Duchi, Hazan and Singer, *Adaptive Subgradient Methods for Online Learning and Stochastic Optimization*, 2011,
    figure 1, with diagonal matrices.
    """

    name: ClassVar[str] = "adagrad"

    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, epsilon=read_number("epsilon", self.epsilon, positive=True))

    @property
    def slots(self) -> tuple[str, ...]:
        """The sum of the squares."""
        return ("square_sum",)


@dataclass(frozen=True)
class Rprop(Optimizer):
    r"""Resilient backpropagation: a step size per parameter, of which the gradient gives the sign alone.

    Where g has the sign it had in the step before, the parameter's step size d grows to ``eta_plus d``, at most
    `step_max`; where the sign turned, d shrinks to ``eta_minus d``, at least `step_min`, and g counts as 0 in this
    step and in the comparison of the next. Then ``w <- w - d sign(g)``. This is iRprop-, as in PyTorch.

    Signs mean little in the noise of minibatches: a fit has to have ``batch_size=None``.

    Parameters
    ----------
    lr : float, default 0.1
        First step size of every parameter, from `step_min` to `step_max`; without effect after the first step, so
        that a fit refuses a schedule. 0.1 is the paper's Delta_0; PyTorch begins with 0.01.
    eta_minus, eta_plus : float, default 0.5 and 1.2
        Factors of a step size, in (0, 1) and above 1.
    step_min, step_max : float, default 1e-6 and 50
        The least and the largest step size; positive.

    References
    ----------
    Riedmiller and Braun, *A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm*, 1993;
    Igel and Huesken, *Improving the Rprop Learning Algorithm*, 2000 (iRprop-).
    """

    name: ClassVar[str] = "rprop"
    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False

    lr: float = 0.1
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    step_min: float = 1e-6
    step_max: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, eta_minus=read_fraction("eta_minus", self.eta_minus, "(0, 1)"))
        keep(self, eta_plus=read_number("eta_plus", self.eta_plus))
        if self.eta_plus <= 1:
            raise ValueError(f"eta_plus must be above 1, got {self.eta_plus!r}")
        keep(self, step_min=read_number("step_min", self.step_min, positive=True))
        keep(self, step_max=read_number("step_max", self.step_max, positive=True))
        if not self.step_min <= self.lr <= self.step_max:
            raise ValueError(
                f"lr must be from step_min={self.step_min!r} to step_max={self.step_max!r}, got {self.lr!r}"
            )

    @property
    def slots(self) -> tuple[str, ...]:
        """The step sizes, and the gradient of the step before."""
        return ("step_size", "previous")


#: Every update rule by its name.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    rule.name: rule for rule in (SGD, Adam, AdamW, NAdam, RMSprop, Adagrad, Rprop)
}


def read_optimizer(optimizer: object) -> Optimizer:
    """Return the optimizer for a name or an instance, else raise an error that lists the names."""
    if isinstance(optimizer, Optimizer):
        if type(optimizer) not in OPTIMIZERS.values():
            raise TypeError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be a name or an optimizer such as SGD(lr=0.1); got {optimizer!r}")
    return OPTIMIZERS[choose("optimizer", optimizer, tuple(OPTIMIZERS))]()


def check_batch_size(optimizer: Optimizer, batch_size: int | None, rows: int) -> None:
    """Raise ValueError where the optimizer needs all rows in one step, and a minibatch is smaller."""
    if optimizer.full_batch and batch_size is not None and batch_size < rows:
        raise ValueError(
            f"batch_size must be None, or at least the {rows} rows, with optimizer {optimizer.name!r}; got {batch_size}"
        )


def core_optimizer(optimizer: object) -> _core.Optimizer:
    """Return the core's form of an optimizer, given as for `read_optimizer`."""
    return _core_form(read_optimizer(optimizer))


@functools.lru_cache(maxsize=64)
def _core_form(rule: Optimizer) -> _core.Optimizer:
    # Kept, for making one takes as long as a step of a small net.
    return _core.Optimizer(rule.name, **{name: float(value) for name, value in vars(rule).items()})
