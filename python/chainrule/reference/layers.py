"""The chain rule, layer by layer, over whole matrices.

Not here: reading of users' arrays, optimizers, minibatches.
"""

from __future__ import annotations

import numpy as np

from ..config import NetConfig
from ..trace import Array
from ..views import layer_views
from .activations import ACTIVATIONS
from .losses import loss_of

__all__ = ["Layers"]


class Layers:
    """Parameters and gradients of a net, and the two passes over its layers.

    Rows are samples. ``L = sum_i share_i l_i`` is the loss of a batch, where l_i is the
    loss of row i and share_i is 1 / rows for the mean, 1 for the sum, and follows the
    weights of the rows where they have any.

    Attributes
    ----------
    parameters, gradients : ndarray, flat
        All weights W1, W2, ... (each row-major), then all biases b1, b2, ...
    weights, biases, weight_gradients, bias_gradients : list of ndarray
        Views of them, one per layer, (fan_in, fan_out) and (fan_out,). Without biases
        the lists of biases are empty.
    """

    def __init__(self, config: NetConfig) -> None:
        self.config = config
        self.parameters: Array = np.zeros(config.parameter_count, config.dtype)
        self.gradients: Array = np.zeros_like(self.parameters)
        self.weights, self.biases = self.views(self.parameters)
        self.weight_gradients, self.bias_gradients = self.views(self.gradients)
        self._activations = [ACTIVATIONS[name] for name in config.activations]
        self._loss = loss_of(config.loss)

    def views(self, arena: Array) -> tuple[list[Array], list[Array]]:
        """Return views of a flat array: the weights of every layer, and the biases."""
        weights, biases = layer_views(self.config, arena)
        return list(weights), list(biases)

    def forward(self, X: Array) -> tuple[list[Array], list[Array]]:
        """H_l = A_(l-1) W_l + b_l and A_l = g_l(H_l), with A_0 = X.

        Returns
        -------
        preactivations : list of ndarray, H_1 to H_L
        activations : list of ndarray, A_0 to A_L
        """
        preactivations: list[Array] = []
        activations = [X]
        for layer, activation in enumerate(self._activations):
            H = activations[-1] @ self.weights[layer]
            if self.biases:
                H += self.biases[layer]
            preactivations.append(H)
            activations.append(activation.function(H))
        return preactivations, activations

    def row_losses(self, preactivations: list[Array], activations: list[Array], Y: Array) -> Array:
        """Loss of each row, (rows,)."""
        return self._loss.of_rows(preactivations[-1], activations[-1], Y)

    def shares(self, weights: Array) -> Array:
        """Share of each row in the loss: its weight, over the sum of all where rows are averaged."""
        # Where every row of a minibatch weighs 0, so does its gradient.
        total = weights.sum() if self.config.reduction == "mean" else 1
        return weights / total if total > 0 else weights

    def backward(self, preactivations: list[Array], activations: list[Array], Y: Array, share: Array) -> list[Array]:
        """Write dL/dW_l and dL/db_l into the gradients, and return the deltas dL/dH_l.

        The last delta is share * dl/dA_L through g_L. Then, from the last layer to the first,
        ``dW_l = A_(l-1)^T delta_l``, ``db_l = sum of delta_l over rows`` and
        ``delta_(l-1) = delta_l W_l^T`` through g_(l-1).
        """
        delta: Array = self._loss.gradient(activations[-1], Y) * share[:, np.newaxis]
        if not self._loss.from_logits:
            delta = self._activations[-1].backward(preactivations[-1], activations[-1], delta)
        deltas = [delta]
        for layer in reversed(range(len(self.weights))):
            np.matmul(activations[layer].T, delta, out=self.weight_gradients[layer])
            if self.biases:
                delta.sum(axis=0, out=self.bias_gradients[layer])
            if layer > 0:
                dA = delta @ self.weights[layer].T
                delta = self._activations[layer - 1].backward(preactivations[layer - 1], activations[layer], dA)
                deltas.append(delta)
        return deltas[::-1]
