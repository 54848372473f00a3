"""The constructor, the views of the arenas, and how forward, backward, update, step and fit agree."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import chainrule
from chainrule import SGD, Adam, Net, reference
from chainrule._core import permutation
from helpers import OUTPUTS_AND_LOSSES, draw, relative_error


def test_defaults_are_those_of_the_documented_interface():
    net = Net([3, 4, 1])
    config = net.config
    assert config.sizes == (3, 4, 1)
    assert config.activations == ("sigmoid", "sigmoid")
    assert (str(config.loss), config.reduction, config.bias) == ("half_squared_error", "mean", True)
    assert net.parameters.dtype == np.float32
    assert net.epochs_trained == 0
    assert net.history is None


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype("float64")])
def test_dtype_may_be_a_name_or_a_numpy_type(dtype):
    net = Net([2, 1], dtype=dtype)
    assert net.parameters.dtype == np.dtype(dtype)
    assert net.predict(np.zeros((1, 2))).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sizes": [3]}, ValueError, ["sizes", "[3]"]),
        ({"sizes": []}, ValueError, ["sizes", "[]"]),
        ({"sizes": 3}, TypeError, ["sizes", "3"]),
        ({"sizes": "34"}, TypeError, ["sizes", "34"]),
        ({"sizes": [3, 0, 1]}, ValueError, ["sizes[1]", "at least 1", "0"]),
        ({"sizes": [3, -2]}, ValueError, ["sizes[1]", "at least 1", "-2"]),
        ({"sizes": [3, 4.0, 1]}, TypeError, ["sizes[1]", "integer", "4.0"]),
        ({"sizes": [3, True]}, TypeError, ["sizes[1]", "integer", "True"]),
        ({"sizes": [3, None]}, TypeError, ["sizes[1]", "integer", "None"]),
        ({"hidden": "rulo"}, ValueError, ["hidden", "rulo", "identity", "sigmoid", "tanh", "relu"]),
        ({"hidden": "softmax"}, ValueError, ["hidden", "softmax", "relu"]),
        ({"hidden": ["tanh", "tanh"]}, ValueError, ["hidden", "2", "1"]),
        ({"hidden": ["tan"]}, ValueError, ["hidden[0]", "tan", "tanh"]),
        ({"hidden": 3}, TypeError, ["hidden", "3"]),
        ({"hidden": [3]}, TypeError, ["hidden[0]", "3"]),
        ({"output": "softmin"}, ValueError, ["output", "softmin", "softmax"]),
        ({"output": None}, TypeError, ["output", "None", "softmax"]),
        ({"loss": "mse"}, ValueError, ["loss", "mse", "squared_error", "cross_entropy"]),
        ({"loss": "log_loss", "output": "tanh"}, ValueError, ["log_loss", "sigmoid", "tanh"]),
        ({"loss": "cross_entropy"}, ValueError, ["cross_entropy", "softmax", "sigmoid"]),
        ({"output": "softmax"}, ValueError, ["softmax", "2", "1"]),
        ({"reduction": "max"}, ValueError, ["reduction", "max", "mean", "sum"]),
        ({"bias": 1}, TypeError, ["bias", "1", "True"]),
        ({"dtype": "float16"}, ValueError, ["dtype", "float16", "float32", "float64"]),
        ({"dtype": np.int32}, ValueError, ["dtype", "int32", "float32", "float64"]),
        ({"init": "uniform"}, ValueError, ["init", "uniform", "glorot_uniform", "zeros"]),
        ({"seed": -1}, ValueError, ["seed", "-1"]),
        ({"seed": 2**63}, ValueError, ["seed", str(2**63)]),
        ({"seed": 1.0}, TypeError, ["seed", "1.0"]),
        ({"seed": True}, TypeError, ["seed", "True"]),
        ({"threads": 0}, ValueError, ["threads", "0"]),
        ({"threads": "all"}, TypeError, ["threads", "all"]),
    ],
    ids=str,
)
def test_constructor_refuses_and_says_what_is_allowed(arguments, error, words):
    with pytest.raises(error) as caught:
        Net(**{"sizes": [3, 4, 1], **arguments})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ([10**6, 10**6], MemoryError),
        ([10**10, 10**10], OverflowError),
        ([2**63, 1], OverflowError),
        ([10**30, 1], OverflowError),
        ([1, 10**12], MemoryError),
        ([10**6] * 1000, MemoryError),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_absurd_sizes_are_refused_before_they_are_allocated(sizes, error, dtype):
    with pytest.raises(error, match="sizes"):
        Net(sizes, dtype=dtype)


def test_seed_fixes_the_parameters():
    same = [Net([5, 4, 3], seed=7).parameters for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], Net([5, 4, 3], seed=8).parameters)
    assert Net([2, 1], seed=np.int64(3)).seed == 3
    assert Net([2, 1], seed=2**63 - 1).seed == 2**63 - 1


def test_a_drawn_seed_is_kept_and_gives_the_same_net_again():
    first, second = Net([5, 4, 3]), Net([5, 4, 3])
    assert first.seed != second.seed
    np.testing.assert_array_equal(first.parameters, Net([5, 4, 3], seed=first.seed).parameters)


@pytest.mark.parametrize(
    ("init", "bound"),
    [("glorot_uniform", (6 / 80) ** 0.5), ("he_uniform", (6 / 50) ** 0.5), ("lecun_uniform", (3 / 50) ** 0.5)],
)
def test_initial_weights_fill_the_interval_of_their_rule(init, bound):
    W = Net([50, 30], hidden=[], init=init, seed=0, dtype="float64").weights[0]
    assert np.abs(W).max() <= bound
    assert np.abs(W).max() > 0.99 * bound
    assert W.std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert abs(W.mean()) < 0.05 * bound


def test_zeros_and_biases_start_at_zero():
    assert not Net([3, 4, 2], init="zeros").parameters.any()
    assert not any(b.any() for b in Net([3, 4, 2]).biases)


def test_initial_weights_are_the_same_whatever_the_dtype():
    double = Net([3, 4, 2], seed=1, dtype="float64").parameters
    np.testing.assert_array_equal(Net([3, 4, 2], seed=1).parameters, double.astype(np.float32))


def test_layout_of_the_arenas():
    net = Net([2, 3, 4], seed=0)
    assert [W.shape for W in net.weights] == [(2, 3), (3, 4)]
    assert [b.shape for b in net.biases] == [(3,), (4,)]
    net.parameters[:] = np.arange(2 * 3 + 3 * 4 + 3 + 4)
    np.testing.assert_array_equal(np.concatenate([v.ravel() for v in (*net.weights, *net.biases)]), net.parameters)
    net.gradients[:] = np.arange(2 * 3 + 3 * 4 + 3 + 4)
    gradients = [v.ravel() for v in (*net.weight_gradients, *net.bias_gradients)]
    np.testing.assert_array_equal(np.concatenate(gradients), net.gradients)


def test_without_biases_there_are_none():
    net = Net([2, 3, 1], bias=False)
    assert len(net.biases) == len(net.bias_gradients) == 0
    assert net.parameters.size == 9
    assert Net([2, 1], hidden=[], output="identity", bias=False).predict(np.zeros((1, 2))) == 0


def test_views_are_views():
    net = Net([3, 4, 1], seed=0)
    for view in (*net.weights, *net.biases, net.parameters):
        assert view.flags.writeable
        assert np.shares_memory(view, net.parameters)
    for view in (*net.weight_gradients, *net.bias_gradients):
        assert view.flags.writeable
        assert np.shares_memory(view, net.gradients)


def test_a_change_of_the_parameters_is_seen_by_predict():
    net = Net([2, 1], hidden=[], output="identity", seed=0)
    X = np.array([[2.0, 3.0]])
    net.parameters[:] = [10, 100, 1000]
    assert net.predict(X) == 1320
    net.weights[0][1, 0] = 200
    net.biases[0][:] = 0
    assert net.predict(X) == 620
    net.parameters[...] *= 2
    assert net.forward(X) == 1240


@pytest.mark.parametrize("train", ["fit", "step", "update"])
def test_training_is_seen_through_views_taken_before(train):
    net = Net([3, 4, 2], seed=0, dtype="float64")
    X, Y, _ = draw(net, 10)
    parameters, W, b = net.parameters, net.weights[0], net.biases[1]
    before = [parameters.copy(), W.copy(), b.copy()]
    if train == "fit":
        net.fit(X, Y, epochs=1)
    elif train == "step":
        net.step(X, Y, SGD(lr=0.1))
    else:
        net.forward(X)
        net.backward(Y)
        net.update(SGD(lr=0.1))
    for view, old in zip((parameters, W, b), before, strict=True):
        assert (view != old).all()
    np.testing.assert_array_equal(parameters, net.parameters)
    np.testing.assert_array_equal(W, net.weights[0])


def test_views_outlive_the_net():
    net = Net([300, 300], hidden=[], seed=0)
    W, expected = net.weights[0], net.weights[0].copy()
    del net
    gc.collect()
    np.testing.assert_array_equal(W, expected)


@pytest.mark.parametrize("name", ["weights", "biases", "weight_gradients", "bias_gradients", "epochs_trained"])
def test_a_view_cannot_be_replaced_by_something_the_net_would_not_see(name):
    net = Net([2, 3, 1])
    with pytest.raises(AttributeError):
        setattr(net, name, getattr(Net([2, 3, 1]), name))


def test_assignments_write_into_the_net():
    net = Net([2, 3, 1], seed=0)
    parameters, W = net.parameters, net.weights[0]
    net.weights[0] = np.full((2, 3), 0.5)
    assert (W == 0.5).all()
    net.weights[0] += 1
    net.biases[-1] -= 2
    assert (W == 1.5).all()
    assert parameters[-1] == -2
    net.parameters *= 2
    assert (W == 3).all()
    net.gradients = np.arange(net.gradients.size)
    assert net.bias_gradients[1][0] == net.gradients.size - 1
    with pytest.raises(ValueError, match="broadcast"):
        net.weights[0] = np.zeros((3, 2))


def test_repr_rebuilds_the_net():
    net = Net([3, 4, 5, 2], hidden=["relu", "tanh"], output="softmax", loss="cross_entropy", reduction="sum",
              bias=False, dtype="float64", seed=11)  # fmt: skip
    again = eval(repr(net), {"Net": Net})
    assert again.config == net.config
    np.testing.assert_array_equal(again.parameters, net.parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("output", "loss"), OUTPUTS_AND_LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_ways_to_take_a_step_agree_bit_for_bit(dtype, output, loss, reduction, weighted):
    def build():
        # With more features than go in lanes, where fit takes its sums in another order.
        return Net([33, 9, 2], output=output, loss=loss, reduction=reduction, dtype=dtype, seed=3)

    apart, together, fitted = build(), build(), build()
    X, Y, weights = draw(apart, 300)
    weights = weights if weighted else None
    optimizer = Adam(lr=0.01)
    for _ in range(3):
        outputs = apart.forward(X)
        np.testing.assert_array_equal(outputs, apart.predict(X))
        loss_before = apart.loss(X, Y, weights)
        assert apart.backward(Y, weights) == loss_before
        apart.update(optimizer)
        assert together.step(X, Y, optimizer, weights) == loss_before
        history = fitted.fit(X, Y, epochs=1, batch_size=None, optimizer=optimizer, sample_weight=weights)
        assert history.loss.tolist() == [loss_before]
    for net in (together, fitted):
        np.testing.assert_array_equal(net.parameters, apart.parameters)
        np.testing.assert_array_equal(net.gradients, apart.gradients)
    assert (apart.epochs_trained, together.epochs_trained, fitted.epochs_trained) == (0, 0, 3)


def test_fit_takes_the_minibatches_of_the_documented_order():
    fitted, stepped = (Net([3, 4, 2], seed=5, dtype="float64") for _ in range(2))
    X, Y, _ = draw(fitted, 23)
    history = fitted.fit(X, Y, epochs=3, batch_size=5, optimizer="adam")
    for epoch in range(3):
        order = permutation(5, epoch, 23)
        losses = []
        for start in range(0, 23, 5):
            rows = order[start : start + 5]
            losses += [stepped.step(X[rows], Y[rows], "adam") * len(rows)]
        assert history.loss[epoch] == pytest.approx(sum(losses) / 23, rel=1e-13)
    assert relative_error(fitted.parameters, stepped.parameters) < 1e-14


@pytest.mark.parametrize("optimizer", ["sgd", "adam", SGD(lr=0.1, momentum=0.9), Adam(lr=0.1, beta1=0.5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ten_epochs_and_ten_are_twenty(optimizer, dtype):
    once, twice = (Net([3, 4, 2], seed=5, dtype=dtype) for _ in range(2))
    X, Y, weights = draw(once, 37)
    options = {"batch_size": 8, "optimizer": optimizer, "sample_weight": weights}
    whole = once.fit(X, Y, epochs=20, **options)
    parts = [twice.fit(X, Y, epochs=10, **options) for _ in range(2)]
    np.testing.assert_array_equal(once.parameters, twice.parameters)
    np.testing.assert_array_equal(whole.loss, np.concatenate([part.loss for part in parts]))
    assert once.epochs_trained == twice.epochs_trained == 20


def test_another_kind_of_optimizer_starts_afresh():
    warm, cold = (Net([3, 4, 2], seed=5, dtype="float64") for _ in range(2))
    X, Y, _ = draw(warm, 16)
    warm.fit(X, Y, epochs=3, optimizer="adam")
    warm.step(X, Y, SGD(lr=1e-300))
    cold.parameters[:] = warm.parameters
    for net in (warm, cold):
        net.step(X, Y, "adam")
    np.testing.assert_array_equal(warm.parameters, cold.parameters)


def test_the_learning_rate_may_change_without_losing_the_moments():
    changed, restarted = (Net([3, 4, 2], seed=5, dtype="float64") for _ in range(2))
    X, Y, _ = draw(changed, 16)
    for net in (changed, restarted):
        net.fit(X, Y, epochs=3, optimizer=SGD(lr=0.1, momentum=0.9))
    restarted.step(X, Y, Adam(lr=1e-300))
    for net in (changed, restarted):
        net.step(X, Y, SGD(lr=0.2, momentum=0.9))
    assert not np.array_equal(changed.parameters, restarted.parameters)


@pytest.mark.parametrize("change", ["update", "step", "fit", "nothing"])
def test_backward_needs_a_forward_pass_with_these_parameters(change):
    net = Net([3, 4, 2], seed=0)
    X, Y, _ = draw(net, 5)
    if change != "nothing":
        net.forward(X)
        net.backward(Y)
        net.backward(Y)  # twice is allowed
    {
        "update": lambda: net.update("sgd"),
        "step": lambda: net.step(X, Y, "sgd"),
        "fit": lambda: net.fit(X, Y, epochs=1),
        "nothing": lambda: None,
    }[change]()
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(Y)


def test_a_failed_forward_does_not_leave_a_mixed_pass():
    net = Net([3, 4, 2], seed=0, dtype="float64")
    X, Y, _ = draw(net, 5)
    net.forward(X)
    expected = net.backward(Y)
    with pytest.raises(ValueError, match="finite"):
        net.forward(X * np.nan)
    assert net.backward(Y) == expected


def test_forward_again_with_other_numbers_of_rows():
    net = Net([3, 4, 2], seed=0, dtype="float64")
    for rows in (700, 3, 256, 257, 1):
        X, Y, _ = draw(net, rows, seed=rows)
        np.testing.assert_array_equal(net.forward(X), net.predict(X))
        assert net.backward(Y) == net.loss(X, Y)


def test_predict_stores_nothing():
    net = Net([3, 4, 2], seed=0, dtype="float64")
    X, Y, _ = draw(net, 5)
    other, other_Y, _ = draw(net, 9, seed=1)
    net.forward(X)
    net.backward(Y)
    gradients, parameters = net.gradients.copy(), net.parameters.copy()
    net.predict(other)
    net.loss(other, other_Y)
    np.testing.assert_array_equal(net.gradients, gradients)
    np.testing.assert_array_equal(net.parameters, parameters)
    net.backward(Y)
    np.testing.assert_array_equal(net.gradients, gradients)


def test_predict_one_row():
    net = Net([3, 4, 2], seed=0)
    X, _, _ = draw(net, 1)
    one = net.predict(X[0])
    assert one.shape == (2,)
    np.testing.assert_array_equal(one, net.predict(X)[0])


def test_rows_are_independent_of_the_rows_around_them():
    net = Net([5, 7, 3], hidden="tanh", seed=0)
    X, _, _ = draw(net, 600)
    whole = net.predict(X)
    for start, stop in ((0, 1), (255, 258), (599, 600), (17, 300)):
        np.testing.assert_array_equal(net.predict(X[start:stop]), whole[start:stop])


def test_trace_agrees_with_the_net():
    net = Net([3, 4, 2], seed=0, dtype="float64")
    X, Y, weights = draw(net, 300)
    trace = net.trace(X, Y, weights)
    np.testing.assert_array_equal(trace["Yhat"], net.predict(X))
    assert trace.loss == net.loss(X, Y, weights)
    np.testing.assert_array_equal(trace["dW1"], net.weight_gradients[0])
    assert not np.shares_memory(trace["dW1"], net.gradients)
    assert relative_error(trace["H"], X @ net.weights[0] + net.biases[0]) < 1e-15
    assert relative_error(trace["dW2"], trace["Z"].T @ trace["delta_O"]) < 1e-14


def test_weights_of_rows_are_repetitions():
    net = Net([3, 4, 2], seed=0, dtype="float64")
    X, Y, _ = draw(net, 4)
    times = np.array([1, 0, 3, 2])
    assert net.loss(X, Y, times) == pytest.approx(net.loss(X.repeat(times, 0), Y.repeat(times, 0)), rel=1e-14)
    net.forward(X)
    net.backward(Y, times)
    weighted = net.gradients.copy()
    net.forward(X.repeat(times, 0))
    net.backward(Y.repeat(times, 0))
    assert relative_error(weighted, net.gradients) < 1e-14


def test_gradients_are_the_slope_of_the_loss():
    net = Net([3, 4, 4, 2], hidden=["tanh", "sigmoid"], seed=0, dtype="float64")
    X, Y, weights = draw(net, 300)
    assert chainrule.check_gradients(net, X, Y, weights) < 1e-7


@pytest.mark.parametrize("kind", [Net, reference.Net])
def test_parameters_that_are_assigned_begin_anew(kind, tmp_path):
    """Not with the activations of the old ones, nor with the rows that these had come to."""
    X = np.random.default_rng(0).normal(size=(50, 3))
    net = kind([3, 4, 1], dtype="float64", seed=0)
    net.forward(X)
    net.parameters = net.parameters * 3
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(X[:, :1])
    if kind is Net:
        net._core.resume_epoch(20, 1.0, 20.0, 50, 10, False)
        net.parameters = net.parameters / 3
        assert net._core.epoch_in_progress is None


def test_a_run_that_a_checkpoint_restores_has_no_forward_pass(tmp_path):
    X = np.random.default_rng(0).normal(size=(50, 3))
    Net([3, 4, 1], seed=0).fit(X, X[:, :1], epochs=3, checkpoint=tmp_path / "run")
    net = Net([3, 4, 1], seed=0)
    net.forward(X)
    net.fit(X, X[:, :1], epochs=3, checkpoint=tmp_path / "run")
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(X[:, :1])
