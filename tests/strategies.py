"""What the property tests draw: memory laid out in any way, nets of any kind, and ways to train them."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from chainrule import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop, Rprop
from chainrule.config import ACTIVATIONS, OUTPUT_OF_LOSS
from chainrule.schedules import Constant, Cosine, Exponential, InverseScaling, ReduceOnPlateau, Step
from helpers import INTEGERS

#: Every dtype that a net takes, and others that it must not take for numbers.
ACCEPTED = ("bool", *INTEGERS, "float16", "float32", "float64")
REFUSED = ("complex64", "complex128", "longdouble", "U4", "S4", "M8[s]", "m8[s]", "f4,f4", "V4")

DTYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(1, 40)


def share_of_examples(share):
    """Settings of a test whose examples take long, for which a share of the usual number has to do."""
    return settings(max_examples=max(1, round(share * settings.default.max_examples)))


# Memory.


@st.composite
def layouts(draw, values):
    """The same numbers at any place, in any order, at any distances; or the first of an axis repeated along it.

    What lies between and around them is NaN or -1, and found by whoever reads too much.
    """
    strides, reach = [0] * values.ndim, values.itemsize
    for axis in draw(st.permutations(range(values.ndim))):
        if values.shape[axis] == 1:  # its stride means nothing
            strides[axis] = draw(st.sampled_from([0, 1, 3, -12, 2**40, values.itemsize]))
            continue
        stride = reach * draw(st.sampled_from([1, 1, 1, 2, 3])) + draw(st.sampled_from([0, 0, 0, 1, 3, 8]))
        strides[axis] = draw(st.sampled_from([1, 1, -1])) * stride
        reach += stride * (values.shape[axis] - 1)
    if draw(st.integers(0, 7)) == 0:
        # Rows, for probabilities in columns would not sum to 1.
        values, strides[0] = np.broadcast_to(values[:1], values.shape), 0
    return placed(values, strides, before=draw(st.sampled_from([0, 64, 1, 3])), writable=draw(st.booleans()))


def placed(values, strides, before=0, writable=True):
    """Put numbers into memory of their own, at these strides, so many bytes behind an aligned address."""
    spans = [stride * (size - 1) for stride, size in zip(strides, values.shape, strict=True)]
    offset = before - sum(span for span in spans if span < 0)
    memory = np.full(offset + sum(span for span in spans if span > 0) + values.itemsize + 64, 0xFF, np.uint8)
    view = np.ndarray(values.shape, values.dtype, memory, offset, strides)
    view[...] = values
    view.flags.writeable = writable
    return view


def memory_of(view):
    """All bytes that the view is a part of."""
    return view if view.base is None else memory_of(view.base)


def contiguous(view):
    """A copy in the order of C."""
    return None if view is None else np.array(view, order="C")


# Numbers.


def numbers(random, dtype, shape):
    """Small numbers of a dtype."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(-5 if kind == "i" else 0, 2 if kind == "b" else 6, shape).astype(dtype)


def targets(random, dtype, rows, config):
    """Targets of a dtype that suit the loss."""
    if config.loss.name == "cross_entropy" and np.dtype(dtype).kind != "f":
        return random.integers(0, 2 if dtype == "bool" else config.outputs, rows).astype(dtype)
    if config.loss.name == "cross_entropy":
        return random.dirichlet(np.ones(config.outputs), rows).astype(dtype)
    values = numbers(random, dtype, (rows, config.target_columns))
    if config.loss.name == "log_loss":
        return (np.abs(values) % 1 if np.dtype(dtype).kind == "f" else values % 2).astype(dtype)
    if config.loss.name == "poisson":
        return np.abs(values)
    return np.sign(values) if config.loss.name == "hinge" and dtype != "bool" else values


def row_weights(random, dtype, rows):
    """Weights of rows, some of them 0."""
    weights = np.abs(numbers(random, dtype, rows))
    weights[random.random(rows) < 0.1] = 0
    weights[0] = 1
    return weights


# Nets.

#: Losses that go with every activation of the output.
FREE_LOSSES = ("squared_error", "half_squared_error", "absolute_error", "huber", "huber(0.3)", "quantile(0.3)",
               "quantile(0.2, 0.7)", "log_cosh", "hinge")  # fmt: skip
BOUND_LOSSES = ("log_loss", "poisson", "cross_entropy", "cross_entropy(0.1)")
#: Without kinks, at which numbers that differ in rounding part.
SMOOTH_LOSSES = ("squared_error", "half_squared_error", "log_cosh", *BOUND_LOSSES)
FREE_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name not in ("exp", "softmax"))
SMOOTH_ACTIVATIONS = ("identity", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus")

#: Hidden layers of a few units, one wide layer, and layers that go through the tile.
HIDDEN_SIZES = (
    st.lists(st.integers(1, 8), max_size=3)
    | st.lists(st.integers(20, 70), min_size=1, max_size=1)
    | st.lists(st.integers(17, 40), min_size=2, max_size=2)
    | st.lists(st.integers(1, 2), min_size=2, max_size=3)
)


@st.composite
def net_arguments(draw, smooth=False, draws=True, dtype=DTYPES):
    """Arguments of any net; with `draws` also dropout and noise."""
    hidden_sizes = draw(HIDDEN_SIZES)
    losses = SMOOTH_LOSSES if smooth else FREE_LOSSES + BOUND_LOSSES
    activations = (
        SMOOTH_ACTIVATIONS if smooth else tuple(name for name in ACTIVATIONS if name not in ("exp", "softmax"))
    )
    loss = draw(st.sampled_from(losses))
    output = OUTPUT_OF_LOSS.get(loss.split("(")[0]) or draw(st.sampled_from([*activations, "softmax"]))
    outputs = draw(st.integers(1, 5))
    outputs = 2 * outputs if loss.count(",") else max(outputs, 2) if output == "softmax" else outputs
    features = draw(st.integers(1, 9) | st.just(40))
    shares = st.sampled_from([0.0, 0.0, 0.2, 0.5])
    return {
        "sizes": [features, *hidden_sizes, outputs],
        "hidden": [draw(st.sampled_from(activations)) for _ in hidden_sizes],
        "output": output,
        "loss": loss,
        "reduction": draw(st.sampled_from(["mean", "mean", "sum"])),
        "bias": draw(st.booleans()),
        "dtype": draw(dtype),
        "seed": draw(SEEDS),
        "dropout": [draw(shares) for _ in hidden_sizes] if draws else 0.0,
        "input_noise": draw(st.sampled_from([0.0, 0.0, 0.1])) if draws else 0.0,
    }


# Training.


def rates(smallest, largest):
    """Numbers that are as likely to be small as large."""
    return st.floats(math.log(smallest), math.log(largest)).map(math.exp)


@st.composite
def optimizers(draw, least_epsilon=1e-8):
    """Any optimizer."""
    lr, momentum = draw(rates(1e-4, 0.05)), draw(st.sampled_from([0.0, 0.5, 0.9]))
    epsilon = draw(rates(least_epsilon, 10 * least_epsilon))
    decays = {"beta1": draw(st.sampled_from([0.0, 0.5, 0.9])), "beta2": draw(st.sampled_from([0.5, 0.9, 0.999]))}
    return draw(
        st.sampled_from(
            [
                SGD(lr, momentum=momentum, nesterov=momentum > 0 and draw(st.booleans())),
                Adam(lr, epsilon=epsilon, epsilon_hat=draw(st.booleans()), **decays),
                AdamW(lr, epsilon=epsilon, weight_decay=draw(st.floats(0, 0.5)), decay_biases=draw(st.booleans())),
                NAdam(lr, epsilon=epsilon, momentum_decay=draw(st.floats(0, 0.1)), **decays),
                RMSprop(lr, rho=draw(st.sampled_from([0.5, 0.9])), epsilon=epsilon, momentum=momentum),
                Adagrad(lr, epsilon=epsilon),
                Rprop(lr, eta_plus=draw(st.floats(1.01, 1.5)), step_max=1.0),
            ]
        )
    )


def schedules(epochs):
    """Any schedule that knows the epochs of the net's life, so that parts of a fit are the whole."""
    return st.one_of(
        st.just(Constant()),
        st.builds(Step, every=st.integers(1, epochs), factor=st.floats(0.1, 1)),
        st.builds(Exponential, factor=st.floats(0.5, 1)),
        st.builds(InverseScaling, power=st.floats(0.1, 2)),
        st.builds(Cosine, epochs=st.just(epochs), warmup=st.integers(0, epochs - 1), end=st.floats(0, 1)),
        st.builds(ReduceOnPlateau, factor=st.floats(0.1, 0.9), patience=st.integers(0, 3), tol=st.floats(0, 0.3)),
    )


@st.composite
def fit_options(draw, rows, epochs, smooth=False):
    """Arguments of `fit` that neither stop it nor say on which data."""
    optimizer = draw(optimizers(least_epsilon=1e-3 if smooth else 1e-8).filter(lambda o: not (smooth and o.full_batch)))
    limits = st.none() | rates(0.01, 3)
    return {
        "epochs": epochs,
        "optimizer": optimizer,
        "batch_size": None if optimizer.full_batch else draw(st.none() | st.integers(1, rows + 3)),
        "schedule": draw(schedules(epochs)) if optimizer.has_rate else None,
        "shuffle": draw(st.booleans()),
        "l1": 0.0 if smooth else draw(st.sampled_from([0.0, 0.0, 1e-3])),
        "l2": draw(st.sampled_from([0.0, 0.0, 0.1])),
        "max_norm": draw(limits),
        "clip_norm": draw(limits),
        "clip_value": draw(limits),
        "penalize_biases": draw(st.booleans()),
    }


def frozen_layers(layers):
    """Layers to be frozen, seldom all."""
    return st.sets(st.integers(0, layers - 1), max_size=layers) | st.just(set())


@st.composite
def data(draw, config, rows=ROWS, held_out=5):
    """Inputs, targets and weights (or None) of a fit, and validation data (or None), all contiguous."""
    random, count, dtype = np.random.default_rng(draw(SEEDS)), draw(rows), config.dtype

    def part(size):
        X, Y = numbers(random, dtype, (size, config.features)), targets(random, dtype, size, config)
        return X, Y, row_weights(random, dtype, size) if draw(st.booleans()) else None

    return *part(count), part(held_out) if draw(st.booleans()) else None


def assert_same_bits(actual, expected):
    """Arrays and numbers, however nested, are equal, and NaN nowhere."""
    for one, other in itertools.zip_longest(actual, expected):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        assert not np.isnan(one).any()
        np.testing.assert_array_equal(one, other)
