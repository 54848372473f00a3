"""Training that leaves the finite numbers stops with an error and keeps the last finite parameters."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, Adam, DivergenceError, Net, reference
from helpers import draw, small_net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("logit", [1000.0, -1000.0])
def test_logits_of_a_thousand_give_exact_losses(dtype, logit):
    """The losses are taken from the logits: 1000 where the net is sure and wrong, 0 where it is right."""
    X = np.ones((1, 1))
    binary = Net([1, 1], hidden=[], loss="log_loss", bias=False, dtype=dtype)
    binary.parameters[:] = logit
    right = float(logit > 0)
    assert binary.predict(X) == right
    assert binary.loss(X, [right]) == 0
    assert binary.loss(X, [1 - right]) == 1000
    assert binary.step(X, [1 - right], SGD(lr=1.0)) == 1000
    assert binary.gradients == (1 if logit > 0 else -1)

    classes = Net([1, 3], hidden=[], output="softmax", loss="cross_entropy", bias=False, dtype=dtype)
    classes.parameters[:] = [logit, 0, -logit]
    right = 0 if logit > 0 else 2
    assert classes.predict(X)[0, right] == 1
    assert classes.predict(X).sum() == 1
    assert classes.loss(X, [right]) == 0
    assert classes.loss(X, [1]) == 1000
    assert classes.loss(X, [2 - right]) == 2000
    assert classes.step(X, [2 - right], SGD(lr=1.0)) == 2000
    assert np.isfinite(classes.gradients).all()


@pytest.mark.parametrize("hidden", ["sigmoid", "tanh", "relu", "identity"])
def test_saturated_hidden_units_stay_finite(hidden):
    net = Net([1, 4, 1], hidden=hidden, output="identity", seed=0)
    net.weights[0][...] = [[1e4, -1e4, 1e20, -1e20]]
    outputs = net.predict(np.array([[1.0], [-1.0]]))
    assert np.isfinite(outputs).all()


def test_is_both_kinds_of_error():
    assert issubclass(DivergenceError, FloatingPointError)
    assert issubclass(DivergenceError, ValueError)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SGD(lr=1e6), SGD(lr=1e6, momentum=0.9)], ids=str)
@pytest.mark.parametrize("extra", [{}, {"patience": 3}, {"tol": 1e-3}, {"validation": True, "patience": 3}], ids=str)
def test_a_learning_rate_far_too_large(dtype, optimizer, extra):
    net = small_net(dtype)
    X, Y, _ = draw(net, 50)
    net.weights[-1][...] *= 1000
    options = {**extra, **({"validation": (X, Y)} if "validation" in extra else {})}
    with pytest.raises(DivergenceError, match=r"epoch \d+, batch \d+"):
        net.fit(X, Y, epochs=1000, batch_size=8, optimizer=optimizer, **options)
    assert np.isfinite(net.parameters).all()
    assert net.history.stopped == "diverged"
    assert len(net.history.loss) == net.history.epochs == net.epochs_trained
    assert np.isfinite(net.history.loss).all()


def test_the_step_whose_loss_overflows_is_not_applied():
    net = Net([1, 1], hidden=[], output="identity", bias=False, seed=0)
    net.parameters[:] = 1e25
    for train in (
        lambda: net.step([[1.0]], [[1.0]], "sgd"),
        lambda: net.fit([[1.0]], [[1.0]], optimizer="adam", epochs=3),
    ):
        with pytest.raises(DivergenceError, match="loss is not finite"):
            train()
        assert net.parameters == np.float32(1e25)
    assert net.history.epochs == 0


def test_the_batch_named_is_the_one_that_diverged():
    net = Net([1, 1], hidden=[], output="identity", bias=False, init="zeros")
    X = np.array([[1.0], [1.0], [1e25]], np.float32)
    with pytest.raises(DivergenceError, match="epoch 1, batch 3: the loss is not finite"):
        net.fit(X, np.ones((3, 1)), batch_size=1, shuffle=False, optimizer=SGD(lr=0.5))
    assert net.parameters == 0.75


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=str)
def test_a_gradient_that_is_not_finite(net, X, Y, bad, optimizer):
    net.step(X, Y, optimizer)
    before, again = net.parameters.copy(), small_net()
    again.step(X, Y, optimizer)
    net.gradients[3] = bad
    with pytest.raises(DivergenceError, match="gradient is not finite"):
        net.update(optimizer)
    np.testing.assert_array_equal(net.parameters, before)
    # Nor has the state of the optimizer changed.
    net.step(X, Y, optimizer)
    again.step(X, Y, optimizer)
    np.testing.assert_array_equal(net.parameters, again.parameters)


@pytest.mark.parametrize(
    ("optimizer", "gradient"),
    [
        (SGD(lr=1e10), 1e30),
        (SGD(lr=1e300), 1.0),
        (SGD(lr=1e-10, momentum=0.99), 3e38),
        (Adam(lr=1e300), 1.0),
        (Adam(), 1e30),
    ],
    ids=str,
)
def test_an_update_that_overflows(net, X, Y, optimizer, gradient):
    net.gradients[3] = gradient
    with pytest.raises(DivergenceError, match="update overflows"):  # noqa: PT012 (a momentum takes several steps)
        for _ in range(3):
            net.update(optimizer)
    assert np.isfinite(net.parameters).all()
    # The net can be trained on: no infinite moment stays behind.
    kind = Adam() if isinstance(optimizer, Adam) else SGD(momentum=0.9)
    before = net.loss(X, Y)
    for _ in range(20):
        net.step(X, Y, kind)
    assert net.loss(X, Y) < before


def test_an_l2_penalty_that_overflows(net, X, Y):
    before = [weights.copy() for weights in net.weights]
    with pytest.raises(DivergenceError, match=r"update overflows; likely cause: l2=1e\+300"):
        net.fit(X, Y, l2=1e300)
    with pytest.raises(DivergenceError, match="gradient is not finite"):
        net.fit(X, Y, l2=1e300, clip_norm=1.0)
    assert np.isfinite(net.parameters).all()
    for weights, expected in zip(net.weights, before, strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_parameters_that_are_not_finite(net, X, Y):
    net.parameters[0] = np.nan
    with pytest.raises(DivergenceError, match="epoch 1, batch 1"):
        net.fit(X, Y)


def fill(values, number):
    return lambda state: values.fill(number)


@pytest.mark.parametrize("sizes", [[3, 3], [3, 70, 3]], ids=["lanes", "blocks"])
@pytest.mark.parametrize("batch_size", [8, 64])
def test_class_indices_and_weights_that_change_during_a_fit_are_told(sizes, batch_size):
    rng = np.random.default_rng(0)
    X, labels, weights = rng.normal(size=(64, 3)), rng.integers(0, 3, 64), np.ones(64)
    for changed, number, words in (
        (labels, 99, "Y changed during the fit, to class indices that are out of range"),
        (labels, -1, "Y changed during the fit, to class indices that are out of range"),
        (weights, -1, "sample_weight changed during the fit, to numbers below 0 or NaN"),
        (weights, np.nan, "sample_weight changed during the fit, to numbers below 0 or NaN"),
        (weights, 0, "the weights of all rows are 0; .* sample_weight changed during the fit, to 0 for every row"),
    ):
        labels[:], weights[:] = rng.integers(0, 3, 64), 1
        net = Net(sizes, output="softmax", loss="cross_entropy", seed=0)
        options = {"batch_size": batch_size, "sample_weight": weights, "epochs": 3}
        with pytest.raises(DivergenceError, match=f"epoch 2, batch 1: .*{words}"):
            net.fit(X, labels, callback=fill(changed, number), **options)
        assert np.isfinite(net.parameters).all()
        assert net.history.epochs == 1


@pytest.mark.parametrize("kind", [Net, reference.Net])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_that_all_become_0_during_a_fit_begin_the_epoch_anew(kind, reduction):
    rng = np.random.default_rng(0)
    X, Y, weights = rng.normal(size=(64, 3)), rng.normal(size=(64, 1)), np.ones(64)
    net, twin = (kind([3, 4, 1], reduction=reduction, dtype="float64", seed=0) for _ in range(2))
    with pytest.raises(DivergenceError, match="epoch 2, batch 1: the weights of all rows are 0") as caught:
        net.fit(X, Y, sample_weight=weights, callback=fill(weights, 0), epochs=3, optimizer=SGD(lr=0.01))
    assert (caught.value.epoch, net.epochs_trained) == (2, 1)
    weights.fill(1)
    net.fit(X, Y, sample_weight=weights, epochs=2, optimizer=SGD(lr=0.01))
    twin.fit(X, Y, sample_weight=weights, epochs=3, optimizer=SGD(lr=0.01))
    np.testing.assert_array_equal(net.parameters, twin.parameters)


@pytest.mark.parametrize("kind", [Net, reference.Net])
@pytest.mark.parametrize("patience", [None, 5])
def test_the_fit_after_a_divergence_begins_an_epoch(kind, patience):
    """It went on with the batch that had diverged, and with the losses of the batches before."""
    X = np.random.default_rng(0).normal(size=(320, 3))
    Y = X.sum(axis=1, keepdims=True)
    bad = np.where(np.arange(320)[:, None] < 200, 1e6, 1e300) * Y
    net, twin = (kind([3, 4, 1], dtype="float64", output="identity", seed=1) for _ in range(2))
    start = net.parameters.copy()
    with pytest.raises(DivergenceError, match="epoch 1, batch 7"):
        net.fit(X, bad, epochs=3, optimizer=SGD(lr=1e-9), shuffle=False, patience=patience)
    assert np.any(net.parameters != start)
    net.parameters = start
    histories = [n.fit(X, Y, epochs=2, optimizer=SGD(lr=0.01), shuffle=False) for n in (net, twin)]
    np.testing.assert_array_equal(histories[0].loss, histories[1].loss)
    np.testing.assert_array_equal(net.parameters, twin.parameters)


def test_an_epoch_that_two_fits_gave_no_weight_is_no_divergence():
    """The first fit was interrupted after rows that weighed nothing in it; the others weigh nothing in the second."""
    X, weights = np.random.default_rng(0).random((100, 3)), np.zeros(100)
    weights[:50] = 1
    net = Net([3, 1], seed=0)
    net._core.resume_epoch(50, 0.0, 0.0, 100, 10, False)
    history = net.fit(X, X[:, :1], sample_weight=weights, batch_size=10, shuffle=False, epochs=2)
    assert np.isnan(history.loss[0])
    assert history.loss[1] > 0


@pytest.mark.parametrize("kind", [Net, reference.Net])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_of_validation_that_all_become_0_are_no_loss_of_0(kind, reduction):
    rng = np.random.default_rng(0)
    X, Y, weights = rng.normal(size=(64, 3)), rng.normal(size=(64, 1)), np.ones(64)
    history = kind([3, 4, 1], reduction=reduction, dtype="float64", seed=0).fit(
        X, Y, validation=(X, Y, weights), callback=fill(weights, 0), epochs=2
    )
    assert history.validation_loss[0] > 0
    assert np.isnan(history.validation_loss[1])


@pytest.mark.parametrize("kind", [Net, reference.Net])
@pytest.mark.parametrize("hidden", [[], [4], [70, 70]], ids=str)
@pytest.mark.parametrize(
    ("output", "loss", "far"),
    [
        ("identity", "squared_error", {"Y": 3e38}),
        ("identity", "half_squared_error", {"X": 1e30}),
        ("exp", "poisson", {"X": 1e6}),
        ("softmax", "squared_error", {"Y": 3e38}),
        ("softmax", "cross_entropy", {"X": 1e30}),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 16, None])
def test_a_row_of_weight_0_counts_for_nothing_however_far_it_is(kind, hidden, output, loss, far, batch_size):
    """0 times an infinite loss was NaN: of a mask for what is missing, and a number that says that it is."""
    rng = np.random.default_rng(0)
    X, Y, weights = rng.normal(size=(40, 3)), rng.uniform(0.1, 0.9, size=(40, 2)), np.ones(40)
    weights[::5] = 0
    Y = Y / Y.sum(axis=1, keepdims=True)
    near = {"X": X.copy(), "Y": Y.copy()}
    {"X": X, "Y": Y}[next(iter(far))][::5] = next(iter(far.values()))
    nets = [kind([3, *hidden, 2], output=output, loss=loss, hidden="relu", dtype="float32", seed=0) for _ in range(2)]
    results = []
    for net, (rows, targets) in zip(nets, [(X, Y), (near["X"], near["Y"])], strict=True):
        net.forward(rows)
        losses = [net.loss(rows, targets, weights), net.backward(targets, weights)]
        gradients = net.gradients.copy()
        options = {"epochs": 2, "batch_size": batch_size, "shuffle": False, "optimizer": SGD(lr=0.01)}
        history = net.fit(rows, targets, sample_weight=weights, validation=(rows, targets, weights), **options)
        results.append([*losses, *history.loss, *history.validation_loss, *gradients, *net.parameters])
    assert np.isfinite(results[0]).all()
    np.testing.assert_allclose(results[0], results[1], rtol=2e-4, atol=1e-5)
