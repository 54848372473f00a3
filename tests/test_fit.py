"""The fit: its record, why it stops, validation, penalty, weights and callbacks."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, FitState, Net, reference
from chainrule._core import permutation
from helpers import draw, relative_error


def build(dtype="float64", **arguments):
    return Net([3, 4, 2], dtype=dtype, seed=3, **{"hidden": "tanh", "output": "identity", **arguments})


@pytest.fixture
def net():
    return build()


@pytest.fixture
def data(net):
    return draw(net, 23)


class TestHistory:
    def test_of_a_fit_that_runs_through(self, net, data):
        X, Y, _ = data
        history = net.fit(X, Y, epochs=7, validation=(X[:5], Y[:5]))
        assert history.stopped == "epochs"
        assert history.epochs == net.epochs_trained == 7
        assert history.loss.shape == history.validation_loss.shape == (7,)
        assert history.loss.dtype == np.float64
        assert history.validation_loss[-1] == net.loss(X[:5], Y[:5])
        assert history.seconds > 0
        assert net.history is history

    def test_without_validation_there_is_none(self, net, data):
        assert net.fit(*data[:2], epochs=1).validation_loss is None

    def test_no_epochs(self, net, data):
        before = net.parameters.copy()
        history = net.fit(*data[:2], epochs=0, validation=data[:2], patience=2)
        assert (history.epochs, len(history.loss), history.stopped) == (0, 0, "epochs")
        np.testing.assert_array_equal(net.parameters, before)

    @pytest.mark.parametrize("epochs", [4096, 4097])
    def test_more_epochs_than_one_call_of_the_core(self, epochs):
        net = Net([1, 1], hidden=[], seed=0)
        history = net.fit([[1.0]], [[1.0]], epochs=epochs)
        assert history.epochs == len(history.loss) == epochs

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    @pytest.mark.parametrize("weighted", [True, False])
    def test_loss_is_that_of_each_row_before_its_update(self, reduction, weighted):
        fitted, stepped = build(reduction=reduction), build(reduction=reduction)
        X, Y, weights = draw(fitted, 23)
        weights = weights if weighted else None
        used = np.ones(23) if weights is None else weights
        history = fitted.fit(X, Y, epochs=2, batch_size=5, sample_weight=weights, optimizer=SGD(lr=0.1))
        for epoch in range(2):
            order, total = permutation(3, epoch, 23), 0.0
            for start in range(0, 23, 5):
                rows = order[start : start + 5]
                loss = stepped.step(X[rows], Y[rows], SGD(lr=0.1), used[rows])
                total += loss * (used[rows].sum() if reduction == "mean" else 1)
            expected = total / used.sum() if reduction == "mean" else total
            assert history.loss[epoch] == pytest.approx(expected, rel=1e-13)


class TestBatches:
    @pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 24, 1000, None])
    @pytest.mark.parametrize("shuffle", [True, False])
    def test_any_batch_size_agrees_with_the_reference(self, data, batch_size, shuffle):
        net, twin = build(), reference.Net([3, 4, 2], hidden="tanh", output="identity", dtype="float64", seed=3)
        options = {"epochs": 3, "batch_size": batch_size, "shuffle": shuffle, "l2": 0.1}
        histories = [n.fit(*data[:2], **options) for n in (net, twin)]
        assert relative_error(net.parameters, twin.parameters) < 1e-12
        assert relative_error(histories[0].loss, histories[1].loss) < 1e-12

    def test_without_shuffle_rows_come_in_their_order(self, data):
        X, Y, _ = data
        fitted, stepped = build(), build()
        fitted.fit(X, Y, epochs=2, batch_size=10, shuffle=False, optimizer="sgd")
        for _ in range(2):
            for rows in (slice(0, 10), slice(10, 20), slice(20, 23)):
                stepped.step(X[rows], Y[rows], "sgd")
        assert relative_error(fitted.parameters, stepped.parameters) < 1e-14

    def test_large_shuffled_data_agrees_with_small_steps(self):
        """Beyond 2^16 rows the order comes from another algorithm."""
        fitted, stepped = (Net([2, 1], hidden=[], dtype="float64", seed=9) for _ in range(2))
        X, Y, _ = draw(fitted, 2**16 + 100)
        fitted.fit(X, Y, epochs=1, batch_size=2**14, optimizer="sgd")
        order = permutation(9, 0, len(X))
        for start in range(0, len(X), 2**14):
            rows = order[start : start + 2**14]
            stepped.step(X[rows], Y[rows], "sgd")
        assert relative_error(fitted.parameters, stepped.parameters) < 1e-14

    def test_seeds_make_fits_repeatable(self, data):
        nets = [build() for _ in range(2)]
        for net in nets:
            net.fit(*data[:2], epochs=5, batch_size=4)
        np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


class TestPenalty:
    def test_is_on_weights_alone_and_in_no_loss(self, data):
        X, Y, _ = data
        plain, penalised = build(), build()
        losses = [net.fit(X, Y, epochs=1, batch_size=None, optimizer=SGD(lr=0.1), l2=l2).loss[0]
                  for net, l2 in ((plain, 0.0), (penalised, 0.3))]  # fmt: skip
        assert losses[0] == losses[1]
        before = build()
        for one, other, old in zip(penalised.weights, plain.weights, before.weights, strict=True):
            np.testing.assert_allclose(one, other - 0.1 * 0.3 * old, rtol=1e-12)
        for one, other in zip(penalised.biases, plain.biases, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_is_the_gradient_of_half_the_sum_of_squares(self, data):
        X, Y, _ = data
        net, l2, lr = build(), 0.3, 1e-6

        def objective():
            return net.loss(X, Y) + l2 / 2 * sum((W**2).sum() for W in net.weights)

        before = objective()
        net.fit(X, Y, epochs=1, batch_size=None, optimizer=SGD(lr=lr), l2=l2)
        slope = (net.gradients**2).sum()
        assert (before - objective()) / lr == pytest.approx(slope, rel=1e-4)


class TestWeights:
    def test_a_row_of_no_weight_is_as_good_as_gone(self, data):
        X, Y, weights = data
        weights[[3, 10]] = 0
        with_zeros, without = build(), build()
        keep = weights > 0
        with_zeros.fit(X, Y, epochs=5, batch_size=None, sample_weight=weights)
        without.fit(X[keep], Y[keep], epochs=5, batch_size=None, sample_weight=weights[keep])
        assert relative_error(with_zeros.parameters, without.parameters) < 1e-12

    def test_a_minibatch_of_no_weight_changes_nothing(self, data):
        X, Y, weights = data
        weights[:] = 0
        weights[20:] = 1
        fitted, stepped = build(), build()
        fitted.fit(X, Y, epochs=1, batch_size=10, sample_weight=weights, shuffle=False, optimizer="sgd")
        stepped.step(X[20:], Y[20:], "sgd")
        assert relative_error(fitted.parameters, stepped.parameters) < 1e-14


class TestStopping:
    @pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
    def test_converged_at_the_first_small_change(self, net, data, tol):
        history = net.fit(*data[:2], epochs=100_000, batch_size=None, optimizer=SGD(lr=0.1), tol=tol)
        assert history.stopped == "converged"
        changes = np.abs(np.diff(history.loss))
        assert changes[-1] <= tol
        assert (changes[:-1] > tol).all()
        assert history.epochs == len(history.loss) == net.epochs_trained < 100_000

    def test_tol_of_zero_never_stops(self):
        net = Net([1, 1], hidden=[], output="identity", init="zeros")
        history = net.fit([[1.0]], [[0.0]], epochs=50)
        assert history.stopped == "epochs"
        assert not history.loss.any()

    def test_each_fit_compares_with_its_own_epochs(self, data):
        net = build()
        net.fit(*data[:2], epochs=100_000, batch_size=None, optimizer=SGD(lr=0.1), tol=1e-6)
        assert net.fit(*data[:2], epochs=10, batch_size=None, optimizer=SGD(lr=0.1), tol=1e-6).epochs == 2

    @pytest.mark.parametrize("tol", [0.0, 1e-3])
    @pytest.mark.parametrize("patience", [1, 3, 10])
    @pytest.mark.parametrize("validated", [True, False])
    def test_patience(self, net, data, tol, patience, validated):
        X, Y, _ = data
        validation = (X[15:], Y[15:]) if validated else None
        history = net.fit(X[:15], Y[:15], epochs=20_000, batch_size=None, optimizer=SGD(lr=0.3, momentum=0.9),
                          patience=patience, tol=tol, validation=validation)  # fmt: skip
        monitored = history.validation_loss if validated else history.loss
        best, waited, expected = np.inf, 0, None
        for epoch, loss in enumerate(monitored, start=1):
            best, waited = (loss, 0) if loss < best - tol else (best, waited + 1)
            if waited == patience:
                expected = epoch
                break
        assert history.epochs == expected
        assert history.stopped == "patience"
        if validated:
            assert net.loss(X[15:], Y[15:]) == best

    @pytest.mark.parametrize("stop", ["patience", "epochs", "callback"])
    def test_the_parameters_of_the_best_epoch_are_put_back(self, net, data, stop):
        X, Y, _ = data
        seen = []

        def remember(state):
            seen.append((state.validation_loss, net.parameters.copy()))
            return stop == "callback" and state.epoch == 40

        # Targets of noise: the validation loss falls, then rises as the net learns the noise.
        options = {"patience": 5 if stop == "patience" else 1000, "epochs": 2000 if stop == "patience" else 60}
        history = net.fit(X[:15], -Y[:15], batch_size=None, optimizer=SGD(lr=0.3, momentum=0.9),
                          validation=(X[15:], Y[15:]), callback=remember, **options)  # fmt: skip
        assert history.stopped == stop
        best = min(range(len(seen)), key=lambda epoch: seen[epoch][0])
        assert best < len(seen) - 1, "the best epoch must not be the last, or this tests nothing"
        np.testing.assert_array_equal(net.parameters, seen[best][1])
        assert history.validation_loss.tolist() == [loss for loss, _ in seen]

    def test_without_validation_or_patience_the_last_parameters_stay(self, net, data):
        X, Y, _ = data
        for options in ({"patience": 1000}, {"validation": (X, -Y)}):
            net, last = build(), []
            net.fit(
                X, Y, epochs=20, callback=lambda state, last=last: last.append(state.net.parameters.copy()), **options
            )
            np.testing.assert_array_equal(net.parameters, last[-1])

    def test_validation_changes_nothing_in_the_training(self, data):
        X, Y, weights = data
        nets = [build() for _ in range(3)]
        validations = [None, (X[:9], Y[:9]), (X[:9], Y[:9], weights[:9])]
        histories = [net.fit(X, Y, epochs=5, validation=v) for net, v in zip(nets, validations, strict=True)]
        for net, history in zip(nets[1:], histories[1:], strict=True):
            np.testing.assert_array_equal(net.parameters, nets[0].parameters)
            np.testing.assert_array_equal(history.loss, histories[0].loss)
        assert histories[2].validation_loss[-1] == nets[2].loss(X[:9], Y[:9], weights[:9])

    @pytest.mark.parametrize("rows", [1, 255, 256, 257, 1000])
    def test_validation_of_any_size(self, net, data, rows):
        Xv, Yv, weights = draw(net, rows, seed=1)
        history = net.fit(*data[:2], epochs=2, batch_size=4, validation=[Xv, Yv, weights])
        assert history.validation_loss[-1] == net.loss(Xv, Yv, weights)


class TestCallback:
    def test_sees_every_epoch(self, net, data):
        states: list[FitState] = []
        history = net.fit(*data[:2], epochs=4, validation=data[:2], callback=states.append)
        assert [state.epoch for state in states] == [1, 2, 3, 4]
        assert [state.loss for state in states] == history.loss.tolist()
        assert [state.validation_loss for state in states] == history.validation_loss.tolist()
        assert all(state.net is net for state in states)
        seconds = [state.seconds for state in states]
        assert seconds == sorted(seconds)
        assert 0 < seconds[0] <= history.seconds

    def test_does_not_change_the_training(self, data):
        watched, alone = build(), build()
        watched.fit(*data[:2], epochs=9, callback=lambda state: None)
        alone.fit(*data[:2], epochs=9)
        np.testing.assert_array_equal(watched.parameters, alone.parameters)

    @pytest.mark.parametrize("truth", [True, 1, "stop", [0]])
    def test_stops_with_anything_true(self, net, data, truth):
        history = net.fit(*data[:2], epochs=9, callback=lambda state: truth if state.epoch == 3 else 0)
        assert (history.stopped, history.epochs, net.epochs_trained) == ("callback", 3, 3)

    @pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
    def test_exceptions_are_the_same_object_outside(self, net, data, error):
        def fail(state):
            if state.epoch == 2:
                raise error

        with pytest.raises(type(error)) as caught:
            net.fit(*data[:2], epochs=9, callback=fail)
        assert caught.value is error
        assert net.history.epochs == net.epochs_trained == 2
        assert net.history.stopped == ("interrupted" if isinstance(error, KeyboardInterrupt) else "callback")
        net.fit(*data[:2], epochs=1)

    def test_may_use_and_change_the_net(self, net, data):
        X, Y, _ = data

        def work(state):
            assert state.net.predict(X).shape == (23, 2)
            assert state.net.loss(X, Y) > 0
            state.net.forward(X)
            state.net.backward(Y)
            state.net.parameters[:] = 0

        net.fit(X, Y, epochs=3, optimizer=SGD(lr=1e-300), callback=work)
        assert not net.parameters.any()
        with pytest.raises(RuntimeError, match="forward"):
            net.fit(X, Y, epochs=1, callback=lambda state: state.net.backward(Y))

    def test_many_epochs_are_not_slowed_by_the_record(self):
        """The time of an epoch does not grow with the epochs before it."""

        def last_and_least_quarter():
            times = []
            net = Net([1, 1], hidden=[], seed=0)
            net.fit([[1.0]], [[1.0]], epochs=20_000, callback=lambda state: times.append(state.seconds))
            quarters = [times[i + 4999] - times[i] for i in (0, 5000, 10_000, 15_000)]
            return quarters[-1], min(quarters)

        # Another try where something else had the processor.
        assert any(last < 5 * least for last, least in (last_and_least_quarter() for _ in range(3)))

    def test_a_fit_within_a_fit(self, net, data):
        def inner(state):
            state.net.fit(*data[:2], epochs=1, optimizer="sgd")

        history = net.fit(*data[:2], epochs=3, callback=inner)
        assert (history.epochs, net.epochs_trained) == (3, 6)
        assert np.isfinite(net.parameters).all()
