"""The chain rule, layer by layer, over whole matrices.

Not here: reading of users' arrays, optimizers, minibatches.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import NetConfig
from ..trace import Array
from ..views import layer_views
from .activations import ACTIVATIONS
from .draws import Draw
from .losses import loss_of

__all__ = ["LayerPass", "Layers"]


class LayerPass(NamedTuple):
    """What a forward pass leaves of one layer; all are (rows, units).

    Attributes
    ----------
    inputs : ndarray
        A_(l-1): X, or what the layer before lets through.
    preactivations : ndarray
        H_l.
    outputs : ndarray
        g_l(H_l), before any is dropped.
    factors : ndarray or None
        What dropout multiplies the outputs by: 0, or 1 / (1 - share); None where nothing is dropped.
    """

    inputs: Array
    preactivations: Array
    outputs: Array
    factors: Array | None

    @property
    def activations(self) -> Array:
        """A_l, which the next layer takes in."""
        return self.outputs if self.factors is None else self.outputs * self.factors


class Layers:
    """Parameters and gradients of a net, and the two passes over its layers.

    Rows are samples. ``L = sum_i share_i l_i`` is the loss of a batch, where l_i is the
    loss of row i and share_i is 1 / rows for the mean, 1 for the sum, and follows the
    weights of the rows where they have any.

    Parameters
    ----------
    config : NetConfig
    seed : int
        Of dropout and noise.

    Attributes
    ----------
    parameters, gradients : ndarray, flat
        All weights W1, W2, ... (each row-major), then all biases b1, b2, ...
    weights, biases, weight_gradients, bias_gradients : list of ndarray
        Views of them, one per layer, (fan_in, fan_out) and (fan_out,). Without biases
        the lists of biases are empty.
    frozen : set of int
        The layers that no update moves.
    """

    def __init__(self, config: NetConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.frozen: set[int] = set()
        self.parameters: Array = np.zeros(config.parameter_count, config.dtype)
        self.gradients: Array = np.zeros_like(self.parameters)
        self.weights, self.biases = self.views(self.parameters)
        self.weight_gradients, self.bias_gradients = self.views(self.gradients)
        self._activations = [ACTIVATIONS[name] for name in config.activations]
        self._loss = loss_of(config.loss)
        self._has_draws = any(config.dropout) or config.input_noise > 0

    def views(self, arena: Array) -> tuple[list[Array], list[Array]]:
        """Return views of a flat array: the weights of every layer, and the biases."""
        weights, biases = layer_views(self.config, arena)
        return list(weights), list(biases)

    def frozen_parameters(self) -> NDArray[np.bool_] | None:
        """Return which parameters belong to frozen layers, flat; None where no layer is frozen."""
        if not self.frozen:
            return None
        ones = np.zeros_like(self.parameters)
        for views in self.views(ones):
            for layer, view in enumerate(views):
                view[...] = layer in self.frozen
        are_frozen: NDArray[np.bool_] = ones != 0
        return are_frozen

    def unfrozen_weights(self) -> list[Array]:
        """Return the weights of the layers that are not frozen."""
        return [W for layer, W in enumerate(self.weights) if layer not in self.frozen]

    def forward(self, X: Array, step: int | None = None) -> list[LayerPass]:
        """H_l = A_(l-1) W_l + b_l and A_l = g_l(H_l), with A_0 = X.

        With the number of a step as that step trains: noise is added to X, and hidden A_l are dropped.
        """
        draw = None if step is None or not self._has_draws else Draw(self.seed, step)
        A = X if draw is None else self._add_noise(X, draw)
        passes: list[LayerPass] = []
        for layer, activation in enumerate(self._activations):
            H = A @ self.weights[layer]
            if self.biases:
                H += self.biases[layer]
            factors = None if draw is None else self._dropout(draw, layer, len(X))
            passes.append(LayerPass(A, H, activation.function(H), factors))
            A = passes[-1].activations
        return passes

    def _add_noise(self, X: Array, draw: Draw) -> Array:
        """X + input_noise times normal numbers, which count as those of a layer after the last."""
        if self.config.input_noise == 0:
            return X
        noise = self.config.input_noise * draw.normal(len(self.weights), *X.shape)
        return X + noise.astype(X.dtype)

    def _dropout(self, draw: Draw, layer: int, rows: int) -> Array | None:
        """Return the factors of a layer's outputs, (rows, units): Srivastava et al., *Dropout*, 2014, section 10."""
        share = (*self.config.dropout, 0.0)[layer]
        if share == 0:
            return None
        kept = draw.kept(layer, rows, self.config.sizes[layer + 1], share)
        return kept.astype(self.config.dtype) * (1 / (1 - share))

    def row_losses(self, passes: list[LayerPass], Y: Array) -> Array:
        """Loss of each row, (rows,)."""
        return self._loss.of_rows(passes[-1].preactivations, passes[-1].outputs, Y)

    def shares(self, weights: Array) -> Array:
        """Share of each row in the loss: its weight, over the sum of all where rows are averaged."""
        # Where every row of a minibatch weighs 0, so does its gradient.
        total = weights.sum() if self.config.reduction == "mean" else 1
        return weights / total if total > 0 else weights

    def weighted_loss(self, passes: list[LayerPass], Y: Array, weights: Array) -> float:
        """Return the sum of the rows' losses, each times its weight; one of weight 0 may be infinite."""
        losses = self.row_losses(passes, Y)
        total = float(weights @ losses)
        return total if math.isfinite(total) else float(weights @ np.where(weights == 0, 0, losses))

    def backward(self, passes: list[LayerPass], Y: Array, share: Array, may_be_0: bool = True) -> list[Array]:
        """Write dL/dW_l and dL/db_l into the gradients, and return the deltas dL/dH_l.

        The last delta is share * dl/dA_L through g_L, and 0 where the share is, if it `may_be_0`.
        Then, from the last layer to the first, ``dW_l = A_(l-1)^T delta_l``,
        ``db_l = sum of delta_l over rows`` and ``delta_(l-1) = delta_l W_l^T`` through the dropout
        of layer l-1 and g_(l-1).
        """
        delta: Array = self._loss.gradient(passes[-1].outputs, Y) * share[:, np.newaxis]
        if not self._loss.from_logits:
            delta = self._through_activation(-1, passes, delta)
        if may_be_0:
            delta[share == 0] = 0  # where it may have been 0 times infinity
        deltas = [delta]
        for layer in reversed(range(len(self.weights))):
            np.matmul(passes[layer].inputs.T, delta, out=self.weight_gradients[layer])
            if self.biases:
                delta.sum(axis=0, out=self.bias_gradients[layer])
            if layer > 0:
                delta = self._through_activation(layer - 1, passes, delta @ self.weights[layer].T)
                deltas.append(delta)
        return deltas[::-1]

    def _through_activation(self, layer: int, passes: list[LayerPass], dA: Array) -> Array:
        """Return dL/dH of a layer from dL/dA."""
        _, H, outputs, factors = passes[layer]
        return self._activations[layer].backward(H, outputs, dA if factors is None else dA * factors)
