"""scikit-learn as a peer: MLPRegressor and MLPClassifier, set to the same weights and left to train or predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..config import NetConfig
from ..net import Net
from ..optimizers import SGD, Adam, Optimizer
from .cases import Case
from .runners import Array, NetRunner, NoEquivalent, first_weights, flat

__all__ = ["SklearnRunner", "SklearnTwin", "predict_sklearn"]

#: Its names of the hidden activations that it has.
ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


class SklearnRunner:
    """scikit-learn: ``partial_fit`` walks the minibatches of an epoch itself."""

    def __init__(self, case: Case, X: Array, Y: Array, threads: int) -> None:
        config = case.config(X.dtype.name)
        # For a sigmoid output with a squared error, say, it has no loss; its squared error is the half one.
        canonical = {"identity": "half_squared_error", "sigmoid": "log_loss", "softmax": "cross_entropy"}
        if case.loss != canonical.get(case.output):
            raise NoEquivalent(f"{case.loss} with a {case.output} output")
        if case.output == "sigmoid" and config.outputs > 1:
            raise NoEquivalent("several sigmoid outputs with partial_fit")
        self.X, self.Y = X, Y if config.outputs > 1 else Y.ravel()
        biases = [np.zeros(fan_out) for _, fan_out in config.layer_shapes]
        self.model = _build_model(
            config, first_weights(case), biases, batch_size=case.batch_size, shuffle=False, **_solver(case)
        )

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            self.model.partial_fit(self.X, self.Y)

    def parameters(self) -> Array:
        return flat(self.model.coefs_, self.model.intercepts_)


class SklearnTwin(NetRunner):
    """`chainrule.Net` with scikit-learn's Adam, whose epsilon is added to sqrt(v), not to sqrt(v / (1 - beta2^t)).

    In the first steps that is up to 32 times our epsilon, and shows where gradients are small.
    """

    def __init__(self, case: Case, X: Array, Y: Array, threads: int) -> None:
        super().__init__(Net, case, X, Y, threads)
        self.batch_size, self.rule, self.t = case.batch_size, case.optimizer, 0

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            for start in range(0, len(self.X), self.batch_size):
                rows = slice(start, start + self.batch_size)
                self.t += 1
                self.net.step(self.X[rows], self.Y[rows], self._rule_of_step())

    def _rule_of_step(self) -> Optimizer:
        if not isinstance(self.rule, Adam):
            return self.rule
        return replace(self.rule, epsilon=self.rule.epsilon / (1 - self.rule.beta2**self.t) ** 0.5)


def predict_sklearn(net: Net, x: Array, threads: int) -> tuple[Callable[[Any], Any], Any]:
    """Return the estimator's method that computes the net's output, and the row as it wants it."""
    config = net.config
    if config.activations[-1] == "sigmoid" and config.outputs > 1:
        raise NoEquivalent("several sigmoid outputs")
    model = _build_model(config, net.weights, net.biases)
    row = x[np.newaxis]
    if config.activations[-1] == "sigmoid":
        return lambda x: model.predict_proba(x)[:, 1], row
    return model.predict_proba if config.activations[-1] == "softmax" else model.predict, row


def _build_model(config: NetConfig, weights: Iterable[Array], biases: Iterable[Array], **options: Any) -> Any:
    """Return an estimator with these weights that has taken no step yet."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    *hidden, output = config.activations
    if output not in ("identity", "sigmoid", "softmax") or (output == "softmax" and config.outputs == 2):
        raise NoEquivalent(f"a {output} output with {config.outputs} units")
    name = hidden[0] if hidden else "identity"
    if name not in ACTIVATIONS:
        raise NoEquivalent(name)
    options = {"hidden_layer_sizes": config.sizes[1:-1], "activation": ACTIVATIONS[name], "alpha": 0, **options}
    # A first step makes all the arrays; they are overwritten, and the optimizer that took it is dropped.
    X = np.zeros((options.get("batch_size", 1), config.features), config.dtype)
    if output == "identity":
        model = MLPRegressor(**options)
        model.partial_fit(X, np.zeros((len(X), config.outputs) if config.outputs > 1 else len(X), config.dtype))
    else:
        model = MLPClassifier(**options)
        model.partial_fit(X, np.zeros(len(X)), classes=np.arange(max(2, config.outputs)))
    for arrays, values in ((model.coefs_, weights), (model.intercepts_, biases)):
        for array, value in zip(arrays, values, strict=True):
            array[...] = value
    del model._optimizer
    return model


def _solver(case: Case) -> dict[str, Any]:
    rule = case.optimizer
    if type(rule) is SGD:
        momentum = {"momentum": rule.momentum, "nesterovs_momentum": rule.nesterov}
        return {"solver": "sgd", "learning_rate_init": rule.lr, **momentum}
    if type(rule) is Adam:
        constants = {"beta_1": rule.beta1, "beta_2": rule.beta2, "epsilon": rule.epsilon}
        return {"solver": "adam", "learning_rate_init": rule.lr, **constants}
    raise NoEquivalent(rule.name)
