"""What steers a fit, in both kinds of net: schedules, metrics, monitors, and breaks after which nothing is lost."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chainrule import SGD, Adam, Net, reference
from chainrule.schedules import Exponential, ReduceOnPlateau
from helpers import draw, name_of, run_python

KINDS = {"core": Net, "reference": reference.Net}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def build(kind, sizes=(3, 4, 2), **arguments):
    return kind(list(sizes), **{"hidden": "tanh", "output": "identity", "dtype": "float64", "seed": 3, **arguments})


def scripted(values):
    """A metric that gives these values, whatever the net predicts."""
    given = iter(values)
    return lambda Y, predictions: next(given)


def joined(histories, name):
    return np.concatenate([getattr(history, name) for history in histories])


def assert_same_training(net, histories, expected_net, expected):
    np.testing.assert_array_equal(net.parameters, expected_net.parameters)
    for name in ("loss", "learning_rate"):
        np.testing.assert_array_equal(joined(histories, name), getattr(expected, name))
    assert sum(history.epochs for history in histories) == expected.epochs == net.epochs_trained


class TestSchedules:
    def test_the_rates_of_more_epochs_than_one_call_of_the_core(self, kind):
        net = kind([1, 1], hidden=[], seed=0)
        history = net.fit([[1.0]], [[1.0]], epochs=4100, optimizer=SGD(lr=0.5), schedule=Exponential(0.999))
        np.testing.assert_allclose(history.learning_rate, 0.5 * 0.999 ** np.arange(4100), rtol=1e-12)

    def test_rates_are_those_of_the_steps(self, kind):
        X, Y, _ = draw(build(kind), 20)
        scheduled, stepped = build(kind), build(kind)
        history = scheduled.fit(X, Y, epochs=3, schedule=Exponential(0.5))
        np.testing.assert_array_equal(history.learning_rate, [1e-3, 5e-4, 2.5e-4])
        for rate in history.learning_rate:
            stepped.fit(X, Y, epochs=1, optimizer=Adam(lr=rate))
        np.testing.assert_array_equal(scheduled.parameters, stepped.parameters)

    def test_a_plateau_lowers_the_rate(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        history = net.fit(X, Y, epochs=8, optimizer=SGD(lr=0.1), schedule=ReduceOnPlateau(patience=1, tol=0),
                          metrics={"m": scripted([3, 2, 2, 2, 1, 4, 5, 0])}, monitor="m")  # fmt: skip
        np.testing.assert_allclose(history.learning_rate, 0.1 * 0.1 ** np.array([0, 0, 0, 0, 1, 1, 1, 2]), rtol=1e-12)

    def test_rates_stop_where_the_fit_does(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        history = net.fit(X, Y, epochs=100_000, batch_size=None, optimizer=SGD(lr=0.1), tol=1e-2, schedule="step")
        assert history.stopped == "converged"
        assert len(history.learning_rate) == len(history.loss) == history.epochs < 100

    def test_the_state_of_the_schedule_is_the_nets(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        for epochs, falls in ((3, 2), (2, 4)):
            net.fit(X, -Y, epochs=epochs, optimizer=SGD(lr=1e-3), schedule=ReduceOnPlateau(patience=0, tol=0.9))
            assert net.schedule_state["factor"] == pytest.approx(0.1**falls)
        net.fit(X, Y, epochs=1)
        assert net.schedule_state is None


class TestMetrics:
    def test_are_taken_on_the_validation_data_else_on_the_training_data(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)

        def worst(Y, predictions):
            return np.abs(Y - predictions).max()

        for validation in (None, (X[:5], -Y[:5])):
            history = net.fit(
                X, Y, epochs=3, validation=validation, metrics={"worst": worst, "rows": lambda Y, _: len(Y)}
            )
            X_judged, Y_judged = validation or (X, Y)
            assert list(history.metrics) == ["worst", "rows"]
            assert history.metrics["worst"].dtype == history.metrics["rows"].dtype == np.float64
            assert history.metrics["worst"].shape == (3,)
            assert history.metrics["worst"][-1] == worst(Y_judged, net.predict(X_judged))
            assert history.metrics["rows"].tolist() == 3 * [len(Y_judged)]
        assert net.fit(X, Y, epochs=1).metrics == {}

    def test_a_vector_of_targets_meets_a_vector_of_predictions(self, kind):
        net = build(kind, (3, 1), hidden=[])
        X, Y, _ = draw(net, 20)
        shapes = []
        for targets in (Y, Y.ravel().tolist()):
            net.fit(X, targets, epochs=1, metrics={"m": lambda Y, P: shapes.append((Y.shape, P.shape)) or 0})
        assert shapes == [((20, 1), (20, 1)), ((20,), (20,))]

    def test_labels_stay_labels(self, kind):
        net = build(kind, output="softmax", loss="cross_entropy")
        X, Y, _ = draw(net, 20)

        def accuracy(Y, predictions):
            return np.mean(predictions.argmax(axis=1) == Y)

        history = net.fit(X, Y, epochs=2, validation=0.25, metrics=[accuracy])
        assert (5 * history.metrics["accuracy"]).tolist() == (5 * history.metrics["accuracy"]).round().tolist()

    def test_are_shown_to_the_callback_with_the_rate(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        states = []
        history = net.fit(X, Y, epochs=3, metrics={"m": scripted([1, np.float32(2), np.array(3)])},
                          schedule=Exponential(), callback=states.append)  # fmt: skip
        assert [state.metrics for state in states] == [{"m": 1.0}, {"m": 2.0}, {"m": 3.0}]
        assert history.metrics["m"].tolist() == [1, 2, 3]
        assert [state.learning_rate for state in states] == history.learning_rate.tolist()

    def test_do_not_change_the_training(self, kind):
        X, Y, _ = draw(build(kind), 20)
        measured, plain = build(kind), build(kind)
        measured.fit(X, Y, epochs=5, metrics={"m": lambda Y, predictions: 1}, monitor=("m", "max"))
        plain.fit(X, Y, epochs=5)
        np.testing.assert_array_equal(measured.parameters, plain.parameters)

    @pytest.mark.parametrize(
        ("value", "error"), [(math.nan, ValueError), (None, TypeError), ("1", TypeError), (np.ones(1), TypeError),
                             (True, TypeError), (1j, TypeError)], ids=repr)  # fmt: skip
    def test_that_are_no_numbers_are_named(self, kind, value, error):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        metrics = {"fine": lambda Y, predictions: 7, "broken": scripted([1.0, value])}
        with pytest.raises(error, match="'broken'"):
            net.fit(X, Y, epochs=5, metrics=metrics)
        assert net.history.epochs == net.epochs_trained == 2
        assert net.history.stopped == "callback"
        assert net.history.metrics["fine"].tolist() == [7, 7]
        np.testing.assert_array_equal(net.history.metrics["broken"], [1, math.nan])


class TestMonitor:
    @pytest.mark.parametrize("direction", ["max", "min"])
    @pytest.mark.parametrize("validated", [True, False])
    def test_the_best_epoch_by_a_metric_is_put_back(self, kind, direction, validated):
        net, seen = build(kind), []
        X, Y, _ = draw(net, 20)
        sign = 1 if direction == "max" else -1
        values = [sign * value for value in (0.1, 0.5, 0.9, 0.9, 0.2, 0.1, 2.0)]
        history = net.fit(X, Y, epochs=20, patience=3, metrics={"m": scripted(values)}, monitor=("m", direction),
                          validation=(X, -Y) if validated else None,
                          callback=lambda state: seen.append(net.parameters.copy()))  # fmt: skip
        assert (history.stopped, history.epochs) == ("patience", 6)
        np.testing.assert_array_equal(net.parameters, seen[2])
        assert (seen[2] != seen[5]).any()

    def test_of_a_name_alone_less_is_better(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        for monitor in ("m", ("m", "min")):
            metrics = {"m": scripted([3.0, 2.0, 2.5, 2.5])}
            assert net.fit(X, Y, epochs=20, patience=2, metrics=metrics, monitor=monitor).epochs == 4

    def test_an_improvement_has_to_exceed_tol(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        history = net.fit(X, Y, epochs=20, patience=2, tol=0.5, monitor=("m", "max"),
                          metrics={"m": scripted([1.0, 1.25, 1.75, 2.0, 2.25])})  # fmt: skip
        assert history.epochs == 5

    def test_the_training_loss_though_there_is_a_validation_loss(self, kind):
        """Targets of the validation set are far off, so that its loss rises, while the training loss falls."""
        X, Y, _ = draw(build(kind), 20)
        epochs = [
            build(kind).fit(X, Y, epochs=10, validation=(X, 10 - 20 * Y), patience=2, monitor=monitor,
                            optimizer=SGD(lr=0.05)).epochs
            for monitor in ("loss", "validation_loss", None)
        ]  # fmt: skip
        assert epochs == [10, 3, 3]

    def test_without_patience_it_stops_nothing(self, kind):
        net = build(kind)
        X, Y, _ = draw(net, 20)
        history = net.fit(X, Y, epochs=20_000, batch_size=None, optimizer=SGD(lr=0.1), tol=1e-2, monitor="loss")
        assert history.stopped == "converged"


class TestBreaks:
    """After a break, as many epochs as are left give the bits of a training without one."""

    SCHEDULES = pytest.mark.parametrize(
        "schedule", [None, ReduceOnPlateau(patience=0, tol=0.05), lambda epoch, lr: 0.9 * lr], ids=name_of
    )

    @SCHEDULES
    @pytest.mark.parametrize("batch_size", [1, 7, 300, None])
    def test_of_time(self, kind, schedule, batch_size):
        broken, whole = build(kind), build(kind)
        X, Y, weights = draw(broken, 1000)
        options = {"batch_size": batch_size, "schedule": schedule, "sample_weight": weights}
        epochs = 6 if batch_size == 1 else 12
        expected = whole.fit(X, Y, epochs=epochs, **options)
        histories = []
        while broken.epochs_trained < epochs:
            histories.append(broken.fit(X, Y, epochs=epochs - broken.epochs_trained, time_limit=0.003, **options))
        assert {history.stopped for history in histories} <= {"time", "epochs"}
        assert_same_training(broken, histories, whole, expected)

    def test_of_time_within_an_epoch(self, kind):
        net, whole = build(kind), build(kind)
        X, Y, _ = draw(net, 200_000 if kind is Net else 20_000)
        before = net.parameters.copy()
        history = net.fit(X, Y, epochs=1, batch_size=4, time_limit=0.01)
        assert (history.stopped, history.epochs, net.epochs_trained) == ("time", 0, 0)
        assert 0.01 <= history.seconds < 2
        assert (net.parameters != before).any()
        histories = [history, net.fit(X, Y, epochs=1, batch_size=4)]
        assert_same_training(net, histories, whole, whole.fit(X, Y, epochs=1, batch_size=4))

    def test_of_time_after_which_the_best_epoch_is_put_back(self, kind):
        """It has not seen the rows of the epoch that was begun, which the next fit would leave out."""
        net, other = build(kind), build(kind)
        X, Y, _ = draw(net, 200_000 if kind is Net else 20_000)
        options = {"batch_size": 4, "shuffle": False, "patience": 50, "validation": (X[:20], Y[:20])}
        for limit in (0.05 * 2**k for k in range(8)):
            history = net.fit(X, Y, epochs=100, time_limit=limit, **options)
            if history.epochs > 0:
                break
        assert history.stopped == "time"
        other.fit(X, Y, epochs=0)
        other.parameters[:] = net.parameters
        histories = [n.fit(X, Y, batch_size=4, shuffle=False, epochs=1, optimizer="sgd") for n in (net, other)]
        np.testing.assert_array_equal(histories[0].loss, histories[1].loss)
        np.testing.assert_array_equal(net.parameters, other.parameters)

    @pytest.mark.parametrize("change", [{"batch_size": 8}, {"shuffle": False}, {"validation": 0.1}], ids=str)
    def test_another_kind_of_epoch_begins_anew(self, kind, change):
        net, other = build(kind), build(kind)
        X, Y, _ = draw(net, 200_000 if kind is Net else 20_000)
        net.fit(X, Y, epochs=1, batch_size=4, time_limit=0.01)
        # The same state, but for the epoch that was begun.
        other.fit(X, Y, epochs=0)
        other.parameters[:] = net.parameters
        options = {"batch_size": 4, "epochs": 1, "optimizer": "sgd", **change}
        np.testing.assert_array_equal(net.fit(X, Y, **options).loss, other.fit(X, Y, **options).loss)
        np.testing.assert_array_equal(net.parameters, other.parameters)

    @SCHEDULES
    def test_of_a_callback_that_interrupts(self, kind, schedule):
        broken, whole = build(kind), build(kind)
        X, Y, _ = draw(broken, 50)

        def interrupt(state):
            if state.epoch == 7:
                raise KeyboardInterrupt

        options = {"schedule": schedule, "optimizer": Adam(lr=0.01)}
        with pytest.raises(KeyboardInterrupt):
            broken.fit(X, Y, epochs=20, callback=interrupt, **options)
        first = broken.history
        assert (first.stopped, first.epochs) == ("interrupted", 7)
        histories = [first, broken.fit(X, Y, epochs=13, **options)]
        assert_same_training(broken, histories, whole, whole.fit(X, Y, epochs=20, **options))

    @pytest.mark.parametrize("metric", [KeyboardInterrupt, ZeroDivisionError])
    def test_of_a_metric_that_raises(self, kind, metric):
        broken, whole = build(kind), build(kind)
        X, Y, _ = draw(broken, 50)
        calls = itertools.count(1)

        def fail(Y, predictions):
            if next(calls) == 7:
                raise metric
            return 1.0

        options = {"schedule": ReduceOnPlateau(patience=0, tol=0.05)}
        with pytest.raises(metric):
            broken.fit(X, Y, epochs=20, metrics=[fail], **options)
        histories = [broken.history, broken.fit(X, Y, epochs=13, **options)]
        np.testing.assert_array_equal(histories[0].metrics["fail"], [*6 * [1.0], math.nan])
        assert_same_training(broken, histories, whole, whole.fit(X, Y, epochs=20, **options))

    SCRIPT = """
import os, signal, threading
import numpy as np
from chainrule import Net, reference
from chainrule.schedules import ReduceOnPlateau

def build():
    return {kind}([10, 20, 1], "tanh", "identity", seed=0)

random = np.random.default_rng(0)
X, Y = random.standard_normal(({rows}, 10)), random.standard_normal(({rows}, 1))
options = {{"batch_size": 5, "schedule": {schedule}, "validation": {validation}}}
armed = []

def interrupt(signum, frame):
    if armed:
        armed.clear()
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt)
whole = build()
expected = whole.fit(X, Y, epochs={epochs}, **options)

# The machine may have been slower while the time was taken than it is now: then the fit is broken more often.
for parts in (12, 50, 200, 800):
    broken, interrupts, histories = build(), 0, []
    while broken.epochs_trained < {epochs}:
        timer = threading.Timer(expected.seconds / parts, os.kill, (os.getpid(), signal.SIGINT))
        before = broken.history
        try:
            armed.append(1)
            timer.start()
            broken.fit(X, Y, epochs={epochs} - broken.epochs_trained, **options)
            armed.clear()
        except KeyboardInterrupt:
            interrupts += broken.history is not before
            whole_fit = broken.epochs_trained == {epochs}
            assert whole_fit or broken.history is before or broken.history.stopped == "interrupted"
        timer.cancel()
        if broken.history is not before:
            histories.append(broken.history)
    if interrupts >= 2:
        break

assert interrupts >= 2, interrupts
assert signal.getsignal(signal.SIGINT) is interrupt
assert (broken.parameters == whole.parameters).all()
for name in ("loss", "learning_rate"):
    assert (np.concatenate([getattr(h, name) for h in histories]) == getattr(expected, name)).all()
"""

    @pytest.mark.parametrize("schedule", [None, ReduceOnPlateau(patience=0, tol=0.05)], ids=repr)
    @pytest.mark.parametrize(
        ("kind", "rows", "epochs"),
        [("Net", 300, 2000), ("Net", 20_000, 50), ("reference.Net", 50, 500), ("reference.Net", 1000, 25)],
    )
    def test_of_real_interrupts(self, kind, rows, epochs, schedule):
        run_python(self.SCRIPT.format(kind=kind, rows=rows, epochs=epochs, schedule=schedule, validation=None))

    @pytest.mark.parametrize(("kind", "rows", "epochs"), [("Net", 5000, 50), ("reference.Net", 100, 100)])
    def test_of_real_interrupts_while_the_validation_loss_is_taken(self, kind, rows, epochs):
        """Validation data so many that most interrupts come between two epochs."""
        validation = "(np.tile(X, (50, 1)), np.tile(Y, (50, 1)))"
        run_python(self.SCRIPT.format(kind=kind, rows=rows, epochs=epochs, schedule=None, validation=validation))


def test_progress_is_shown_and_changes_nothing(kind, capsys):
    pytest.importorskip("rich")
    watched, plain = build(kind), build(kind)
    X, Y, _ = draw(plain, 20)
    plain.fit(X, Y, epochs=3)
    assert capsys.readouterr().out == ""
    seen = []
    watched.fit(X, Y, epochs=3, progress=True, callback=seen.append)
    assert "3/3" in capsys.readouterr().out
    assert len(seen) == 3
    np.testing.assert_array_equal(watched.parameters, plain.parameters)
