"""PyTorch as a peer: eager training with its fused optimizers, the same with a compiled loss, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..config import NetConfig
from ..losses import read_loss
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
        if config.dtype == "float64" and "hard_sigmoid" in config.activations:
            raise NoEquivalent("the slope of its Hardsigmoid, 1/6, is that of float32")
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
    from ..interop.torch_modules import MODULES

    return MODULES[name]()


def _build_loss(case: Case, stack: Any) -> Callable[[Any, Any], Any]:
    """Return the loss of inputs and targets: outputs summed, rows averaged."""
    from torch.nn import functional

    loss = read_loss(case.loss)
    of_logits: dict[str, Callable[..., Any]] = {
        "cross_entropy": lambda h, y, s: functional.cross_entropy(h, y, label_smoothing=s),
        "log_loss": lambda h, y: _per_row(functional.binary_cross_entropy_with_logits, h, y),
        "poisson": lambda h, y: _per_row(functional.poisson_nll_loss, h, y),
    }
    of_outputs: dict[str, Callable[..., Any]] = {
        "squared_error": lambda a, y: ((a - y) ** 2).sum(1).mean(),
        "half_squared_error": lambda a, y: 0.5 * ((a - y) ** 2).sum(1).mean(),
        "absolute_error": lambda a, y: _per_row(functional.l1_loss, a, y),
        "huber": lambda a, y, delta: _per_row(functional.huber_loss, a, y, delta=delta),
        "hinge": lambda a, y: (1 - y * a).clamp(min=0).sum(1).mean(),
    }
    if loss.name in of_logits:
        return lambda x, y: of_logits[loss.name](stack(x), y, *loss.constants)
    if loss.name in of_outputs:
        output = _activation(case.output)
        return lambda x, y: of_outputs[loss.name](output(stack(x)), y, *loss.constants)
    raise NoEquivalent(case.loss)


def _per_row(loss: Callable[..., Any], outputs: Any, y: Any, **constants: Any) -> Any:
    """Return one of PyTorch's losses, summed over outputs and averaged over rows."""
    return loss(outputs, y, reduction="none", **constants).sum(1).mean()


def _build_optimizer(case: Case, parameters: Iterable[Any]) -> Any:
    from torch import optim

    rule = case.optimizer
    if type(rule) is SGD:
        return optim.SGD(parameters, lr=rule.lr, momentum=rule.momentum, nesterov=rule.nesterov, fused=True)
    if type(rule) is Adam:
        return optim.Adam(parameters, lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.epsilon, fused=True)
    raise NoEquivalent(rule.name)
