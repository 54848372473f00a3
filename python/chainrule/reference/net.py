"""The interface of `chainrule.Net` over the formulas of this package."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..config import NetConfig
from ..engine import FitOptions
from ..errors import DivergenceError
from ..fit_data import FitData
from ..freezing import Freezable
from ..initializers import Init, initialize, read_seed
from ..losses import Loss
from ..optimizers import Optimizer, read_optimizer
from ..trace import Array, Trace
from ..trainable import Trainable
from ..views import LayerViews, write_numbers
from .inputs import read_rows, read_targets, read_weights
from .layers import LayerPass, Layers
from .optimizers import UPDATE_RULES, UpdateRule, update
from .training import Fit, Progress

__all__ = ["Net"]

P = ParamSpec("P")
R = TypeVar("R")


def quiet(method: Callable[P, R]) -> Callable[P, R]:
    """Silence NumPy: e^-H may overflow to infinity, as the formulas want; a diverging fit raises its own error."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(over="ignore", invalid="ignore"):
            return method(*args, **kwargs)

    return call


class Net(Trainable, Freezable):
    """A multilayer perceptron in NumPy, with the interface of `chainrule.Net`.

    With the same arguments and seed both begin with the same parameters and see the same
    minibatches, so they differ by rounding alone. Model files are left to `chainrule.Net`.

    Parameters
    ----------
    sizes, hidden, output, loss, reduction, bias, dtype, init, seed, dropout, input_noise
        As for `chainrule.Net`; a training step drops the same units.
    threads : int or None
        Part of the interface, without effect: the threads are those of NumPy's BLAS.

    Attributes
    ----------
    parameters, gradients : ndarray, flat
        All weights W1, W2, ... (each row-major), then all biases b1, b2, ...
    weights, biases, weight_gradients, bias_gradients : sequence of ndarray
        Views of them, to be read and assigned, one per layer, (fan_in, fan_out) and (fan_out,). Without biases
        the lists of biases are empty.
    epochs_trained : int
        Epochs of all fits so far; with the seed it determines the next shuffle.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: str | Sequence[str] = "sigmoid",
        output: str = "sigmoid",
        loss: str | Loss = "half_squared_error",
        reduction: str = "mean",
        bias: bool = True,
        dtype: Any = "float32",
        init: Init = "glorot_uniform",
        seed: int | None = None,
        threads: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        input_noise: float = 0.0,
    ) -> None:
        self.config = NetConfig.create(sizes, hidden, output, loss, reduction, bias, dtype, dropout, input_noise)
        self.seed = read_seed(seed)
        self.epochs_trained = 0
        self._layers = Layers(self.config, self.seed)
        initialize(self.config, init, self.seed, self._layers.weights, self._layers.biases)
        self._passes: list[LayerPass] | None = None
        self._rule: UpdateRule | None = None
        self._progress: Progress | None = None

    @property
    def parameters(self) -> Array:
        """All weights W1, W2, ..., then all biases b1, b2, ..., flat; what is assigned is written into it."""
        return self._layers.parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        write_numbers("parameters", values, self._layers.parameters)
        self._passes = self._progress = None

    @property
    def gradients(self) -> Array:
        """The gradients of them, in the same order."""
        return self._layers.gradients

    @gradients.setter
    def gradients(self, values: ArrayLike) -> None:
        write_numbers("gradients", values, self._layers.gradients)

    @property
    def weights(self) -> LayerViews:
        """Views of the weights, one per layer, (fan_in, fan_out)."""
        return LayerViews(self._layers.weights)

    @property
    def biases(self) -> LayerViews:
        """Views of the biases, one per layer, (fan_out,); none without biases."""
        return LayerViews(self._layers.biases)

    @property
    def weight_gradients(self) -> LayerViews:
        """Views of the gradients of the weights."""
        return LayerViews(self._layers.weight_gradients)

    @property
    def bias_gradients(self) -> LayerViews:
        """Views of the gradients of the biases."""
        return LayerViews(self._layers.bias_gradients)

    def __getstate__(self) -> dict[str, Any]:
        # For pickle and copy: without the views, which would be arrays of their own, and the last forward pass.
        layers = self._layers
        state = {name: value for name, value in vars(self).items() if name not in ("_layers", "_passes")}
        return state | {"layers": (layers.parameters, layers.gradients, layers.frozen)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters, gradients, frozen = state.pop("layers")
        vars(self).update(state)
        self._layers = layers = Layers(self.config, self.seed)
        layers.parameters[...], layers.gradients[...] = parameters, gradients
        layers.frozen |= frozen
        self._passes = None
        self._progress = copy.copy(self._progress)
        if self._rule is not None:
            self._rule = self._rule.of(layers.parameters)

    @quiet
    def forward(self, X: ArrayLike) -> Array:
        """Return the outputs of a training pass, (rows, outputs), and keep what `backward` needs."""
        self._passes = self._layers.forward(self._rows(X), self._steps())
        return self._passes[-1].outputs.copy()

    @quiet
    def backward(self, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Fill `gradients` for the rows of the last `forward`, and return their loss."""
        return self._backward(Y, sample_weight)[2]

    @quiet
    def update(self, optimizer: str | Optimizer) -> None:
        """Take one step of the optimizer against `gradients`; the activations of `forward` are then out of date."""
        optimizer = read_optimizer(optimizer)
        self._passes = None
        frozen = self._layers.frozen_parameters()
        update(self._rule_of(optimizer), optimizer, optimizer.lr, self.gradients, frozen)

    @quiet
    def step(
        self, X: ArrayLike, Y: ArrayLike, optimizer: str | Optimizer, sample_weight: ArrayLike | None = None
    ) -> float:
        """Forward, backward and update on these rows; return their loss before the update."""
        optimizer = read_optimizer(optimizer)
        self._passes = self._layers.forward(self._rows(X), self._steps(optimizer))
        loss = self.backward(Y, sample_weight)
        if not math.isfinite(loss):
            raise DivergenceError("the loss is not finite")
        self.update(optimizer)
        return loss

    @quiet
    def predict(self, X: ArrayLike, out: Array | None = None) -> Array:
        """Return the outputs, (rows, outputs), or (outputs,) of a single row (features,); nothing is kept."""
        given = np.asanyarray(X)  # a mask is refused by what reads the rows
        rows = read_rows(self.config, np.atleast_2d(given)).astype(self.config.dtype, copy=False)
        A = self._layers.forward(rows)[-1].outputs.reshape(*given.shape[:-1], self.config.outputs)
        if out is None:
            return A
        if out.shape != A.shape:
            raise ValueError(f"out must have the shape {A.shape}; got {out.shape}")
        if out.dtype != A.dtype:
            raise TypeError(f"out must have the dtype {A.dtype}; got {out.dtype}")
        out[...] = A
        return out

    @quiet
    def loss(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss on these rows; nothing is kept."""
        rows = read_rows(self.config, X).astype(self.config.dtype, copy=False)
        targets, share = self._read(Y, sample_weight, len(rows))
        return self._layers.weighted_loss(self._layers.forward(rows), targets, share)

    @quiet
    def trace(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Trace:
        """Run `forward` and `backward`, and return every intermediate under the derivations' names."""
        self.forward(X)
        passes, deltas, loss = self._backward(Y, sample_weight)
        H, A = [each.preactivations for each in passes], [each.activations for each in passes]
        dW, db = ([view.copy() for view in views] for views in (self.weight_gradients, self.bias_gradients))
        return Trace(H, A, deltas, dW, db, loss)

    def derivation(self, latex: bool = False) -> str:
        """Return the update rule of this net, symbol by symbol."""
        from ..derivation import derive

        return derive(self.config, latex=latex)

    def _start_fit(self, data: FitData, options: FitOptions) -> Fit:
        return Fit(self, data, options)

    def _is_frozen(self, layer: int) -> bool:
        return layer in self._layers.frozen

    def _set_frozen(self, layer: int, frozen: bool) -> None:
        (self._layers.frozen.add if frozen else self._layers.frozen.discard)(layer)

    def _rows(self, X: ArrayLike) -> Array:
        """Return a copy of the inputs, which `backward` still finds when the caller has changed them."""
        return read_rows(self.config, X).astype(self.config.dtype)

    def _steps(self, optimizer: Optimizer | None = None) -> int:
        """Return the updates so far of the rule in use; none if this optimizer is of another kind."""
        if self._rule is None or (optimizer is not None and type(self._rule) is not UPDATE_RULES[type(optimizer)]):
            return 0
        return self._rule.steps

    def _backward(self, Y: ArrayLike, sample_weight: ArrayLike | None) -> tuple[list[LayerPass], list[Array], float]:
        """Fill the gradients; return the forward pass that they belong to, the deltas and the loss."""
        if self._passes is None:
            raise RuntimeError("backward needs a call of forward before it")
        targets, share = self._read(Y, sample_weight, len(self._passes[0].inputs))
        deltas = self._layers.backward(self._passes, targets, share)
        return self._passes, deltas, self._layers.weighted_loss(self._passes, targets, share)

    def _read(self, Y: ArrayLike, sample_weight: ArrayLike | None, rows: int) -> tuple[Array, Array]:
        """Targets of these rows, and the share of each in the loss."""
        weights = read_weights(self.config, sample_weight, rows)
        return read_targets(self.config, Y, rows), self._layers.shares(weights)

    def _rule_of(self, optimizer: Optimizer) -> UpdateRule:
        """State of the update rule, begun afresh where the class of optimizer changed."""
        rule = UPDATE_RULES[type(optimizer)]
        if type(self._rule) is not rule:
            self._rule = rule(self.parameters, sum(W.size for W in self.weights))
        return self._rule
