"""Constructor parameters of the estimators: what is allowed, and what it means in the core's terms."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..checks import is_sequence
from ..config import HIDDEN_ACTIVATIONS
from ..optimizers import OPTIMIZERS, SGD, Adam, Optimizer

__all__ = [
    "CONSTRAINTS",
    "batch_rows",
    "check_whole_numbers",
    "drawn_activations",
    "hidden_activations",
    "hidden_sizes",
    "optimizer_of",
]

#: scikit-learn's names beside those of `chainrule.Net`.
ALIASES = {"logistic": "sigmoid"}

#: What scikit-learn's `_validate_params` checks.
CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({*HIDDEN_ACTIVATIONS, *ALIASES}), "array-like"],
    "solver": [StrOptions({"lbfgs", *OPTIMIZERS}), Optimizer],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    "callback": [None, callable],
}


def check_whole_numbers(parameters: dict[str, Any]) -> None:
    """Check that the parameters' integers are of 64 bits, as nothing else takes a greater one.

    Raises
    ------
    ValueError
        One is greater.
    """
    for name, value in parameters.items():
        if isinstance(value, Integral) and abs(int(value)) >= 2**63:
            raise ValueError(f"{name} must be below 2**63, got an integer of {int(value).bit_length()} bits")


def hidden_sizes(hidden_layer_sizes: Any) -> list[int]:
    """Return the units of each hidden layer, for one number or several.

    Raises
    ------
    ValueError
        A layer has no units, or its size is no integer.
    """
    sizes = list(hidden_layer_sizes) if is_sequence(hidden_layer_sizes) else [hidden_layer_sizes]
    if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
    for size in sizes:
        check_whole_numbers({"hidden_layer_sizes": size})
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def hidden_activations(activation: Any, layers: int) -> list[str]:
    """Return a name for each hidden layer, as `chainrule.Net` calls them.

    Raises
    ------
    ValueError
        There are more or fewer names than hidden layers, or one is no name.
    """
    names = [activation] * layers if isinstance(activation, str) else list(activation)
    if len(names) != layers:
        raise ValueError(f"activation lists {len(names)} names, but hidden_layer_sizes gives {layers} hidden layers")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"activation must be a name, or a list of names, got {activation!r:.80}")
    return [ALIASES.get(name, name) for name in names]


def drawn_activations(activation: Any, hidden_layers: int) -> list[str]:
    """Return the activation that the initial weights of each layer are drawn for, as scikit-learn draws them.

    The output layer follows the last hidden one, and without any, what one would be.
    """
    names = hidden_activations(activation, hidden_layers)
    last = hidden_activations(activation, 1) if isinstance(activation, str) else names[-1:]
    return [*names, *(last or ["identity"])]


def batch_rows(batch_size: Any, rows: int, optimizer: Optimizer) -> int:
    """Return the rows of a minibatch, at most `rows`; ``"auto"`` is 200, or all rows where the optimizer needs them."""
    if isinstance(batch_size, str):
        return rows if optimizer.full_batch else min(200, rows)
    return min(int(batch_size), rows)


def optimizer_of(estimator: Any) -> Optimizer:
    """Return the optimizer that the parameters of an estimator describe."""
    solver, lr = estimator.solver, float(estimator.learning_rate_init)
    if isinstance(solver, Optimizer):
        return solver
    if solver == "sgd":
        # scikit-learn lets 1 pass, which never slows down; ours is in [0, 1).
        momentum = min(float(estimator.momentum), math.nextafter(1.0, 0.0))
        return SGD(lr=lr, momentum=momentum, nesterov=bool(estimator.nesterovs_momentum) and momentum > 0)
    rule = OPTIMIZERS[solver]
    if not issubclass(rule, Adam):
        return rule(lr=lr)
    constants = {name: float(getattr(estimator, name)) for name in ("beta_1", "beta_2", "epsilon")}
    # scikit-learn adds epsilon to a root that it has not corrected for the start.
    return rule(lr, *constants.values(), epsilon_hat=rule is Adam)
