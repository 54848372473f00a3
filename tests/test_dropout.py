"""Dropout and input noise: the core and the reference draw the same numbers, in training and nowhere else."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest

from chainrule import SGD, Net, reference
from chainrule.reference.draws import Draw
from helpers import draw, relative_error, run_python

#: Nets that put rows in lanes, with minibatches of a row, some and more, and nets that go by layers, in chunks of
#: 256 rows: sizes, minibatch, rows.
FITS = [
    ([3, 6, 1], 1, 40),
    ([3, 6, 1], 4, 41),
    ([3, 6, 1], 32, 300),
    ([20, 50, 40, 3], 7, 50),
    ([20, 50, 40, 3], 300, 700),
]


def build(net_class, sizes, hidden="softplus", dtype="float64", seed=5, **arguments):
    """A net whose hidden outputs are never 0 by themselves."""
    return net_class(sizes, hidden, "identity", dtype=dtype, seed=seed, **arguments)


@pytest.fixture(params=["core", "reference"])
def net_class(request):
    return Net if request.param == "core" else reference.Net


# The same numbers everywhere.


@pytest.mark.parametrize(("sizes", "batch_size", "rows"), FITS, ids=str)
@pytest.mark.parametrize(("dropout", "input_noise"), [(0.3, 0.0), (0.0, 0.2), (0.6, 0.5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_fits_agree_with_the_reference(sizes, batch_size, rows, dropout, input_noise, weighted):
    nets = [build(kind, sizes, dropout=dropout, input_noise=input_noise) for kind in (Net, reference.Net)]
    X, Y, weights = draw(nets[0], rows)
    weights[:3] = 0
    # Each of the last three begins with the first draw of another rule.
    for optimizer in ("adam", "adam", SGD(lr=0.01, momentum=0.9), "rmsprop", "adam"):
        options = {"epochs": 2, "batch_size": batch_size, "optimizer": optimizer, "l2": 0.01}
        histories = [net.fit(X, Y, sample_weight=weights if weighted else None, **options) for net in nets]
        assert relative_error(histories[0].loss, histories[1].loss) < 1e-11
        assert relative_error(nets[0].parameters, nets[1].parameters) < 1e-11


@pytest.mark.parametrize(("sizes", "batch_size", "rows"), FITS, ids=str)
def test_float32_and_float64_drop_the_same_units(sizes, batch_size, rows):
    kinds = [(Net, "float32"), (Net, "float64"), (reference.Net, "float32"), (reference.Net, "float64")]
    nets = [build(kind, sizes, dtype=dtype, dropout=0.4, input_noise=0.1) for kind, dtype in kinds]
    X, Y, _ = draw(nets[1], rows)
    for _ in range(2):
        traces = [net.trace(X, Y) for net in nets]
        for layer in range(len(sizes) - 2):
            dropped = [trace.activations[layer] == 0 for trace in traces]
            assert 0.2 < dropped[0].mean() < 0.6
            assert all(np.array_equal(each, dropped[0]) for each in dropped)
        for trace in traces:
            assert relative_error(trace.preactivations[0], traces[-1].preactivations[0]) < 1e-5
        for net in nets:
            net.update("adam")


@pytest.mark.parametrize("seed", [0, 2**63 - 12345])
def test_trace_agrees_with_the_reference(seed):
    nets = [
        build(kind, [5, 30, 20, 2], seed=seed, dropout=[0.2, 0.7], input_noise=0.4) for kind in (Net, reference.Net)
    ]
    X, Y, weights = draw(nets[0], 300)
    for _ in range(3):
        ours, theirs = (net.trace(X, Y, weights) for net in nets)
        assert list(ours) == list(theirs)
        for name in ours:
            assert relative_error(ours[name], theirs[name]) < 1e-12
        for net in nets:
            net.update("sgd")


SAME_BITS = """
import hashlib, json, sys
import numpy as np
from chainrule import Net, _core

count = int(sys.argv[1])
_core.thread_limit = lambda: count  # more than this machine has, too
digests = []
for sizes, batch_size, rows in [([3, 6, 1], 4, 41), ([64, 128, 128, 10], 128, 300), ([100, 257, 129, 33], 300, 640)]:
    for dtype in ("float32", "float64"):
        random = np.random.default_rng(0)
        X, Y = random.standard_normal((rows, sizes[0])), random.random((rows, sizes[-1]))
        net = Net(sizes, "gelu", "identity", dtype=dtype, seed=1, threads=count, dropout=0.3, input_noise=0.1)
        net.fit(X, Y, epochs=2, batch_size=batch_size)
        net.step(X, Y, "adam")
        digests.append(hashlib.sha256(net.parameters.tobytes() + net.forward(X).tobytes()).hexdigest())
print(json.dumps(digests))
"""


def test_any_number_of_threads_drops_the_same_units():
    one, two, three = (json.loads(run_python(SAME_BITS, threads).stdout) for threads in (1, 2, 3))
    assert one == two == three
    assert len(set(one)) == 6


@pytest.mark.parametrize("sizes", [[3, 6, 1], [20, 50, 40, 3]], ids=str)
@pytest.mark.parametrize("rows", [5, 300])
def test_a_step_is_forward_backward_and_update(net_class, sizes, rows):
    whole, apart = (build(net_class, sizes, dropout=0.3, input_noise=0.2) for _ in range(2))
    X, Y, weights = draw(whole, rows)
    for _ in range(4):
        loss = whole.step(X, Y, "adam", weights)
        apart.forward(X)
        assert apart.backward(Y, weights) == loss
        assert np.array_equal(apart.gradients, whole.gradients)
        apart.update("adam")
        assert np.array_equal(apart.parameters, whole.parameters)


@pytest.mark.parametrize(("sizes", "batch_size", "rows"), FITS, ids=str)
def test_ten_and_ten_epochs_are_twenty_also_through_a_file(sizes, batch_size, rows, tmp_path):
    once, twice = (build(Net, sizes, dropout=0.3, input_noise=0.2) for _ in range(2))
    X, Y, _ = draw(once, rows)
    once.fit(X, Y, epochs=4, batch_size=batch_size)
    twice.fit(X, Y, epochs=2, batch_size=batch_size)
    twice.save(tmp_path / "net")
    loaded = Net.load(tmp_path / "net")
    assert loaded.config == twice.config
    for net in (twice, loaded):
        net.fit(X, Y, epochs=2, batch_size=batch_size)
        assert np.array_equal(net.parameters, once.parameters)


# What is drawn.


def dropped_by(net, X):
    """Which hidden units the next step drops, (rows, units) of each hidden layer; the step is made."""
    trace = net.trace(X, np.zeros((len(X), net.config.outputs)))
    net.update(SGD(lr=1e-9))
    return [A == 0 for A in trace.activations[:-1]]


def within(count, probability, size):
    """Whether a count of `size` independent events is within 5 standard deviations of what is expected."""
    return abs(count - probability * size) < 5 * np.sqrt(probability * (1 - probability) * size)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_the_share_is_dropped_and_the_rest_scaled_up(net_class, share):
    net = build(net_class, [3, 60, 2], hidden="tanh", dropout=share)
    X, Y, _ = draw(net, 300)
    trace = net.trace(X, Y)
    dropped = trace["Z"] == 0
    assert within(dropped.sum(), share, dropped.size)
    assert all(within(count, share, 300) for count in dropped.sum(axis=0))
    assert all(within(count, share, 60) for count in dropped.sum(axis=1))
    undropped = np.tanh(trace["H"])
    np.testing.assert_allclose(trace["Z"], np.where(dropped, 0, undropped / (1 - share)), rtol=1e-13)
    slopes = np.where(dropped, 0, (1 - undropped**2) / (1 - share))
    np.testing.assert_allclose(trace["delta_H"], trace["delta_O"] @ net.weights[1].T * slopes, rtol=1e-11, atol=1e-18)


def test_layers_steps_and_seeds_have_draws_of_their_own(net_class):
    X = np.ones((200, 3))
    net, other = (build(net_class, [3, 40, 40, 2], seed=seed, dropout=0.3) for seed in (1, 2))
    draws = [*dropped_by(net, X), *dropped_by(net, X), *dropped_by(other, X)]
    for i, first in enumerate(draws):
        for second in draws[:i]:
            assert within((first & second).sum(), 0.3 * 0.3, first.size)


def test_rows_of_a_minibatch_have_draws_of_their_own(net_class):
    (dropped,) = dropped_by(build(net_class, [3, 1000, 1], dropout=0.5), np.ones((20, 3)))
    for row in range(1, 20):
        assert within((dropped[row] & dropped[row - 1]).sum(), 0.25, 1000)


def test_each_layer_has_its_share(net_class):
    net = build(net_class, [3, 40, 40, 40, 2], dropout=[0.1, 0.0, 0.8])
    dropped = dropped_by(net, np.ones((100, 3)))
    assert [within(each.sum(), share, 4000) for each, share in zip(dropped, (0.1, 1e-9, 0.8), strict=True)] == [
        True
    ] * 3
    assert not dropped[1].any()


@pytest.mark.parametrize("deviation", [0.1, 3.0])
def test_noise_is_normal(net_class, deviation):
    net = net_class([50, 50], output="identity", dtype="float64", seed=3, input_noise=deviation)
    net.weights[0][:] = np.eye(50)
    noise = np.sort((net.forward(np.full((400, 50), 7.0)) - 7).ravel())
    # The largest distance of the distributions, and what it is below in 999 of 1000 cases (Kolmogorov and Smirnov).
    expected = [statistics.NormalDist(0, deviation).cdf(value) for value in noise]
    assert np.abs(expected - (np.arange(noise.size) + 0.5) / noise.size).max() < 1.95 / np.sqrt(noise.size)


def test_numbers_are_quantiles_of_their_bits():
    numbers = Draw(seed=1, step=2)
    bits = numbers.bits(3, 40, 50)
    assert bits.dtype == np.uint32
    expected = [statistics.NormalDist().inv_cdf((int(each) + 0.5) / 2**32) for each in bits.ravel()]
    np.testing.assert_allclose(numbers.normal(3, 40, 50).ravel(), expected, rtol=1e-13)
    assert np.array_equal(numbers.kept(3, 40, 50, 0.25), bits >= 2**30)


# Training alone.


@pytest.mark.parametrize("sizes", [[3, 6, 1], [20, 50, 40, 3]], ids=str)
def test_predict_and_loss_drop_nothing(net_class, sizes):
    plain, net = build(net_class, sizes), build(net_class, sizes, dropout=0.5, input_noise=1.0)
    X, Y, weights = draw(net, 300)
    assert np.array_equal(net.predict(X), plain.predict(X))
    assert net.loss(X, Y, weights) == plain.loss(X, Y, weights)
    assert relative_error(net.forward(X), plain.forward(X)) > 0.1
    assert net.backward(Y, weights) != plain.backward(Y, weights)


def test_a_validation_loss_drops_nothing(net_class):
    net = build(net_class, [3, 6, 1], dropout=0.5, input_noise=1.0)
    X, Y, _ = draw(net, 30)
    history = net.fit(X, Y, epochs=2, validation=(X, Y))
    assert history.validation_loss[-1] == pytest.approx(net.loss(X, Y), rel=1e-13)
    assert history.loss[-1] != pytest.approx(net.loss(X, Y), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dropout": 1.0}, ValueError, "dropout"),
        ({"dropout": -0.1}, ValueError, "dropout"),
        ({"dropout": None}, TypeError, "dropout"),
        ({"dropout": [0.5]}, ValueError, "dropout lists 1 shares, but the net has 2 hidden layers"),
        ({"dropout": [0.5, np.nan]}, ValueError, r"dropout\[1\]"),
        ({"input_noise": -1.0}, ValueError, "input_noise"),
        ({"input_noise": np.inf}, ValueError, "input_noise"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_named(net_class, arguments, error, message):
    with pytest.raises(error, match=message):
        build(net_class, [3, 4, 4, 1], **arguments)
