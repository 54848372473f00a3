"""The update rules of core and reference against PyTorch's, and against the papers' formulas one number at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import chainrule
from chainrule.datasets import load_auto_mpg, load_penguins
from chainrule.optimizers import (
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    NAdam,
    RMSprop,
    Rprop,
    check_batch_size,
    read_optimizer,
)
from chainrule.reference import Net
from chainrule.reference.optimizers import UPDATE_RULES, update

STEPS = 50

#: The first six parameters of the problem are weights, the others biases.
WEIGHTS, PARAMETERS = 6, 9


def gradient(w):
    """Of a bumpy function whose curvature differs much between its parameters, so that signs turn at times."""
    return np.geomspace(0.1, 10, PARAMETERS) * w + np.sin(3 * w) + 0.1 * w.sum()


def rates_of(optimizer, changing):
    """A learning rate per step, the optimizer's own or one that changes."""
    return [optimizer.lr * (1 / (1 + 0.1 * step) if changing else 1) for step in range(STEPS)]


def descend(optimizer, rates, start):
    parameters = start.copy()
    rule = UPDATE_RULES[type(optimizer)](parameters, WEIGHTS)
    for lr in rates:
        update(rule, optimizer, lr, gradient(parameters))
    return parameters


def descend_in_core(optimizer, rates, start):
    net = chainrule.Net([2, 3], dtype="float64")
    assert (net.weights[0].size, net.parameters.size) == (WEIGHTS, PARAMETERS)
    net.parameters = start
    for lr in rates:
        net.gradients = gradient(net.parameters)
        net.update(replace(optimizer, lr=lr))
    return net.parameters.copy()


@pytest.fixture
def start():
    return np.random.default_rng(3).standard_normal(PARAMETERS)


CASES = [
    SGD(),
    SGD(lr=0.02, momentum=0.9),
    SGD(lr=0.02, momentum=0.9, nesterov=True),
    Adam(lr=0.05),
    Adam(lr=0.05, beta1=0.5, beta2=0.9, epsilon=0.1),
    AdamW(lr=0.05),
    AdamW(lr=0.05, weight_decay=0.7, decay_biases=True),
    NAdam(lr=0.05),
    NAdam(lr=0.05, beta1=0.7, momentum_decay=0.1),
    RMSprop(lr=0.01),
    RMSprop(lr=0.02, rho=0.99, epsilon=1e-3, momentum=0.8),
    Adagrad(lr=0.3),
    Adagrad(lr=0.3, epsilon=0.01),
    Rprop(),
    Rprop(lr=0.3, eta_minus=0.6, eta_plus=1.5, step_min=0.01, step_max=0.4),
]


@pytest.fixture
def torch():
    """PyTorch in float64 throughout: NAdam would keep the product of its momenta in float32 otherwise."""
    torch = pytest.importorskip("torch")
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(default)


def torch_twin(torch, optimizer, weights, biases):
    """PyTorch's form of an optimizer, over two tensors."""
    both = [weights, biases]
    match optimizer:
        case SGD():
            return torch.optim.SGD(both, optimizer.lr, optimizer.momentum, nesterov=optimizer.nesterov)
        case AdamW():
            still = 0.0 if not optimizer.decay_biases else optimizer.weight_decay
            groups = [{"params": [weights]}, {"params": [biases], "weight_decay": still}]
            betas = (optimizer.beta1, optimizer.beta2)
            return torch.optim.AdamW(groups, optimizer.lr, betas, optimizer.epsilon, optimizer.weight_decay)
        case NAdam():
            betas = (optimizer.beta1, optimizer.beta2)
            decay = {"momentum_decay": optimizer.momentum_decay}
            return torch.optim.NAdam(both, optimizer.lr, betas, optimizer.epsilon, **decay)
        case Adam():
            return torch.optim.Adam(both, optimizer.lr, (optimizer.beta1, optimizer.beta2), optimizer.epsilon)
        case RMSprop():
            constants = {"alpha": optimizer.rho, "eps": optimizer.epsilon, "momentum": optimizer.momentum}
            return torch.optim.RMSprop(both, optimizer.lr, **constants)
        case Adagrad():
            return torch.optim.Adagrad(both, optimizer.lr, eps=optimizer.epsilon)
        case Rprop():
            etas, sizes = (optimizer.eta_minus, optimizer.eta_plus), (optimizer.step_min, optimizer.step_max)
            return torch.optim.Rprop(both, optimizer.lr, etas, sizes)


@pytest.mark.parametrize("optimizer", CASES, ids=str)
@pytest.mark.parametrize("changing", [False, True])
def test_core_takes_the_steps_of_the_reference(optimizer, changing, start):
    rates = rates_of(optimizer, changing)
    expected = descend(optimizer, rates, start)
    np.testing.assert_allclose(descend_in_core(optimizer, rates, start), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("optimizer", CASES, ids=str)
@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("descend", [descend, descend_in_core])
def test_fifty_steps_are_those_of_pytorch(torch, optimizer, changing, start, descend):
    rates = rates_of(optimizer, changing)
    weights, biases = torch.tensor(start[:WEIGHTS]), torch.tensor(start[WEIGHTS:])
    twin = torch_twin(torch, optimizer, weights, biases)
    for lr in rates:
        for group in twin.param_groups:
            group["lr"] = lr
        g = torch.tensor(gradient(np.concatenate([weights.numpy(), biases.numpy()])))
        weights.grad, biases.grad = g[:WEIGHTS], g[WEIGHTS:]
        twin.step()
    expected = np.concatenate([weights.numpy(), biases.numpy()])
    assert np.abs(expected - start).max() > 0.1
    np.testing.assert_allclose(descend(optimizer, rates, start), expected, rtol=1e-9, atol=1e-12)


# The papers' formulas for one parameter, as generators: they take a gradient and give what is added to w. The first
# value sent in by the test is the gradient, the second the rate, the third w itself.


def sgd(o):
    v, delta = 0.0, None
    while True:
        g, lr, _ = yield delta
        v = o.momentum * v + g
        delta = -lr * (g + o.momentum * v) if o.nesterov else -lr * v


def adam(o, decay=0.0):
    m, v, t, delta = 0.0, 0.0, 0, None
    while True:
        g, lr, w = yield delta
        t += 1
        m = o.beta1 * m + (1 - o.beta1) * g
        v = o.beta2 * v + (1 - o.beta2) * g * g
        mhat, vhat = m / (1 - o.beta1**t), v / (1 - o.beta2**t)
        delta = -lr * decay * w - lr * mhat / (math.sqrt(vhat) + o.epsilon)


def nadam(o):
    m, v, t, product, delta = 0.0, 0.0, 0, 1.0, None
    while True:
        g, lr, _ = yield delta
        t += 1
        mu, mu_next = (o.beta1 * (1 - 0.5 * 0.96 ** (s * o.momentum_decay)) for s in (t, t + 1))
        product *= mu
        m = o.beta1 * m + (1 - o.beta1) * g
        v = o.beta2 * v + (1 - o.beta2) * g * g
        mhat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
        delta = -lr * mhat / (math.sqrt(v / (1 - o.beta2**t)) + o.epsilon)


def rmsprop(o):
    s, v, delta = 0.0, 0.0, None
    while True:
        g, lr, _ = yield delta
        s = o.rho * s + (1 - o.rho) * g * g
        v = o.momentum * v + g / (math.sqrt(s) + o.epsilon)
        delta = -lr * v


def adagrad(o):
    s, delta = 0.0, None
    while True:
        g, lr, _ = yield delta
        s += g * g
        delta = -lr * g / (math.sqrt(s) + o.epsilon)


def rprop(o):
    size, last, delta = None, 0.0, None
    while True:
        g, lr, _ = yield delta
        size = lr if size is None else size
        if g * last > 0:
            size = min(size * o.eta_plus, o.step_max)
        elif g * last < 0:
            size = max(size * o.eta_minus, o.step_min)
            g = 0.0
        delta = -size if g > 0 else size if g < 0 else 0.0
        last = g


def paper(optimizer, parameter):
    """The generator of this parameter; biases do not decay unless asked for."""
    if isinstance(optimizer, AdamW):
        decays = parameter < WEIGHTS or optimizer.decay_biases
        return adam(optimizer, optimizer.weight_decay if decays else 0.0)
    formulas = {SGD: sgd, Adam: adam, NAdam: nadam, RMSprop: rmsprop, Adagrad: adagrad, Rprop: rprop}
    return formulas[type(optimizer)](optimizer)


@pytest.mark.parametrize("optimizer", CASES, ids=str)
@pytest.mark.parametrize("changing", [False, True])
def test_fifty_steps_are_those_of_the_paper(optimizer, changing, start):
    rates = rates_of(optimizer, changing)
    formulas = [paper(optimizer, parameter) for parameter in range(PARAMETERS)]
    for formula in formulas:
        next(formula)
    w = start.copy()
    for lr in rates:
        g = gradient(w)
        w = w + [formula.send((g[i], lr, w[i])) for i, formula in enumerate(formulas)]
    np.testing.assert_allclose(descend(optimizer, rates, start), w, rtol=1e-11, atol=1e-13)


def test_every_optimizer_is_among_the_cases():
    assert {type(optimizer) for optimizer in CASES} == set(OPTIMIZERS.values()) == set(UPDATE_RULES)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_names_stand_for_the_defaults(name):
    assert read_optimizer(name) == OPTIMIZERS[name]()


def test_rprop_shrinks_no_step_for_products_that_underflow():
    """Gradients of 1e-200 have signs, though their product is 0."""
    parameters = np.zeros(2)
    rule = UPDATE_RULES[Rprop](parameters, 2)
    for g in ([1e-200, 1e-200], [1e-200, -1e-200]):
        update(rule, Rprop(), 0.1, np.array(g))
    np.testing.assert_allclose(rule.slots["step_size"], [0.12, 0.05], rtol=1e-15)


# State.


@pytest.mark.parametrize("optimizer", CASES, ids=str)
def test_the_state_has_the_slots_that_the_optimizer_names(optimizer, start):
    rule = UPDATE_RULES[type(optimizer)](start, WEIGHTS)
    update(rule, optimizer, optimizer.lr, gradient(start))
    assert tuple(rule.slots) == optimizer.slots
    assert all(slot.shape == start.shape for slot in rule.slots.values())


@pytest.mark.parametrize("kind", [SGD, RMSprop])
def test_momentum_that_comes_later_leaves_the_other_arrays_alone(kind, start):
    rule = UPDATE_RULES[kind](start.copy(), WEIGHTS)
    update(rule, kind(), 0.1, gradient(start))
    before = {name: slot.copy() for name, slot in rule.slots.items()}
    update(rule, kind(momentum=0.9), 0.0, np.zeros(PARAMETERS))
    assert tuple(rule.slots) == kind(momentum=0.9).slots
    decay = getattr(kind(), "rho", 1.0)
    for name, slot in before.items():
        np.testing.assert_allclose(rule.slots[name], decay * slot, rtol=1e-15)


def test_nadam_with_other_constants_has_their_product_of_momenta(start):
    """It is a function of the steps taken and of the constants, not of the constants of earlier steps."""
    first, second = NAdam(), NAdam(beta1=0.5, momentum_decay=0.1)
    rule = UPDATE_RULES[NAdam](start, WEIGHTS)
    for optimizer in (first, first, first, second, second):
        update(rule, optimizer, 0.01, gradient(start))
    np.testing.assert_allclose(rule.product, math.prod(map(second.momentum, range(1, 6))), rtol=1e-15)


@pytest.mark.parametrize("kind", [Adam, AdamW, NAdam])
@pytest.mark.parametrize("other", [Adam, AdamW, NAdam])
def test_another_kind_of_optimizer_starts_afresh(kind, other):
    net = Net([3, 2], output="identity", dtype="float64", seed=0)
    X, Y = np.eye(3), np.ones((3, 2))
    for optimizer in (kind(), other(lr=0.5)):
        net.step(X, Y, optimizer)
    assert net._rule.steps == (2 if kind is other else 1)


@pytest.mark.parametrize("decay_biases", [False, True])
def test_adamw_shrinks_the_weights_by_the_decay(decay_biases, start):
    shrunk = descend(AdamW(lr=0.1, weight_decay=0.2, decay_biases=decay_biases), [0.1], start)
    plain = descend(Adam(lr=0.1), [0.1], start)
    count = PARAMETERS if decay_biases else WEIGHTS
    np.testing.assert_allclose(shrunk[:count], plain[:count] - 0.02 * start[:count], rtol=1e-13)
    np.testing.assert_array_equal(shrunk[count:], plain[count:])


# What is refused.


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "words"),
    [
        (SGD, {"lr": 0}, ValueError, ["lr", "positive"]),
        (SGD, {"lr": math.nan}, ValueError, ["lr", "nan"]),
        (SGD, {"lr": "fast"}, TypeError, ["lr", "fast"]),
        (SGD, {"momentum": 1}, ValueError, ["momentum", "[0, 1)"]),
        (SGD, {"nesterov": True}, ValueError, ["nesterov", "momentum"]),
        (SGD, {"nesterov": 1, "momentum": 0.9}, TypeError, ["nesterov", "1"]),
        (Adam, {"beta1": 1.0}, ValueError, ["beta1", "[0, 1)"]),
        (Adam, {"beta2": -0.1}, ValueError, ["beta2", "-0.1"]),
        (Adam, {"epsilon": 0.0}, ValueError, ["epsilon", "positive"]),
        (AdamW, {"weight_decay": -1}, ValueError, ["weight_decay", "-1"]),
        (AdamW, {"decay_biases": "no"}, TypeError, ["decay_biases", "no"]),
        (NAdam, {"momentum_decay": math.inf}, ValueError, ["momentum_decay", "inf"]),
        (RMSprop, {"rho": 1.0}, ValueError, ["rho", "[0, 1)"]),
        (RMSprop, {"momentum": 1.5}, ValueError, ["momentum", "1.5"]),
        (RMSprop, {"epsilon": -1e-8}, ValueError, ["epsilon", "-1e-08"]),
        (Adagrad, {"epsilon": 0}, ValueError, ["epsilon", "0"]),
        (Rprop, {"eta_minus": 1.0}, ValueError, ["eta_minus", "(0, 1)"]),
        (Rprop, {"eta_plus": 1.0}, ValueError, ["eta_plus", "above 1"]),
        (Rprop, {"step_min": 0.0}, ValueError, ["step_min", "positive"]),
        (Rprop, {"step_max": 0.05}, ValueError, ["lr", "step_max=0.05"]),
        (Rprop, {"lr": 1e-7}, ValueError, ["lr", "1e-07", "step_min"]),
    ],
    ids=str,
)
def test_constants_out_of_range_are_named(kind, arguments, error, words):
    with pytest.raises(error) as caught:
        kind(**arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("batch_size", "refused"), [(None, False), (9, True), (10, False), (11, False)])
def test_rprop_is_for_full_batches(batch_size, refused):
    net = Net([3, 2], output="identity", seed=0)
    before = net.parameters.copy()
    X, Y = np.ones((10, 3)), np.ones((10, 2))
    if refused:
        with pytest.raises(ValueError, match=r"batch_size.*None.*10 rows.*rprop.*9"):
            net.fit(X, Y, epochs=1, batch_size=batch_size, optimizer="rprop")
        np.testing.assert_array_equal(net.parameters, before)
    else:
        assert net.fit(X, Y, epochs=1, batch_size=batch_size, optimizer="rprop").epochs == 1
        assert not np.array_equal(net.parameters, before)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "rprop"])
def test_the_others_take_any_batch(name):
    check_batch_size(OPTIMIZERS[name](), 1, 10)


@pytest.mark.parametrize("load", [load_penguins, load_auto_mpg])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_reach_the_loss_of_their_twin_on_real_data(torch, load, name):
    """The same minibatches in the same order, from the same weights: in float64 the twins stay together."""
    data, optimizer = load(), OPTIMIZERS[name]()
    classes = len(data.target_names)
    arguments = {"output": "softmax", "loss": "cross_entropy"} if classes > 1 else {"output": "identity"}
    y = data.y if classes > 1 else (data.y - data.y.mean()) / data.y.std()
    net = chainrule.Net([data.X.shape[1], 12, classes], "tanh", dtype="float64", seed=0, **arguments)
    W, b = ([torch.tensor(np.array(part), requires_grad=True) for part in parts] for parts in (net.weights, net.biases))
    groups = [{"params": [*W]}, {"params": [*b], **({"weight_decay": 0.0} if name == "adamw" else {})}]
    twin = torch_twin(torch, optimizer, torch.zeros(1), torch.zeros(1))
    twin = type(twin)(groups, **{key: value for key, value in twin.defaults.items() if key in _arguments_of(twin)})
    X, Y = torch.tensor(data.X), torch.tensor(y)
    epochs, size = 20, len(X) if name == "rprop" else 32

    def loss_of(rows):
        outputs = torch.tanh(X[rows] @ W[0] + b[0]) @ W[1] + b[1]
        if classes > 1:
            return torch.nn.functional.cross_entropy(outputs, Y[rows])
        return ((outputs - Y[rows]) ** 2).sum(1).mean() / 2

    before = loss_of(slice(None)).item()
    for _ in range(epochs):
        for first in range(0, len(X), size):
            twin.zero_grad()
            loss_of(slice(first, first + size)).backward()
            twin.step()
    net.fit(data.X, y, epochs=epochs, batch_size=size, optimizer=optimizer, shuffle=False)
    expected = loss_of(slice(None)).item()
    assert expected < before
    assert net.loss(data.X, y) == pytest.approx(expected, rel=1e-6)


def _arguments_of(optimizer):
    """Constants that PyTorch's optimizer can be made with."""
    code = type(optimizer).__init__.__code__
    return code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [Adam, AdamW, NAdam, RMSprop, Adagrad])
@pytest.mark.parametrize("epsilon", [5e-324, 1e-40, 1e300])
def test_an_epsilon_beyond_the_dtype_is_none_and_no_division_by_zero(kind, epsilon, dtype):
    """Also for the weights of an input that is always 0, whose gradients are."""
    net = chainrule.Net([3, 4, 1], output="identity", dtype=dtype, seed=0)
    X = np.random.default_rng(0).standard_normal((40, 3))
    X[:, 1] = 0
    before = net.parameters.copy()
    history = net.fit(X, X[:, :1], epochs=3, optimizer=kind(epsilon=epsilon))
    assert np.isfinite(history.loss).all()
    moved = abs(net.parameters - before)
    decay = 1e-3 * abs(before) if kind is AdamW else 0
    assert (moved[4:8] <= (decay[4:8] if kind is AdamW else 0)).all()
    assert (moved <= decay + 1e-30).all() == (epsilon > 1)


@pytest.mark.parametrize("limit", ["max_norm", "clip_norm", "clip_value"])
def test_a_limit_that_is_subnormal_is_one(limit):
    net, X = chainrule.Net([3, 4, 1], dtype="float64", seed=0), np.ones((5, 3))
    before = net.parameters.copy()
    net.fit(X, X[:, :1] / 2, epochs=3, optimizer="sgd", **{limit: 1e-320})
    if limit == "max_norm":
        assert max(abs(weights).max() for weights in net.weights) < 1e-300
    else:
        np.testing.assert_allclose(net.parameters, before, atol=1e-300)


def test_a_rule_of_ones_own_is_refused():
    class Mine(chainrule.SGD):
        pass

    net = chainrule.Net([2, 1], seed=0)
    with pytest.raises(TypeError, match=r"optimizer must be one of sgd, adam, .*rprop; got .*Mine"):
        net.step(np.ones((3, 2)), np.ones((3, 1)), Mine(lr=0.1))
