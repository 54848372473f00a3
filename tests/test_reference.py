"""`chainrule.reference.Net` against the loop-by-loop oracle, closed forms and hand-written update rules."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule
import oracle
from chainrule import SGD, Adam
from chainrule._core import permutation
from chainrule.reference import Net
from chainrule.reference.training import EarlyStopping
from helpers import CLASSIC_ACTIVATIONS, CLASSIC_OUTPUTS_AND_LOSSES
from oracle import assert_close


def draw(net, rows, seed=0):
    """Inputs, targets that suit the net's loss, and weights; the biases of the net become numbers other than 0."""
    random = np.random.default_rng(seed)
    net.parameters[:] += 0.1 * random.standard_normal(net.parameters.size)
    X = random.standard_normal((rows, net.config.features))
    Y = random.random((rows, net.config.outputs))
    if net.config.loss.name == "cross_entropy":
        Y = random.integers(0, net.config.outputs, rows)
    return X, Y, random.random(rows)


def check_against_oracle(net, X, Y, weights):
    expected = oracle.solve(net, X, Y, weights)
    assert_close(net.forward(X), expected.activations[-1])
    assert_close(net.predict(X), expected.activations[-1])
    assert net.loss(X, Y, weights) == pytest.approx(expected.loss, rel=1e-12)
    assert net.backward(Y, weights) == pytest.approx(expected.loss, rel=1e-12)
    trace = net.trace(X, Y, weights)
    assert trace.loss == pytest.approx(expected.loss, rel=1e-12)
    assert len(net.bias_gradients) == len(net.biases) == len(trace.bias_gradients) == len(expected.db)
    for actual, wanted in [
        *zip(trace.preactivations, expected.preactivations, strict=True),
        *zip(trace.activations, expected.activations, strict=True),
        *zip(trace.deltas, expected.deltas, strict=True),
        *zip(trace.weight_gradients, expected.dW, strict=True),
        *zip(trace.bias_gradients, expected.db, strict=True),
        *zip(net.weight_gradients, expected.dW, strict=True),
        *zip(net.bias_gradients, expected.db, strict=True),
    ]:
        assert_close(actual, wanted)
    wanted_weights = [oracle.descend(W.tolist(), dW, 0.3) for W, dW in zip(net.weights, expected.dW, strict=True)]
    wanted_biases = [oracle.descend(b.tolist(), db, 0.3) for b, db in zip(net.biases, expected.db, strict=True)]
    net.update(SGD(lr=0.3))
    for actual, wanted in zip([*net.weights, *net.biases], [*wanted_weights, *wanted_biases], strict=True):
        assert_close(actual, wanted)


@pytest.mark.parametrize("hidden", CLASSIC_ACTIVATIONS)
@pytest.mark.parametrize(("output", "loss"), CLASSIC_OUTPUTS_AND_LOSSES)
def test_every_classic_activation_and_loss_against_oracle(hidden, output, loss):
    net = Net([3, 4, 2], hidden=hidden, output=output, loss=loss, dtype="float64", seed=1)
    X, Y, weights = draw(net, rows=5)
    check_against_oracle(net, X, Y, weights)


@pytest.mark.parametrize("sizes", [[3, 2], [1, 1, 2], [3, 6, 2], [4, 3, 5, 2, 3, 3]], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    ("output", "loss"), [("tanh", "squared_error"), ("sigmoid", "log_loss"), ("softmax", "cross_entropy")]
)
def test_every_depth_and_option_against_oracle(sizes, reduction, bias, weighted, output, loss):
    hidden = ["tanh", "relu", "identity", "sigmoid"][: len(sizes) - 2]
    net = Net(sizes, hidden, output, loss, reduction, bias, "float64", seed=2)
    X, Y, weights = draw(net, rows=4)
    check_against_oracle(net, X, Y, weights if weighted else None)


def test_oracle_knows_the_classic_losses():
    for _, loss in CLASSIC_OUTPUTS_AND_LOSSES:
        assert oracle.row_loss(loss, [0.3, 0.1], [0.6, 0.4], [1.0, 0.0]) > 0


def test_float32_agrees_to_its_precision():
    nets = [
        Net([5, 7, 3], output="softmax", loss="cross_entropy", dtype=dtype, seed=3) for dtype in ("float32", "float64")
    ]
    X, Y, weights = draw(nets[1], rows=9)
    nets[0].parameters[:] = nets[1].parameters
    losses = [net.step(X, Y, Adam(), weights) for net in nets]
    assert nets[0].parameters.dtype == nets[0].forward(X).dtype == np.float32
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert_close(nets[0].gradients, nets[1].gradients, 1e-5)


# Closed forms.


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_linear_regression_gradient_is_the_normal_equations(reduction):
    net = Net([3, 2], output="identity", loss="squared_error", reduction=reduction, dtype="float64", seed=0)
    X, Y, _ = draw(net, rows=6)
    residual = X @ net.weights[0] + net.biases[0] - Y
    rows = 6 if reduction == "mean" else 1
    loss = net.step(X, Y, SGD())
    assert loss == pytest.approx((residual**2).sum() / rows, rel=1e-12)
    assert_close(net.weight_gradients[0], 2 * X.T @ residual / rows)
    assert_close(net.bias_gradients[0], 2 * residual.sum(axis=0) / rows)


def test_linear_regression_descends_to_least_squares():
    net = Net([2, 1], output="identity", loss="half_squared_error", dtype="float64", seed=0)
    X, Y, _ = draw(net, rows=20)
    net.fit(X, Y, epochs=500, batch_size=None, optimizer=SGD(lr=0.5))
    solution = np.linalg.lstsq(np.column_stack([X, np.ones(20)]), Y, rcond=None)[0]
    assert_close(net.parameters, solution[:, 0], 1e-9)


@pytest.mark.parametrize(
    ("output", "loss", "value"), [("sigmoid", "log_loss", 3 * math.log(2)), ("softmax", "cross_entropy", math.log(3))]
)
def test_loss_of_an_ignorant_net(output, loss, value):
    net = Net([2, 4, 3], output=output, loss=loss, dtype="float64", init="zeros", seed=0)
    assert net.loss(np.ones((4, 2)), np.eye(3)[[0, 1, 2, 0]]) == pytest.approx(value, rel=1e-14)


def test_class_indices_are_one_hot_rows():
    net = Net([2, 4, 3], output="softmax", loss="cross_entropy", dtype="float64", seed=0)
    X, labels, _ = draw(net, rows=8)
    assert net.loss(X, labels) == net.loss(X, labels[:, np.newaxis]) == net.loss(X, np.eye(3)[labels])


def test_soft_labels_against_oracle():
    net = Net([2, 4, 3], output="softmax", loss="cross_entropy", dtype="float64", seed=0)
    X, _, weights = draw(net, rows=8)
    soft = np.random.default_rng(2).dirichlet(np.ones(3), 8)
    # Sums of 1.005 are still labels, and the gradient is still that of the loss.
    check_against_oracle(net, X, 1.005 * soft, weights)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "log_loss"), ("softmax", "cross_entropy")])
def test_logits_of_a_thousand_give_the_exact_loss(dtype, output, loss):
    net = Net([2, 2], output=output, loss=loss, bias=False, dtype=dtype, seed=0)
    net.weights[0][:] = np.eye(2)
    X = np.array([[1000.0, -1000.0]])
    assert net.loss(X, [[1.0, 0.0]]) == 0
    assert net.loss(X, [[0.0, 1.0]]) == 2000
    assert net.step(X, [[0.0, 1.0]], SGD()) == 2000
    assert np.array_equal(net.weight_gradients[0], [[1000.0, -1000.0], [-1000.0, 1000.0]])


# Update rules.


def pull(net, step):
    """Set gradients that change from step to step, and return them."""
    net.gradients[:] = np.sin(np.arange(net.gradients.size) + step)
    return net.gradients.tolist()


def test_sgd_with_momentum_against_scalar_loop():
    net = Net([2, 3, 1], dtype="float64", seed=4)
    w, v = net.parameters.tolist(), [0.0] * net.parameters.size
    for step in range(20):
        for i, g in enumerate(pull(net, step)):
            v[i] = 0.9 * v[i] + g
            w[i] = w[i] - 0.05 * v[i]
        net.update(SGD(lr=0.05, momentum=0.9))
    assert_close(net.parameters, w)


def test_adam_against_scalar_loop():
    net = Net([2, 3, 1], dtype="float64", seed=4)
    count = net.parameters.size
    w, m, v = net.parameters.tolist(), [0.0] * count, [0.0] * count
    for t in range(1, 21):
        for i, g in enumerate(pull(net, t)):
            m[i] = 0.8 * m[i] + (1 - 0.8) * g
            v[i] = 0.99 * v[i] + (1 - 0.99) * g**2
            w[i] = w[i] - 0.01 * (m[i] / (1 - 0.8**t)) / (math.sqrt(v[i] / (1 - 0.99**t)) + 1e-3)
        net.update(Adam(lr=0.01, beta1=0.8, beta2=0.99, epsilon=1e-3))
    assert_close(net.parameters, w)


def test_state_is_kept_for_a_new_rate_and_lost_for_a_new_rule():
    net, twin = (Net([2, 3, 1], dtype="float64", seed=5) for _ in range(2))
    pull(net, 0)
    net.update(SGD(lr=0.1, momentum=0.9))
    before = net.parameters.copy()
    net.update(SGD(lr=0.2, momentum=0.9))
    assert_close(before - net.parameters, 0.2 * 1.9 * net.gradients, 1e-9)
    net.update("adam")
    net.parameters[:] = twin.parameters
    for each in (net, twin):
        pull(each, 1)
        each.update(SGD(lr=0.1, momentum=0.9))
    assert np.array_equal(net.parameters, twin.parameters)


# Training.


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("batch_size", [4, 10, 99, None])
def test_fit_is_a_loop_of_steps(shuffle, reduction, weighted, batch_size):
    net, hand = (Net([3, 5, 2], "tanh", "identity", reduction=reduction, dtype="float64", seed=6) for _ in range(2))
    X, Y, weights = draw(net, rows=10)
    hand.parameters[:] = net.parameters
    history = net.fit(
        X, Y, epochs=3, batch_size=batch_size, shuffle=shuffle, sample_weight=weights if weighted else None, l2=0.1
    )
    size = min(batch_size or 10, 10)
    w = weights if weighted else np.ones(10)
    losses = []
    for epoch in range(3):
        order = permutation(hand.seed, epoch, 10) if shuffle else np.arange(10)
        total = 0.0
        for start in range(0, 10, size):
            rows = order[start : start + size]
            hand.forward(X[rows])
            loss = hand.backward(Y[rows], w[rows])
            total += loss * (w[rows].sum() if reduction == "mean" else 1)
            for dW, W in zip(hand.weight_gradients, hand.weights, strict=True):
                dW += 0.1 * W
            hand.update("adam")
        losses.append(total / (w.sum() if reduction == "mean" else 1))
    assert_close(net.parameters, hand.parameters)
    assert_close(history.loss, losses)
    assert history.epochs == net.epochs_trained == 3
    assert history.stopped == "epochs"
    assert history.validation_loss is None


def test_ten_and_ten_epochs_are_twenty():
    once, twice = (Net([3, 5, 2], dtype="float64", seed=7) for _ in range(2))
    X, Y, _ = draw(once, rows=11)
    twice.parameters[:] = once.parameters
    once.fit(X, Y, epochs=20, batch_size=3)
    for _ in range(2):
        twice.fit(X, Y, epochs=10, batch_size=3)
    assert np.array_equal(once.parameters, twice.parameters)


def test_rows_of_another_dtype_and_layout_are_cast():
    net, other = (Net([3, 4, 2], dtype="float32", seed=8) for _ in range(2))
    X = np.random.default_rng(0).integers(0, 9, (12, 3))
    Y = np.random.default_rng(1).random((12, 2))
    net.fit(X.astype(np.float32), Y, epochs=2, batch_size=5)
    other.fit(np.asfortranarray(X.astype(np.uint8)), Y.astype(np.float32), epochs=2, batch_size=5)
    assert np.array_equal(net.parameters, other.parameters)


def test_validation_restores_the_best_epoch():
    net = Net([2, 8, 1], "tanh", "identity", dtype="float64", seed=9)
    X, Y, _ = draw(net, rows=8)
    X_validation, Y_validation, weights = draw(Net([2, 1], seed=0), rows=6, seed=1)
    history = net.fit(
        X, Y, epochs=400, optimizer=Adam(lr=0.05), validation=(X_validation, Y_validation, weights), patience=20
    )
    best = int(history.validation_loss.argmin())
    assert history.stopped == "patience"
    assert history.epochs == best + 1 + 20 == len(history.validation_loss)
    assert net.loss(X_validation, Y_validation, weights) == history.validation_loss[best]


def test_patience_without_validation_watches_the_training_loss():
    net = Net([2, 1], output="identity", dtype="float64", seed=10)
    X, Y, _ = draw(net, rows=8)
    history = net.fit(X, Y, epochs=5000, batch_size=None, optimizer=SGD(lr=0.5), patience=3, tol=1e-6)
    assert history.stopped == "patience"
    assert 0 < history.loss[-4] - history.loss[-1] <= 1e-6
    assert history.loss[-7] - history.loss[-4] > 1e-6


@pytest.mark.parametrize(
    ("tol", "patience", "losses", "reason", "best"),
    [
        (0.0, None, [3.0, 3.0, 3.0, 3.0], None, None),
        (0.1, None, [3.0, 2.0, 2.5, 2.375, 2.3], "converged", None),
        (0.0, 2, [3.0, 2.0, 2.0, 1.5, 1.75, 1.5], "patience", 3),
        (0.0, 1, [3.0, 2.0, 1.0, 0.5], None, 3),
        # Falls too small by themselves count once they add up to more than tol.
        (0.5, 2, [3.0, 2.75, 2.25, 2.0, 1.5, 1.25, 1.0], "patience", 4),
    ],
)
def test_early_stopping_by_hand(tol, patience, losses, reason, best):
    stopping = EarlyStopping(tol, patience)
    parameters = np.zeros(1)
    reasons = []
    for epoch, loss in enumerate(losses):
        parameters[0] = epoch
        # Without patience the training loss is watched, with it the validation loss.
        reasons.append(stopping.judge(loss, None if patience is None else loss, parameters))
    assert reasons == [None] * (len(losses) - 1) + [reason]
    stopping.restore_best(parameters)
    assert parameters[0] == (len(losses) - 1 if best is None else best)


def test_tol_alone_stops_converged():
    net = Net([2, 1], output="identity", dtype="float64", seed=10)
    X, Y, _ = draw(net, rows=8)
    history = net.fit(X, Y, epochs=5000, batch_size=None, optimizer=SGD(lr=0.5), tol=1e-6)
    changes = np.abs(np.diff(history.loss))
    assert history.stopped == "converged"
    assert changes[-1] <= 1e-6
    assert (changes[:-1] > 1e-6).all()


def test_callback_sees_every_epoch_and_stops():
    net = Net([2, 3, 1], dtype="float64", seed=11)
    X, Y, _ = draw(net, rows=8)
    states = []

    def callback(state):
        states.append(state)
        return state.epoch == 3

    history = net.fit(X, Y, epochs=10, validation=(X, Y), callback=callback)
    assert history.stopped == "callback"
    assert [state.epoch for state in states] == [1, 2, 3]
    assert [state.loss for state in states] == history.loss.tolist()
    assert [state.validation_loss for state in states] == history.validation_loss.tolist()
    assert all(state.net is net for state in states)


def test_divergence_keeps_the_last_finite_parameters():
    net = Net([2, 3, 1], "identity", "identity", dtype="float32", seed=12)
    X, Y, _ = draw(net, rows=8)
    with pytest.raises(chainrule.DivergenceError, match=r"epoch \d+, batch \d+"):
        net.fit(X, Y, epochs=100, batch_size=4, optimizer=SGD(lr=10.0))
    assert np.isfinite(net.parameters).all()


def test_an_update_that_overflows_is_not_made():
    net = Net([2, 3, 1], dtype="float32", seed=12)
    net.gradients[:] = 1.0
    before = net.parameters.copy()
    with pytest.raises(chainrule.DivergenceError, match="update overflows"):
        net.update(SGD(lr=1e39))
    assert np.array_equal(net.parameters, before)
    net.gradients[0] = np.nan
    with pytest.raises(chainrule.DivergenceError, match="gradient is not finite"):
        net.update("adam")
    assert np.array_equal(net.parameters, before)


def test_a_gradient_whose_square_overflows_is_finite():
    net = Net([2, 1], dtype="float32", init="zeros", seed=12)
    net.gradients[:] = 1e30
    net.update(SGD(lr=1e-10))
    assert_close(net.parameters, np.full(3, -1e20), 1e-6)


# The rest of the interface.


def test_views_share_the_memory_of_the_flat_arrays():
    net = Net([3, 4, 2], seed=13)
    net.parameters[:] = np.arange(net.parameters.size)
    net.gradients[:] = -net.parameters
    flat = [view.ravel() for view in (*net.weights, *net.biases)]
    assert np.array_equal(np.concatenate(flat), np.arange(3 * 4 + 4 * 2 + 4 + 2))
    flat = [view.ravel() for view in (*net.weight_gradients, *net.bias_gradients)]
    assert np.array_equal(np.concatenate(flat), net.gradients)


def test_same_seed_same_net():
    assert np.array_equal(Net([3, 4, 1], seed=14).parameters, Net([3, 4, 1], seed=14).parameters)
    assert not np.array_equal(Net([3, 4, 1], seed=14).parameters, Net([3, 4, 1], seed=15).parameters)


def test_predict_writes_out_and_keeps_nothing():
    net = Net([3, 4, 2], seed=16)
    X = np.ones((5, 3), np.float32)
    out = np.empty((5, 2), np.float32)
    assert net.predict(X, out=out) is out
    assert np.array_equal(out, net.forward(X))
    assert np.array_equal(net.predict(X[0]), out[0])
    gradients = net.gradients.copy()
    net.predict(2 * X)
    net.loss(2 * X, np.zeros((5, 2)))
    assert np.array_equal(net.gradients, gradients)
    net.backward(np.zeros((5, 2)))
    expected = oracle.solve(net, X, np.zeros((5, 2)))
    assert_close(net.weight_gradients[0], expected.dW[0], 1e-6)
    net.update("adam")
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"\(5, 2\).*\(4, 2\)"):
        net.predict(X, out=out[:4])
    with pytest.raises(TypeError, match=r"float32.*float64"):
        net.predict(X, out=np.empty((5, 2)))


def test_wrong_input_is_refused():
    net = Net([3, 4, 2], output="softmax", loss="cross_entropy", seed=17)
    X = np.ones((5, 3))
    with pytest.raises(RuntimeError, match="forward"):
        net.backward([0, 1, 0, 1, 0])
    with pytest.raises(ValueError, match=r"4 features.*3"):
        net.forward(np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"\(rows, 3\)"):
        net.fit(np.ones(3), [0])
    with pytest.raises(ValueError, match="at least one row"):
        net.predict(np.ones((0, 3)))
    with pytest.raises(ValueError, match="0 to 1"):
        net.loss(X, [0, 1, 2, 0, 1])
    with pytest.raises(TypeError, match="integer"):
        net.loss(X, [0.0, 1.0, 0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        net.loss(X, [0, 1])
    with pytest.raises(ValueError, match="sample_weight"):
        net.loss(X, [0, 1, 0, 1, 0], [1, 1])
    with pytest.raises(ValueError, match="sample_weight"):
        net.loss(X, [0, 1, 0, 1, 0], [1, 1, 1, 1, -1])
    with pytest.raises(ValueError, match="optimizer"):
        net.update("lion")
