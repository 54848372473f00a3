"""PyTorch as a peer: eager training with its fused optimizers, the same with a compiled loss, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..config import NetConfig
from ..net import Net
from ..optimizers import SGD, Adam
from .cases import Case
from .runners import Array, NoEquivalent, first_weights, flat

__all__ = ["CompiledTorchRunner", "TorchRunner", "predict_torch"]


class TorchRunner:
    """PyTorch, eager, with its fused optimizer."""

    def __init__(self, case: Case, X: Array, Y: Array, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        config = case.config(X.dtype.name)
        biases = [np.zeros(fan_out) for _, fan_out in config.layer_shapes]
        self.linear, stack = _build_stack(config, first_weights(case), biases)
        self.loss = self._prepare(_build_loss(case, stack))
        self.optimizer = _build_optimizer(case, stack.parameters())
        self.X, self.Y, self.batch_size = torch.from_numpy(X), torch.from_numpy(Y), case.batch_size

    def _prepare(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return loss

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            for start in range(0, len(self.X), self.batch_size):
                rows = slice(start, start + self.batch_size)
                self.optimizer.zero_grad(set_to_none=True)
                self.loss(self.X[rows], self.Y[rows]).backward()
                self.optimizer.step()

    def parameters(self) -> Array:
        weights = [layer.weight.detach().numpy().T for layer in self.linear]
        return flat(weights, (layer.bias.detach().numpy() for layer in self.linear))


class CompiledTorchRunner(TorchRunner):
    """PyTorch with ``torch.compile`` over the whole loss; the optimizer is the fused one."""

    def _prepare(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        import torch

        # Every case is compiled afresh and for its own shapes: after a few of them PyTorch would fall back to eager.
        torch.compiler.reset()
        compiled: Callable[[Any, Any], Any] = torch.compile(loss, dynamic=False)
        return compiled

    @staticmethod
    def fault() -> str | None:
        """Say in one line why nothing can be compiled here, or return None if it can."""
        import torch

        try:
            torch.compile(lambda x: 2 * x.sin())(torch.ones(2))
        except Exception as error:  # each backend has its own
            return str(error).strip().partition("\n")[0]
        return None


def predict_torch(net: Net, x: Array, threads: int) -> tuple[Callable[[Any], Any], Any]:
    """Return a module without gradients, and the row as a tensor that shares `x`'s memory."""
    import torch

    torch.set_num_threads(threads)
    _, stack = _build_stack(net.config, net.weights, net.biases)
    stack.append(_activation(net.config.activations[-1])).requires_grad_(False)
    return stack, torch.from_numpy(x)


def _build_stack(config: NetConfig, weights: Iterable[Array], biases: Iterable[Array]) -> tuple[list[Any], Any]:
    """Return the linear layers, and the module that computes the output's preactivation with them."""
    import torch

    linear, modules = [], []
    for W, b, hidden in zip(weights, biases, (*config.activations[:-1], None), strict=True):
        fan_in, fan_out = W.shape
        layer = torch.nn.Linear(fan_in, fan_out, dtype=getattr(torch, config.dtype))
        layer.weight.data.copy_(torch.from_numpy(np.ascontiguousarray(W.T)))
        layer.bias.data.copy_(torch.from_numpy(np.ascontiguousarray(b)))
        linear.append(layer)
        modules += [layer] if hidden is None else [layer, _activation(hidden)]
    return linear, torch.nn.Sequential(*modules)


def _activation(name: str) -> Any:
    from torch import nn

    known = {"identity": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    return nn.Softmax(dim=-1) if name == "softmax" else known[name]()


def _build_loss(case: Case, stack: Any) -> Callable[[Any, Any], Any]:
    """Return the loss of inputs and targets: outputs summed, rows averaged."""
    from torch.nn import functional

    if case.loss == "cross_entropy":
        return lambda x, y: functional.cross_entropy(stack(x), y)
    if case.loss == "log_loss":
        per_output = functional.binary_cross_entropy_with_logits
        return lambda x, y: per_output(stack(x), y, reduction="none").sum(1).mean()
    if case.loss not in ("squared_error", "half_squared_error"):
        raise NoEquivalent(case.loss)
    output, factor = _activation(case.output), 0.5 if case.loss == "half_squared_error" else 1.0
    return lambda x, y: factor * ((output(stack(x)) - y) ** 2).sum(1).mean()


def _build_optimizer(case: Case, parameters: Iterable[Any]) -> Any:
    from torch import optim

    rule = case.optimizer
    if type(rule) is SGD:
        return optim.SGD(parameters, lr=rule.lr, momentum=rule.momentum, fused=True)
    if type(rule) is Adam:
        return optim.Adam(parameters, lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.epsilon, fused=True)
    raise NoEquivalent(rule.name)
