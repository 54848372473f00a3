"""The final judge: dense nets in plain Python floats, one number at a time.

Written as the element-by-element formulas of the five source documents, for any number of
layers and outputs, with nothing but loops and the `math` module, so that it shares neither
code nor method with what it judges. Arrays are lists of lists; indices are the documents':
i runs over rows, k over the units that enter a layer, j over the units that leave it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Vector = list[float]
Matrix = list[list[float]]


def assert_close(actual, expected, tolerance=1e-12):
    """The largest difference is at most `tolerance` of the largest number: what cancels in a sum is not resolved."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=0)


@dataclass
class Answer:
    """Everything one pass computes, by layer from the first; the lists of biases may be empty."""

    preactivations: list[Matrix]
    activations: list[Matrix]
    deltas: list[Matrix]
    loss: float
    dW: list[Matrix]
    db: list[Vector]


def solve(net, X, Y, sample_weight=None) -> Answer:
    """Outputs, loss and gradients of `net` on these rows; only its parameters and configuration are read."""
    config = net.config
    W = [np.asarray(weights, np.float64).tolist() for weights in net.weights]
    b = [np.asarray(biases, np.float64).tolist() for biases in net.biases] if config.bias else []
    X = np.asarray(X, np.float64).tolist()
    Y = targets(config, Y)
    share = shares(config, sample_weight, len(X))

    preactivations, activations = forward(config, W, b, X)
    loss = 0.0
    for i in range(len(X)):
        loss += share[i] * row_loss(config.loss.name, preactivations[-1][i], activations[-1][i], Y[i])
    deltas = backward(config, W, preactivations, activations, Y, share)

    dW, db = [], []
    for layer, (fan_in, fan_out) in enumerate(config.layer_shapes):
        inputs = X if layer == 0 else activations[layer - 1]
        dW.append([[0.0] * fan_out for _ in range(fan_in)])
        for k in range(fan_in):
            for j in range(fan_out):
                dW[layer][k][j] = math.fsum(inputs[i][k] * deltas[layer][i][j] for i in range(len(X)))
        if config.bias:
            db.append([math.fsum(deltas[layer][i][j] for i in range(len(X))) for j in range(fan_out)])
    return Answer(preactivations, activations, deltas, loss, dW, db)


def descend(parameters: list, gradients: list, lr: float) -> list:
    """One update of gradient descent, w <- w - lr dL/dw, of nested lists of numbers."""
    return [
        descend(w, g, lr) if isinstance(w, list) else w - lr * g for w, g in zip(parameters, gradients, strict=True)
    ]


def targets(config, Y) -> Matrix:
    """One list per row; class indices become rows of zeros with a one."""
    Y = np.asarray(Y).tolist()
    if config.loss.name == "cross_entropy" and not isinstance(Y[0], list):
        return [[1.0 if j == label else 0.0 for j in range(config.outputs)] for label in Y]
    return [row if isinstance(row, list) else [row] for row in Y]


def shares(config, sample_weight, rows: int) -> Vector:
    """What each row's loss is multiplied by."""
    weights = [1.0] * rows if sample_weight is None else [float(weight) for weight in sample_weight]
    if config.reduction == "sum":
        return weights
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def forward(config, W, b, X: Matrix) -> tuple[list[Matrix], list[Matrix]]:
    preactivations, activations, inputs = [], [], X
    for layer, (fan_in, fan_out) in enumerate(config.layer_shapes):
        H, A = [], []
        for row in inputs:
            h = []
            for j in range(fan_out):
                h.append(math.fsum(row[k] * W[layer][k][j] for k in range(fan_in)))
                if b:
                    h[j] += b[layer][j]
            H.append(h)
            A.append(activate(config.activations[layer], h))
        preactivations.append(H)
        activations.append(A)
        inputs = A
    return preactivations, activations


def backward(config, W, preactivations, activations, Y: Matrix, share: Vector) -> list[Matrix]:
    """dL/dH of every layer, from dl/dA of the outputs down."""
    rows, layers = len(Y), len(W)
    deltas: list[Matrix] = [[] for _ in range(layers)]
    for i in range(rows):
        h, a = preactivations[-1][i], activations[-1][i]
        if config.loss.name in ("log_loss", "cross_entropy"):
            # Document 004 (b): the derivative of the loss by a, times that of a by h, is a - y; with softmax,
            # where every a depends on every h, it is a sum(y) - y.
            total = math.fsum(Y[i]) if config.loss.name == "cross_entropy" else 1.0
            delta = [share[i] * (a[j] * total - Y[i][j]) for j in range(len(a))]
        else:
            factor = 2.0 if config.loss.name == "squared_error" else 1.0
            da = [share[i] * factor * (a[j] - Y[i][j]) for j in range(len(a))]
            delta = times_derivative(config.activations[-1], da, h, a)
        deltas[-1].append(delta)
    for layer in reversed(range(layers - 1)):
        for i in range(rows):
            h, a = preactivations[layer][i], activations[layer][i]
            da = []
            for k in range(len(a)):
                above = deltas[layer + 1][i]
                da.append(math.fsum(above[j] * W[layer + 1][k][j] for j in range(len(above))))
            deltas[layer].append(times_derivative(config.activations[layer], da, h, a))
    return deltas


def sigmoid(h: float) -> float:
    if h >= 0:
        return 1.0 / (1.0 + math.exp(-h))
    return math.exp(h) / (1.0 + math.exp(h))


def activate(name: str, h: Vector) -> Vector:
    if name == "softmax":
        e = [math.exp(value - max(h)) for value in h]
        return [value / math.fsum(e) for value in e]
    function = {
        "identity": lambda value: value,
        "sigmoid": sigmoid,
        "tanh": math.tanh,
        "relu": lambda value: value if value > 0 else 0.0,
    }[name]
    return [function(value) for value in h]


def times_derivative(name: str, da: Vector, h: Vector, a: Vector) -> Vector:
    """dL/dh of one row from its dL/da."""
    units = range(len(a))
    if name == "softmax":
        dh = []
        for j in units:
            dh.append(math.fsum(da[k] * a[k] * ((1.0 if j == k else 0.0) - a[j]) for k in units))
        return dh
    derivative = {
        "identity": lambda k: 1.0,
        "sigmoid": lambda k: a[k] * (1.0 - a[k]),
        "tanh": lambda k: 1.0 - a[k] ** 2,
        "relu": lambda k: 1.0 if h[k] > 0 else 0.0,
    }[name]
    return [da[k] * derivative(k) for k in units]


def row_loss(name: str, h: Vector, a: Vector, y: Vector) -> float:
    units = range(len(a))
    if name == "squared_error":
        return math.fsum((y[j] - a[j]) ** 2 for j in units)
    if name == "half_squared_error":
        return math.fsum(0.5 * (y[j] - a[j]) ** 2 for j in units)
    if name == "log_loss":
        # -y log a - (1 - y) log(1 - a), each logarithm of a sigmoid from its logit.
        return math.fsum(-y[j] * log_sigmoid(h[j]) - (1.0 - y[j]) * log_sigmoid(-h[j]) for j in units)
    if name == "cross_entropy":
        log_sum = max(h) + math.log(math.fsum(math.exp(value - max(h)) for value in h))
        return math.fsum(-y[j] * (h[j] - log_sum) for j in units)
    raise ValueError(f"the oracle does not know the loss {name!r}")


def log_sigmoid(h: float) -> float:
    return -math.log1p(math.exp(-h)) if h >= 0 else h - math.log1p(math.exp(h))
