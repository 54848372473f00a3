"""The same training, by chainrule and by its peers: equal first weights, data, minibatches and update rule.

A runner is made once and then asked for epochs; `parameters` tells what it has learned, so that
no time is quoted for work whose result differs. Each peer is imported by its own runner, and is left
out where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import reference
from ..net import Net
from ..optimizers import SGD, Adam
from .cases import Case

__all__ = ["RUNNERS", "Runner"]

Array = NDArray[Any]


class Runner(Protocol):
    """Trains one net on one data set, an epoch of minibatches in order at a time."""

    def run(self, epochs: int) -> None:
        """Train for `epochs` epochs, and return when they are done."""

    def parameters(self) -> Array:
        """Return all parameters, flat, in the order of `chainrule.Net.parameters`."""


class NetRunner:
    """`chainrule.Net`, or with the same interface `chainrule.reference.Net`, the rival in NumPy."""

    def __init__(self, net_type: type[Net] | type[reference.Net], case: Case, X: Array, Y: Array) -> None:
        self.net = net_type(case.sizes, case.hidden, case.output, case.loss, dtype=X.dtype.name, seed=0)
        self.arguments: dict[str, Any] = {
            "batch_size": case.batch_size,
            "optimizer": case.optimizer,
            "shuffle": False,
        }
        self.X, self.Y = X, Y

    def run(self, epochs: int) -> None:
        self.net.fit(self.X, self.Y, epochs=epochs, **self.arguments)

    def parameters(self) -> Array:
        return self.net.parameters


def chainrule_runner(case: Case, X: Array, Y: Array) -> Runner:
    """Make a runner of the C++ core."""
    return NetRunner(Net, case, X, Y)


def numpy_runner(case: Case, X: Array, Y: Array) -> Runner:
    """Make a runner of the NumPy reference."""
    return NetRunner(reference.Net, case, X, Y)


class TorchRunner:
    """PyTorch, eager, with its fused optimizer."""

    def __init__(self, case: Case, X: Array, Y: Array) -> None:
        import torch

        activations = {"sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
        self.linear = [
            torch.nn.Linear(fan_in, fan_out).to(getattr(torch, X.dtype.name))
            for fan_in, fan_out in zip(case.sizes, case.sizes[1:], strict=False)
        ]
        for layer, weights in zip(self.linear, _initial_weights(case), strict=True):
            layer.weight.data.copy_(torch.from_numpy(np.ascontiguousarray(weights.T)))
            layer.bias.data.zero_()
        layers: list[Any] = []
        for layer in self.linear:
            layers += [layer, activations[case.hidden]()]
        layers[-1] = torch.nn.Sigmoid() if case.output == "sigmoid" else torch.nn.Identity()
        self.net = torch.nn.Sequential(*layers)
        self.loss = torch.nn.CrossEntropyLoss() if case.loss == "cross_entropy" else _half_squared_error
        self.optimizer = _torch_optimizer(torch, case, self.net.parameters())
        self.X, self.Y, self.batch_size = torch.from_numpy(X), torch.from_numpy(Y), case.batch_size

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            for start in range(0, len(self.X), self.batch_size):
                rows = slice(start, start + self.batch_size)
                self.optimizer.zero_grad(set_to_none=True)
                self.loss(self.net(self.X[rows]), self.Y[rows]).backward()
                self.optimizer.step()

    def parameters(self) -> Array:
        weights = [layer.weight.detach().numpy().T for layer in self.linear]
        return _flat([*weights, *(layer.bias.detach().numpy() for layer in self.linear)])


def _half_squared_error(yhat: Any, y: Any) -> Any:
    return 0.5 * ((yhat - y) ** 2).sum(1).mean()


def _torch_optimizer(torch: Any, case: Case, parameters: Iterable[Any]) -> Any:
    if isinstance(case.optimizer, SGD):
        return torch.optim.SGD(parameters, lr=case.optimizer.lr, fused=True)
    return torch.optim.Adam(parameters, lr=case.optimizer.lr, fused=True)


class JaxRunner:
    """JAX: one compiled call an epoch, a scan over the minibatches."""

    def __init__(self, case: Case, X: Array, Y: Array) -> None:
        import jax

        if X.dtype == np.float64:
            jax.config.update("jax_enable_x64", True)
        self.jax = jax
        batches = len(X) // case.batch_size
        self.data = tuple(jax.numpy.asarray(a).reshape(batches, case.batch_size, *a.shape[1:]) for a in (X, Y))
        weights = [jax.numpy.asarray(w.astype(X.dtype)) for w in _initial_weights(case)]
        parameters = (weights, [jax.numpy.zeros(w.shape[1], X.dtype) for w in weights])
        zeros = jax.tree_util.tree_map(jax.numpy.zeros_like, parameters)
        self.state = (parameters, zeros, zeros, jax.numpy.zeros((), X.dtype))
        self.epoch = jax.jit(self._make_epoch(case))

    def _make_epoch(self, case: Case) -> Callable[..., Any]:
        jax, np_ = self.jax, self.jax.numpy
        activation = {"sigmoid": jax.nn.sigmoid, "tanh": np_.tanh, "relu": jax.nn.relu}[case.hidden]
        tree_map = jax.tree_util.tree_map

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            *hidden, (W, b) = zip(*parameters, strict=True)
            for V, c in hidden:
                x = activation(x @ V + c)
            logits = x @ W + b
            if case.loss == "cross_entropy":
                return -np_.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()
            yhat = jax.nn.sigmoid(logits) if case.output == "sigmoid" else logits
            return 0.5 * ((yhat - y) ** 2).sum(1).mean()

        def step(state: Any, batch: Any) -> Any:
            parameters, m, v, t = state
            g = jax.grad(loss)(parameters, *batch)
            rule = case.optimizer
            if not isinstance(rule, Adam):
                return (tree_map(lambda p, d: p - rule.lr * d, parameters, g), m, v, t), None
            t = t + 1
            m = tree_map(lambda a, d: rule.beta1 * a + (1 - rule.beta1) * d, m, g)
            v = tree_map(lambda a, d: rule.beta2 * a + (1 - rule.beta2) * d * d, v, g)
            rate, root = rule.lr / (1 - rule.beta1**t), 1 / np_.sqrt(1 - rule.beta2**t)
            moved = tree_map(lambda p, a, b: p - rate * a / (np_.sqrt(b) * root + rule.epsilon), parameters, m, v)
            return (moved, m, v, t), None

        return lambda state, data: jax.lax.scan(step, state, data)[0]

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            self.state = self.epoch(self.state, self.data)
        self.jax.block_until_ready(self.state)

    def parameters(self) -> Array:
        weights, biases = self.state[0]
        return _flat([np.asarray(array) for array in (*weights, *biases)])


def _initial_weights(case: Case) -> list[Array]:
    from ..initializers import initial_weights

    return list(initial_weights(case.config("float64"), "glorot_uniform", seed=0))


def _flat(arrays: Iterable[Array]) -> Array:
    return np.concatenate([np.ravel(array) for array in arrays])


#: Every runner by the name of its column; chainrule first, as the others are compared with it.
RUNNERS: dict[str, Callable[[Case, Array, Array], Runner]] = {
    "chainrule": chainrule_runner,
    "numpy": numpy_runner,
    "jax": JaxRunner,
    "torch": TorchRunner,
}
