"""A fit and what comes from outside: Ctrl-C, and other threads that use the net or nets of their own."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import numpy as np
import pytest

from chainrule import SGD, DivergenceError, Net
from helpers import draw, run_python


class TestInterruption:
    SCRIPT = """
import os, signal, threading, time
import numpy as np
from chainrule import Net

net = Net([{sizes}], seed=0)
random = np.random.default_rng(0)
X, Y = random.random(({rows}, net.config.features)), random.random(({rows}, net.config.outputs))
net.fit(X, Y, epochs=1)
trained, pressed = net.epochs_trained, []

def press():
    time.sleep(0.3)
    pressed.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    net.fit(X, Y, epochs=10**9, batch_size={batch_size}, {options})
except KeyboardInterrupt:
    print(time.perf_counter() - pressed[0])
assert net.history.stopped == "interrupted"
assert net.history.epochs == len(net.history.loss) == net.epochs_trained - trained
assert np.isfinite(net.parameters).all() and np.isfinite(net.history.loss).all()
assert net.fit(X, Y, epochs=1).stopped == "epochs"
"""

    @pytest.mark.parametrize(
        ("sizes", "rows", "batch_size", "options"),
        [
            ("2, 1", 1, 1, ""),
            ("3, 4, 1", 100, 32, ""),
            ("3, 4, 1", 100, None, "callback=lambda state: None"),
            ("3, 4, 1", 100_000, 32, "validation=(X[:1000], Y[:1000]), patience=10**9"),
            ("64, 64, 1", 5000, None, ""),
            ("300, 300, 300", 2000, 256, ""),
            ("300, 300, 300", 50_000, None, ""),
        ],
        ids=str,
    )
    def test_ctrl_c_ends_a_long_fit_soon(self, sizes, rows, batch_size, options):
        script = self.SCRIPT.format(sizes=sizes, rows=rows, batch_size=batch_size, options=options)
        # About 0.03 on an idle machine; another try where something else had the processor.
        assert any(float(run_python(script).stdout) < 0.3 for _ in range(3))

    def test_a_handler_that_does_not_raise_lets_the_fit_go_on(self):
        script = """
import os, signal, threading
import numpy as np
from chainrule import Net
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
net = Net([30, 40, 1], seed=0)
history = net.fit(np.ones((5000, 30)), np.ones((5000, 1)), epochs=10**6, callback=lambda state: bool(seen))
assert history.stopped == "callback" and seen == [1]
"""
        run_python(script)

    def test_a_fit_in_another_thread_leaves_signals_to_the_main_one(self):
        script = """
import os, signal, threading, time
import numpy as np
from chainrule import Net
net, stop = Net([3, 4, 1], seed=0), []
thread = threading.Thread(target=lambda: net.fit(np.ones((50, 3)), np.ones((50, 1)), epochs=10**9,
                                                 callback=lambda state: bool(stop)))
thread.start()
try:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(10)
except KeyboardInterrupt:
    stop.append(1)
thread.join()
assert net.history.stopped == "callback"
"""
        run_python(script)


class TestThreads:
    @pytest.fixture
    def training(self):
        """A net that another thread trains, in one long call of the core, for as long as the test runs."""
        net = Net([20, 30, 1], seed=0)
        X, Y = np.ones((5000, 20), np.float32), np.ones((5000, 1), np.float32)

        def train():
            with pytest.raises(DivergenceError):
                net.fit(X, Y, epochs=4096, optimizer=SGD(lr=1e-6))

        thread = threading.Thread(target=train)
        thread.start()
        while net.epochs_trained < 2:
            time.sleep(0.001)
        yield net
        X[:] = np.nan  # read in place, it ends the fit
        thread.join()
        assert net.history.stopped == "diverged"
        assert np.isfinite(net.parameters).all()

    @pytest.mark.parametrize("method", ["predict", "loss", "forward", "step", "update", "fit", "trace", "save"])
    def test_a_net_in_training_is_busy(self, training, tmp_path, method):
        net, X, Y = training, np.ones((1, 20)), np.ones((1, 1))
        call = {
            "predict": lambda: net.predict(X),
            "loss": lambda: net.loss(X, Y),
            "forward": lambda: net.forward(X),
            "step": lambda: net.step(X, Y, "sgd"),
            "update": lambda: net.update("sgd"),
            "fit": lambda: net.fit(X, Y, epochs=1),
            "trace": lambda: net.trace(X, Y),
            "save": lambda: net.save(tmp_path / "net"),
        }[method]
        with pytest.raises(RuntimeError, match="the net is busy: another thread, or a call that"):
            call()

    def test_parameters_of_a_net_in_training_cannot_be_replaced(self, training):
        with pytest.raises(RuntimeError, match="the net is busy: another thread, or a call that"):
            training.parameters = 1e9
        assert abs(training.parameters).max() < 1e9

    @pytest.mark.parametrize("method", ["step", "forward", "fit", "trace"])
    def test_others_cannot_end_a_fit_between_its_epochs(self, method):
        """A callback leaves the net to others between epochs: they may read it, but training is the fit's."""
        X, Y = np.ones((9, 3)), np.ones((9, 1))
        net, expected = Net([3, 1], seed=0), Net([3, 1], seed=0).fit(X, Y, epochs=40)
        arguments = {"step": (X, Y, "sgd"), "forward": (X,), "fit": (X, Y), "trace": (X, Y)}[method]
        started, over = threading.Event(), threading.Event()
        outcomes = []

        def intrude():
            started.wait()
            while not over.is_set():
                with contextlib.suppress(RuntimeError):  # in the middle of an epoch
                    assert np.isfinite(net.predict(X[:1])).all()
                with pytest.raises(
                    RuntimeError,
                    match="the net is busy: another thread, or a call that",
                ):
                    getattr(net, method)(*arguments)
                outcomes.append("busy")

        def look(state):
            started.set()
            while len(outcomes) < state.epoch:  # each epoch waits for another intrusion
                time.sleep(0.0001)
            if state.epoch == 40:
                over.set()
                thread.join()

        thread = threading.Thread(target=intrude)
        thread.start()
        history = net.fit(X, Y, epochs=40, callback=look)
        assert history.stopped == "epochs"
        np.testing.assert_array_equal(history.loss, expected.loss)

    def test_a_net_is_free_again_however_its_fit_ended(self):
        net, X, Y = Net([3, 1], seed=0), np.ones((9, 3)), np.ones((9, 1))

        def fail(state):
            net.step(X, Y, "sgd")  # the fit's own thread may
            net.fit(X, Y, epochs=1)
            raise KeyError("the callback's")

        for callback, error in ((fail, KeyError), (None, contextlib.nullcontext)):
            with pytest.raises(error) if callback else error():
                net.fit(X, Y, epochs=2, callback=callback)
            thread = threading.Thread(target=lambda: net.fit(X, Y, epochs=3))
            thread.start()
            thread.join()
            assert len(net.history.loss) == 3

    def test_a_prediction_under_way_does_not_end_a_fit(self):
        net = Net([500, 500, 500], seed=0)
        X, Y = np.ones((3000, 500), np.float32), np.ones((50, 500), np.float32)
        stop = threading.Event()

        def predict():
            while not stop.is_set():
                with contextlib.suppress(RuntimeError):
                    net.predict(X)

        thread = threading.Thread(target=predict)
        thread.start()
        # The callback lets the other thread in between epochs, and the next epoch waits for it.
        history = net.fit(X[:50], Y, epochs=15, callback=lambda state: time.sleep(0.01))
        stop.set()
        thread.join()
        assert history.stopped == "epochs"
        assert history.epochs == 15

    def test_other_nets_are_not(self, training):
        other = Net([20, 1], hidden=[], seed=0)
        X, Y, _ = draw(other, 200)
        expected = other.predict(X)
        for _ in range(50):
            np.testing.assert_array_equal(other.predict(X), expected)
        other.fit(X, Y, epochs=2)
        assert training.epochs_trained > 0

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_threads_predict_side_by_side(self, dtype):
        net = Net([30, 40, 5], dtype=dtype, seed=0)
        X, Y, _ = draw(net, 3000)
        parts = [slice(i * 400, i * 400 + 401) for i in range(7)]
        expected = [net.predict(X[part]) for part in parts]
        loss = net.loss(X, Y)
        wrong = []

        def predict(part, right):
            out = np.empty_like(right)
            for _ in range(30):
                if not (net.predict(X[part], out=out) == right).all() or net.loss(X, Y) != loss:
                    wrong.append(part)

        threads = [threading.Thread(target=predict, args=pair) for pair in zip(parts, expected, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_nets_train_side_by_side(self):
        def trained():
            net = Net([20, 30, 2], seed=1)
            X, Y, _ = draw(net, 500)
            net.fit(X, Y, epochs=10)
            return net.parameters

        expected, results = trained(), []
        threads = [threading.Thread(target=lambda: results.append(trained())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        for result in results:
            np.testing.assert_array_equal(result, expected)


def test_parameters_are_replaced_while_others_predict():
    """They wait for nothing, and nobody is told that the net is busy."""
    net, X = Net([64, 256, 256, 1], seed=0), np.ones((20_000, 64), np.float32)
    errors, calls, stop = [], [], threading.Event()

    def serve(rows):
        while not stop.is_set():
            try:
                net.predict(rows)
                calls.append(len(rows))
            except RuntimeError as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=serve, args=(rows,)) for rows in (X, X[:1].copy())]
    for thread in threads:
        thread.start()
    while len(set(calls)) < 2 and not errors:
        time.sleep(0.001)
    for _ in range(50):
        net.parameters = net.parameters.copy()
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors


def test_an_interrupt_while_the_record_is_made_does_not_lose_it():
    X = np.random.default_rng(0).normal(size=(50, 3))
    net = Net([3, 4, 1], seed=0)
    net.fit(X, X[:, :1], epochs=2)

    def interrupt(frame, event, argument):
        if frame.f_code.co_name == "_record" and event == "line":
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupt

    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, X[:, :1], epochs=30)
    finally:
        sys.settrace(None)
    assert net.history.epochs == 30
