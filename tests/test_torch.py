"""Gradients of random nets are those of PyTorch's autograd, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, Net
from chainrule.config import HIDDEN_ACTIVATIONS, OUTPUT_OF_LOSS
from helpers import OUTPUTS_AND_LOSSES, relative_error

torch = pytest.importorskip("torch")
functional = torch.nn.functional

ACTIVATIONS = {
    "identity": lambda h: h,
    "sigmoid": torch.sigmoid,
    # PyTorch's own has a slope of 1/6 as float32 has it.
    "hard_sigmoid": lambda h: torch.clamp(h / 6 + 0.5, 0, 1),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": torch.selu,
    "gelu": lambda h: h * torch.special.ndtr(h),
    "gelu_tanh": lambda h: functional.gelu(h, approximate="tanh"),
    "silu": functional.silu,
    "mish": functional.mish,
    "softplus": lambda h: torch.logaddexp(h, torch.zeros_like(h)),
    "softsign": functional.softsign,
    "exp": torch.exp,
    "softmax": lambda h: torch.softmax(h, 1),
}


def quantile(yhat, y, taus):
    y = y.repeat_interleave(len(taus), 1)
    tau = torch.tensor(list(taus) * (yhat.shape[1] // len(taus)), dtype=torch.float64)
    return torch.maximum(tau * (y - yhat), (tau - 1) * (y - yhat)).sum(1)


def cross_entropy(logits, y, smoothing):
    y = (1 - smoothing) * y + smoothing / y.shape[1]
    return -(y * torch.log_softmax(logits, 1)).sum(1)


#: Loss of each row, from logits, outputs and targets.
LOSSES = {
    "squared_error": lambda o, yhat, y: ((yhat - y) ** 2).sum(1),
    "half_squared_error": lambda o, yhat, y: ((yhat - y) ** 2).sum(1) / 2,
    "absolute_error": lambda o, yhat, y: (yhat - y).abs().sum(1),
    "huber(0.3)": lambda o, yhat, y: functional.huber_loss(yhat, y, reduction="none", delta=0.3).sum(1),
    "quantile(0.2, 0.7)": lambda o, yhat, y: quantile(yhat, y, (0.2, 0.7)),
    "log_cosh": lambda o, yhat, y: torch.log(torch.cosh(yhat - y)).sum(1),
    "poisson": lambda o, yhat, y: functional.poisson_nll_loss(o, y, log_input=True, reduction="none").sum(1),
    "log_loss": lambda o, yhat, y: functional.binary_cross_entropy_with_logits(o, y, reduction="none").sum(1),
    "cross_entropy": lambda o, yhat, y: cross_entropy(o, y, 0.0),
    "cross_entropy(0.1)": lambda o, yhat, y: cross_entropy(o, y, 0.1),
    "hinge": lambda o, yhat, y: torch.relu(1 - yhat * torch.where(y > 0, 1.0, -1.0)).sum(1),
}


def random_problem(seed):
    """A net of one to six layers of mixed activations, data and weights of rows; every loss in turn."""
    random = np.random.default_rng(seed)
    depth = int(random.integers(1, 7))
    sizes = [*(int(size) for size in random.integers(1, 30, depth)), 2 * int(random.integers(1, 5))]
    loss = list(LOSSES)[seed % len(LOSSES)]
    hidden = [str(random.choice([name for name in HIDDEN_ACTIVATIONS if name != "exp"])) for _ in range(depth - 1)]
    output = OUTPUT_OF_LOSS.get(loss.split("(")[0]) or str(random.choice(list(ACTIVATIONS)))
    reduction = str(random.choice(["mean", "sum"]))
    net = Net(sizes, hidden, output, loss, reduction, bool(seed % 3), "float64", seed=seed)
    net.parameters += 0.1 * random.standard_normal(net.parameters.size)
    rows = int(random.integers(1, 300))
    X = random.standard_normal((rows, sizes[0]))
    Y = random.random((rows, net.config.target_columns))
    if "hinge" in loss:
        Y = np.sign(Y - 0.5)
    if "cross_entropy" in loss:
        Y /= Y.sum(axis=1, keepdims=True)
    return net, X, Y, random.random(rows) if seed % 2 else None


def solve(net, X, Y, weights):
    """Outputs, loss, gradients of the parameters and of the inputs, by autograd."""
    W = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    b = [torch.tensor(np.array(w), requires_grad=True) for w in net.biases]
    a = x = torch.tensor(X, requires_grad=True)
    for layer, name in enumerate(net.config.activations):
        o = a @ W[layer] + (b[layer] if b else 0)
        a = ACTIVATIONS[name](o)
    row_losses = LOSSES[str(net.config.loss)](o, a, torch.tensor(Y))
    share = torch.ones(len(X)) if weights is None else torch.tensor(weights)
    loss = (share * row_losses).sum()
    loss = loss / share.sum() if net.config.reduction == "mean" else loss
    loss.backward()
    gradient = torch.cat([part.grad.ravel() for part in (*W, *b)])
    return a.detach().numpy(), loss.item(), gradient.numpy(), x.grad.numpy()


@pytest.mark.parametrize("seed", range(220))
def test_random_nets_have_the_gradients_of_autograd(seed):
    net, X, Y, weights = random_problem(seed)
    outputs, loss, gradients, input_gradients = solve(net, X, Y, weights)
    assert relative_error(net.forward(X), outputs) < 1e-10
    assert relative_error(net.backward(Y, weights), loss) < 1e-10
    # Where everything cancels, rounding is all there is.
    if np.linalg.norm(gradients) > 1e-9:
        assert relative_error(net.gradients, gradients) < 1e-10
        assert relative_error(net.input_gradient(X, Y, sample_weight=weights), input_gradients) < 1e-10


@pytest.mark.parametrize("seed", range(0, 220, 4))
def test_a_penalised_step_goes_down_the_gradient_of_autograd(seed):
    net, X, Y, weights = random_problem(seed)
    before, count = net.parameters.copy(), sum(W.size for W in net.weights)
    _, loss, gradients, _ = solve(net, X, Y, weights)
    penalised = gradients.copy()
    penalised[:count] += 0.02 * np.sign(before[:count]) + 0.3 * before[:count]
    clipped = np.clip(penalised, -0.5, 0.5)
    clipped *= 0.7 / max(np.linalg.norm(clipped), 0.7)
    options = {"l1": 0.02, "l2": 0.3, "clip_value": 0.5, "clip_norm": 0.7, "sample_weight": weights}
    history = net.fit(X, Y, epochs=1, batch_size=None, optimizer=SGD(lr=0.1), **options)
    assert relative_error(history.loss, [loss]) < 1e-10
    assert relative_error(net.parameters, before - 0.1 * clipped) < 1e-10


# e^1000 is infinite in any format.
@pytest.mark.parametrize(("output", "loss"), [pair for pair in OUTPUTS_AND_LOSSES if "exp" not in pair])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_are_stable_from_logits_of_minus_1000_to_1000(output, loss, dtype):
    net = Net([1, 4], hidden=[], output=output, loss=loss, dtype=dtype, reduction="sum")
    net.weights[0][:] = [[1, -1, 0.5, 0]]
    for logit in (-1000, -100, -1, 0, 1, 100, 1000):
        Y = np.zeros((1, net.config.target_columns))
        Y[0, 0] = 1
        logits = torch.tensor(net.weights[0] * logit, dtype=torch.float64)
        expected = LOSSES[loss](logits, ACTIVATIONS[output](logits), torch.tensor(Y)).item()
        net.forward([[logit]])
        actual = net.backward(Y)
        if np.isfinite(expected):  # PyTorch's log cosh overflows here
            assert actual == pytest.approx(expected, rel=1e-4 if dtype == "float32" else 1e-10, abs=1e-6)
        assert np.isfinite(actual)
        assert np.isfinite(net.gradients).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_stable_from_minus_1000_to_1000(activation, dtype):
    net = Net([1, 2], output=activation, dtype=dtype)
    net.weights[0][:] = [[1, 0]]
    X = np.concatenate([np.linspace(-1000, 1000, 4001), [-1e-6, 1e-6, 0]])[:, np.newaxis].astype(dtype)
    h = torch.tensor(np.hstack([X, 0 * X]).astype("float64"))
    expected = ACTIVATIONS[activation](h).numpy()
    expected = np.where(expected > np.finfo(dtype).max, np.inf, expected)
    # 1 + tanh loses its last digits far below 0; the exponents of exp amplify a rounding.
    tolerance = {"rtol": 4e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-15}
    np.testing.assert_allclose(net.predict(X), expected, **tolerance)
