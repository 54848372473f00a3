"""Fitted multilayer perceptrons of scikit-learn, and estimators with their attributes, as arguments of a net."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import ACTIVATIONS, DTYPES, OUTPUT_OF_LOSS

__all__ = ["natural_loss", "read_estimator"]

#: Names of activations that differ from ours.
RENAMED = {"logistic": "sigmoid"}

ATTRIBUTES = ("coefs_", "intercepts_", "out_activation_")


def read_estimator(estimator: Any) -> dict[str, Any]:
    """Return the arguments of `chainrule.Net` that give the estimator's predictions; see `Net.from_sklearn`."""
    if isinstance(estimator, type) or not hasattr(estimator, "hidden_layer_sizes"):
        raise TypeError(f"estimator must be a fitted MLPRegressor or MLPClassifier, got {estimator!r:.80}")
    missing = [name for name in ATTRIBUTES if not hasattr(estimator, name)]
    if missing:
        raise ValueError(f"estimator is not fitted: it has no {' and no '.join(missing)}; call fit first")
    weights = [np.asarray(array) for array in estimator.coefs_]
    biases = [np.asarray(array) for array in estimator.intercepts_]
    output = _read_activation("out_activation_", estimator.out_activation_)
    own = getattr(estimator, "net_", None)  # which chainrule's estimators have
    return {
        "sizes": [len(weights[0]), *(array.shape[1] for array in weights)],
        # What the parameter says now may not be what the net was made with.
        "hidden": _read_hidden(estimator.activation, len(weights) - 1) if own is None else own.config.activations[:-1],
        "output": output,
        "loss": natural_loss(output) if own is None else own.config.loss,
        "dtype": weights[0].dtype.name if weights[0].dtype.name in DTYPES else "float64",
        "init": list(zip(weights, biases, strict=True)),
    }


def natural_loss(output: str) -> str:
    """Return the loss whose derivative is short behind this output activation, as scikit-learn pairs them."""
    losses = {activation: loss for loss, activation in OUTPUT_OF_LOSS.items()}
    return losses.get(output, "half_squared_error")


def _read_hidden(given: Any, layers: int) -> list[str]:
    """One name for each hidden layer; scikit-learn has one for all, chainrule's estimators may have a list."""
    names = [given] * layers if isinstance(given, str) or not np.iterable(given) else list(given)
    return [_read_activation("activation", name) for name in names]


def _read_activation(attribute: str, given: Any) -> str:
    name = RENAMED.get(given, given) if isinstance(given, str) else given
    if name not in ACTIVATIONS:
        allowed = ", ".join(map(repr, (*RENAMED, *ACTIVATIONS)))
        raise ValueError(f"{attribute} of the estimator must be one of {allowed}; got {given!r}")
    return str(name)
