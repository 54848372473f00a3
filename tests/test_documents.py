"""The five source documents, reproduced: their formulas, as printed but for the slips, are the expected numbers.

Every formula is written out here element by element in plain Python, in its document's own letters: i runs over
the N samples, k over the features, l over the hidden units; gamma and alpha are the learning rate.
"""
# ruff: noqa: E741

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

import chainrule
import oracle
from chainrule import SGD
from oracle import assert_close

GAMMA = 0.3
UPDATES = 3


@pytest.fixture(params=["reference", "core"])
def net_class(request):
    return chainrule.reference.Net if request.param == "reference" else chainrule.Net


@dataclass
class Gradient:
    loss: float
    dW1: list[list[float]]
    dW2: list[float]
    db1: list[float] | None = None
    db2: float | None = None


@dataclass
class Sizes:
    samples: int
    features: int
    hidden: int

    @property
    def indices(self):
        return range(self.samples), range(self.features), range(self.hidden)


def sigma(x):
    return 1 / (1 + math.exp(-x))


ACTIVATIONS = {
    # name: g, and g' from the value of g
    "sigmoid": (sigma, lambda a: a * (1 - a)),
    "tanh": (math.tanh, lambda a: 1 - a**2),
    "identity": (lambda x: x, lambda a: 1.0),
}


def draw(sizes, classes=False):
    random = np.random.default_rng(0)
    X = random.standard_normal((sizes.samples, sizes.features))
    Y = random.integers(0, 2, sizes.samples) if classes else random.random(sizes.samples)
    return X, Y.astype(float)


def check_document(net, X, Y, document):
    """Hold gradients, and the weights after each of a few updates, against `document(X, Y, W1, W2, b1, b2)`."""
    net.parameters[:] = np.random.default_rng(1).standard_normal(net.parameters.size)
    for _ in range(UPDATES):
        before = [array.copy() for array in (*net.weights, *net.biases)]
        W1, W2, *biases = (array.tolist() for array in before)
        b1, b2 = (biases[0], biases[1][0]) if biases else (None, None)
        expected = document(X.tolist(), Y.tolist(), W1, [row[0] for row in W2], b1, b2)
        gradients = [np.array(expected.dW1), np.array(expected.dW2)[:, np.newaxis]]
        gradients += [np.array(expected.db1), np.array([expected.db2])] if biases else []

        judge = oracle.solve(net, X, Y)
        assert judge.loss == pytest.approx(expected.loss, rel=1e-12)
        for actual, wanted in zip([*judge.dW, *judge.db], gradients, strict=True):
            assert_close(actual, wanted)

        net.forward(X)
        assert net.backward(Y) == pytest.approx(expected.loss, rel=1e-12)
        for actual, wanted in zip([*net.weight_gradients, *net.bias_gradients], gradients, strict=True):
            assert_close(actual, wanted)
        net.update(SGD(lr=GAMMA))
        for actual, old, wanted in zip([*net.weights, *net.biases], before, gradients, strict=True):
            assert_close(actual, old - GAMMA * wanted)


# 000: the gradients element by element.


def document_000(X, Y, W1, W2, b1, b2):
    sizes = Sizes(len(X), len(W1), len(W2))
    samples, features, hidden = sizes.indices
    N = sizes.samples
    Z = [[sigma(sum(X[i][k] * W1[k][l] for k in features)) for l in hidden] for i in samples]
    Y_hat = [sigma(sum(Z[i][l] * W2[l] for l in hidden)) for i in samples]

    loss = 1 / (2 * N) * sum((Y[i] - Y_hat[i]) ** 2 for i in samples)
    dW2 = [-1 / N * sum(Z[i][j] * (Y[i] - Y_hat[i]) * Y_hat[i] * (1 - Y_hat[i]) for i in samples) for j in hidden]
    dW1 = [
        [
            -1
            / N
            * sum(
                X[i][k] * (Y[i] - Y_hat[i]) * Y_hat[i] * (1 - Y_hat[i]) * W2[l] * Z[i][l] * (1 - Z[i][l])
                for i in samples
            )
            for l in hidden
        ]
        for k in features
    ]
    return Gradient(loss, dW1, dW2)


@pytest.mark.parametrize("sizes", [Sizes(6, 3, 4), Sizes(9, 5, 7)], ids=str)
def test_000(net_class, sizes):
    net = net_class([sizes.features, sizes.hidden, 1], bias=False, dtype="float64", seed=0)
    check_document(net, *draw(sizes), document_000)


# 001: the same through the error terms delta_O and delta_H, in matrices.


def document_001_deltas(X, Y, W1, W2):
    samples, features, hidden = Sizes(len(X), len(W1), len(W2)).indices
    H = [[sum(X[i][k] * W1[k][l] for k in features) for l in hidden] for i in samples]
    Z = [[sigma(H[i][l]) for l in hidden] for i in samples]
    y_hat = [sigma(sum(Z[i][l] * W2[l] for l in hidden)) for i in samples]
    delta_O = [-(Y[i] - y_hat[i]) * y_hat[i] * (1 - y_hat[i]) for i in samples]
    delta_H = [[delta_O[i] * W2[l] * sigma(H[i][l]) * (1 - sigma(H[i][l])) for l in hidden] for i in samples]
    return Z, y_hat, delta_O, delta_H


def document_001(X, Y, W1, W2, b1, b2):
    sizes = Sizes(len(X), len(W1), len(W2))
    samples, features, hidden = sizes.indices
    N = sizes.samples
    Z, y_hat, delta_O, delta_H = document_001_deltas(X, Y, W1, W2)
    loss = 1 / (2 * N) * sum((Y[i] - y_hat[i]) ** 2 for i in samples)
    dW2 = [1 / N * sum(Z[i][l] * delta_O[i] for i in samples) for l in hidden]
    dW1 = [[1 / N * sum(X[i][k] * delta_H[i][l] for i in samples) for l in hidden] for k in features]
    return Gradient(loss, dW1, dW2)


@pytest.mark.parametrize("sizes", [Sizes(6, 3, 4), Sizes(9, 5, 7)], ids=str)
def test_001(net_class, sizes):
    net = net_class([sizes.features, sizes.hidden, 1], bias=False, dtype="float64", seed=0)
    check_document(net, *draw(sizes), document_001)


def test_001_deltas_but_for_the_1_over_N_that_comes_back_later(net_class):
    """The printed dL/dyhat lacks 1/N, which (1) and (2) put back; the net's deltas are dL/dO and dL/dH."""
    net = net_class([3, 4, 1], bias=False, dtype="float64", seed=0)
    X, Y = draw(Sizes(6, 3, 4))
    trace = net.trace(X, Y)
    Z, y_hat, delta_O, delta_H = document_001_deltas(
        X.tolist(), Y.tolist(), net.weights[0].tolist(), net.weights[1].ravel().tolist()
    )
    assert_close(trace["Z"], Z)
    assert_close(trace["Yhat"].ravel(), y_hat)
    assert_close(6 * trace["delta_O"].ravel(), delta_O)
    assert_close(6 * trace["delta_H"], delta_H)


# 002: the same at 3-4-1, with the sums and their limits.


def document_002(X, Y, W1, W2, b1, b2):
    N = len(X)
    O, y_hat, Z = [0.0] * N, [0.0] * N, [[0.0] * 4 for _ in range(N)]
    for i in range(N):
        for l in range(4):
            H_il = 0.0
            for k in range(3):
                H_il += X[i][k] * W1[k][l]
            Z[i][l] = 1 / (1 + math.exp(-H_il))
        for k in range(4):
            O[i] += Z[i][k] * W2[k]
        y_hat[i] = 1 / (1 + math.exp(-O[i]))
    loss, dW2, dW1 = 0.0, [0.0] * 4, [[0.0] * 4 for _ in range(3)]
    for i in range(N):
        loss += 1 / (2 * N) * (Y[i] - y_hat[i]) ** 2
        for k in range(4):
            dW2[k] += -1 / N * (Y[i] - y_hat[i]) * y_hat[i] * (1 - y_hat[i]) * Z[i][k]
        # The document lets k run to 4 here, but X has 3 features.
        for k in range(3):
            for l in range(4):
                to_output = -1 / N * (Y[i] - y_hat[i]) * y_hat[i] * (1 - y_hat[i])
                dW1[k][l] += to_output * W2[l] * Z[i][l] * (1 - Z[i][l]) * X[i][k]
    return Gradient(loss, dW1, dW2)


def test_002(net_class):
    net = net_class([3, 4, 1], bias=False, dtype="float64", seed=0)
    check_document(net, *draw(Sizes(8, 3, 4)), document_002)


# 003: regression with biases, hidden sigmoid or tanh, a sample at a time.


def document_003(hidden_activation, stated):
    g, g_prime = ACTIVATIONS[hidden_activation]

    def document(X, y, w1, w2, b1, b2):
        sizes = Sizes(len(X), len(w1), len(w2))
        samples, features, hidden = sizes.indices
        loss, dW1, dW2 = 0.0, [[0.0] * sizes.hidden for _ in features], [0.0] * sizes.hidden
        db1, db2 = [0.0] * sizes.hidden, 0.0
        # The rule is derived from sum 1/2 (yhat - y)^2; the stated loss 1/N sum (y - yhat)^2 is 2/N of that.
        factor = 2 / sizes.samples if stated else 1.0
        for i in samples:
            x = X[i]
            a1 = [g(sum(w1[k][l] * x[k] for k in features) + b1[l]) for l in hidden]
            a2 = sum(w2[l] * a1[l] for l in hidden) + b2
            loss += factor * (a2 - y[i]) ** 2 / 2
            db2 += factor * (a2 - y[i])
            for l in hidden:
                dW2[l] += factor * (a2 - y[i]) * a1[l]
                # The sigmoid variant prints this with an x too many; the tanh variant has it right.
                db1[l] += factor * (a2 - y[i]) * w2[l] * g_prime(a1[l])
                for k in features:
                    dW1[k][l] += factor * (a2 - y[i]) * w2[l] * g_prime(a1[l]) * x[k]
        return Gradient(loss, dW1, dW2, db1, db2)

    return document


@pytest.mark.parametrize("hidden_activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize(
    ("stated", "loss", "reduction"),
    [(True, "squared_error", "mean"), (False, "half_squared_error", "sum")],
    ids=["stated", "derived"],
)
def test_003(net_class, hidden_activation, stated, loss, reduction):
    net = net_class([4, 5, 1], hidden_activation, "identity", loss, reduction, dtype="float64", seed=0)
    check_document(net, *draw(Sizes(7, 4, 5)), document_003(hidden_activation, stated))


@pytest.mark.parametrize("hidden_activation", ["sigmoid", "tanh"])
def test_003_repeat_until_convergence(net_class, hidden_activation):
    """Step 3 of the document: the loss falls at every update until it no longer changes."""
    net = net_class([2, 3, 1], hidden_activation, "identity", "squared_error", dtype="float64", seed=3)
    X, Y = draw(Sizes(10, 2, 3))
    history = net.fit(X, Y, epochs=100_000, batch_size=None, optimizer=SGD(lr=0.05), tol=1e-6)
    assert history.stopped == "converged"
    assert (np.diff(history.loss) < 0).all()
    assert history.loss[-2] - history.loss[-1] <= 1e-6


# 004: (a) regression with any output g, (b) binary classification with the log loss.


def document_004(output, classification):
    g_out, g_out_prime = ACTIVATIONS[output]

    def document(X, y, w1, w2, b1, b2):
        sizes = Sizes(len(X), len(w1), len(w2))
        samples, features, hidden = sizes.indices
        loss, dW1, dW2 = 0.0, [[0.0] * sizes.hidden for _ in features], [0.0] * sizes.hidden
        db1, db2 = [0.0] * sizes.hidden, 0.0
        for i in samples:
            x = X[i]
            a1 = [sigma(sum(w1[k][l] * x[k] for k in features) + b1[l]) for l in hidden]
            a2 = g_out(sum(w2[l] * a1[l] for l in hidden) + b2)
            if classification:
                loss += -y[i] * math.log(a2) - (1 - y[i]) * math.log(1 - a2)
                delta_O = a2 - y[i]
            else:
                loss += (a2 - y[i]) ** 2
                delta_O = 2 * (a2 - y[i]) * g_out_prime(a2)
            # (a) prints db2 without g'(z2).
            db2 += delta_O
            for l in hidden:
                dW2[l] += a1[l] * delta_O
                db1[l] += delta_O * w2[l] * a1[l] * (1 - a1[l])
                for k in features:
                    dW1[k][l] += x[k] * delta_O * w2[l] * a1[l] * (1 - a1[l])
        return Gradient(loss, dW1, dW2, db1, db2)

    return document


@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh"])
def test_004a(net_class, output):
    net = net_class([4, 5, 1], "sigmoid", output, "squared_error", "sum", dtype="float64", seed=0)
    check_document(net, *draw(Sizes(7, 4, 5)), document_004(output, classification=False))


def test_004b(net_class):
    net = net_class([4, 5, 1], "sigmoid", "sigmoid", "log_loss", "sum", dtype="float64", seed=0)
    check_document(net, *draw(Sizes(7, 4, 5), classes=True), document_004("sigmoid", classification=True))


def test_004_how_the_two_rules_differ(net_class):
    """The log loss leaves out the factor 2 g'(z2) of the squared error, in every gradient, row by row."""
    squared, log = (
        net_class([4, 5, 1], "sigmoid", "sigmoid", loss, "sum", dtype="float64", seed=0)
        for loss in ("squared_error", "log_loss")
    )
    X, Y = draw(Sizes(7, 4, 5), classes=True)
    a, b = squared.trace(X, Y), log.trace(X, Y)
    slope = 2 * a["Yhat"] * (1 - a["Yhat"])
    assert_close(a["delta_O"], slope * b["delta_O"])
    assert_close(a["delta_H"], slope * b["delta_H"])


# The slips: what is printed, against what the gradient is.


def test_slip_of_003_the_derived_rule_is_not_that_of_the_stated_loss(net_class):
    stated, derived = (
        net_class([4, 5, 1], "sigmoid", "identity", loss, reduction, dtype="float64", seed=0)
        for loss, reduction in (("squared_error", "mean"), ("half_squared_error", "sum"))
    )
    X, Y = draw(Sizes(7, 4, 5))
    stated.trace(X, Y)
    derived.trace(X, Y)
    assert_close(stated.gradients, 2 / 7 * derived.gradients)


def test_slip_of_003_db1_with_an_x_is_another_number(net_class):
    net = net_class([1, 5, 1], "sigmoid", "identity", "half_squared_error", "sum", dtype="float64", seed=0)
    X, Y = draw(Sizes(7, 1, 5))
    printed = (net.trace(X, Y)["delta_H"] * X).sum(axis=0)
    assert np.abs(net.bias_gradients[0] / printed - 1).min() > 0.1
    assert_close(printed, net.weight_gradients[0][0])


@pytest.mark.parametrize(("output", "right"), [("identity", True), ("sigmoid", False), ("tanh", False)])
def test_slip_of_004_db2_without_the_slope_of_the_output(net_class, output, right):
    net = net_class([4, 5, 1], "sigmoid", output, "squared_error", "sum", dtype="float64", seed=0)
    X, Y = draw(Sizes(7, 4, 5))
    printed = 2 * (net.trace(X, Y)["Yhat"].ravel() - Y).sum()
    assert (abs(net.bias_gradients[1][0] / printed - 1) < 1e-12) == right
