"""JAX as a peer: one compiled call an epoch, a scan over the minibatches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizers import SGD, Adam
from .cases import Case
from .runners import Array, NoEquivalent, first_weights, flat

__all__ = ["JaxRunner"]

#: Loss of (parameters, inputs, targets), and one step from (state, batch) to (state, None), as scan wants it.
Loss = Callable[[Any, Any, Any], Any]
Step = Callable[[Any, Any], Any]


class JaxRunner:
    """JAX on the CPU. Its threads are those of the cores it may run on, and of the environment."""

    def __init__(self, case: Case, X: Array, Y: Array, threads: int) -> None:
        import jax

        if X.dtype == np.float64:
            jax.config.update("jax_enable_x64", True)
        batches = len(X) // case.batch_size
        self.data = tuple(jax.numpy.asarray(a).reshape(batches, case.batch_size, *a.shape[1:]) for a in (X, Y))
        weights = [jax.numpy.asarray(w.astype(X.dtype)) for w in first_weights(case)]
        parameters = (weights, [jax.numpy.zeros(w.shape[1], X.dtype) for w in weights])
        zeros = jax.tree_util.tree_map(jax.numpy.zeros_like, parameters)
        self.state = (parameters, zeros, zeros, jax.numpy.zeros((), X.dtype))
        step = _build_step(case, _build_loss(case))
        self.epoch = jax.jit(lambda state, data: jax.lax.scan(step, state, data)[0])

    def run(self, epochs: int) -> None:
        import jax

        for _ in range(epochs):
            self.state = self.epoch(self.state, self.data)
        jax.block_until_ready(self.state)

    def parameters(self) -> Array:
        weights, biases = ([np.asarray(array) for array in arrays] for arrays in self.state[0])
        return flat(weights, biases)


def _activations() -> dict[str, Callable[[Any], Any]]:
    from jax import nn, numpy

    return {
        "identity": lambda h: h,
        "sigmoid": nn.sigmoid,
        "hard_sigmoid": nn.hard_sigmoid,
        "tanh": numpy.tanh,
        "relu": nn.relu,
        "leaky_relu": nn.leaky_relu,
        "elu": nn.elu,
        "selu": nn.selu,
        "gelu": lambda h: nn.gelu(h, approximate=False),
        "gelu_tanh": nn.gelu,
        "silu": nn.silu,
        "mish": nn.mish,
        "softplus": nn.softplus,
        "softsign": nn.soft_sign,
        "exp": numpy.exp,
        "softmax": nn.softmax,
    }


def _build_loss(case: Case) -> Loss:
    """Return the loss of parameters, inputs and targets: outputs summed, rows averaged."""
    import jax

    np_ = jax.numpy
    hidden, output = (_activations()[name] for name in (case.hidden, case.output))
    row_losses: dict[str, Callable[[Any, Any], Any]] = {
        "squared_error": lambda h, y: ((output(h) - y) ** 2).sum(1),
        "half_squared_error": lambda h, y: 0.5 * ((output(h) - y) ** 2).sum(1),
        "absolute_error": lambda h, y: abs(output(h) - y).sum(1),
        "hinge": lambda h, y: jax.nn.relu(1 - y * output(h)).sum(1),
        "poisson": lambda h, y: (np_.exp(h) - y * h).sum(1),
        "log_loss": lambda h, y: (jax.nn.softplus(h) - y * h).sum(1),
        "cross_entropy": lambda h, y: -np_.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1),
    }
    if case.loss not in row_losses:
        raise NoEquivalent(case.loss)
    row_loss = row_losses[case.loss]

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        *layers, (W, b) = zip(*parameters, strict=True)
        for V, c in layers:
            x = hidden(x @ V + c)
        return row_loss(x @ W + b, y).mean()

    return loss


def _build_step(case: Case, loss: Loss) -> Step:
    """Return one step of the case's optimizer, for the state (parameters, m, v, t)."""
    rule = case.optimizer
    if type(rule) is SGD and rule.momentum == 0:
        return _build_sgd(rule, loss)
    if type(rule) is Adam:
        return _build_adam(rule, loss)
    raise NoEquivalent(repr(rule))


def _build_sgd(rule: SGD, loss: Loss) -> Step:
    import jax

    def step(state: Any, batch: Any) -> Any:
        parameters, *unused = state
        g = jax.grad(loss)(parameters, *batch)
        return (jax.tree_util.tree_map(lambda p, d: p - rule.lr * d, parameters, g), *unused), None

    return step


def _build_adam(rule: Adam, loss: Loss) -> Step:
    import jax

    np_, tree_map = jax.numpy, jax.tree_util.tree_map

    def step(state: Any, batch: Any) -> Any:
        parameters, m, v, t = state
        g = jax.grad(loss)(parameters, *batch)
        t = t + 1
        m = tree_map(lambda a, d: rule.beta1 * a + (1 - rule.beta1) * d, m, g)
        v = tree_map(lambda a, d: rule.beta2 * a + (1 - rule.beta2) * d * d, v, g)
        rate, root = rule.lr / (1 - rule.beta1**t), 1 / np_.sqrt(1 - rule.beta2**t)
        moved = tree_map(lambda p, a, b: p - rate * a / (np_.sqrt(b) * root + rule.epsilon), parameters, m, v)
        return (moved, m, v, t), None

    return step
