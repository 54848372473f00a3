"""Ctrl-C, and the handlers of signals, in the middle of one long call such as a prediction."""

from __future__ import annotations

import os

import numpy as np
import pytest

from chainrule import Net
from helpers import run_python


class TestOneCall:
    """Calls that may take long by themselves, such as a prediction of all of a large table."""

    SCRIPT = """
import signal, threading, time
import numpy as np
from chainrule import Net

net = Net([16, 3000, 3000, 1], "tanh", seed=0, threads=1)
X, Y = np.random.default_rng(0).random((4000, 16)), np.ones((4000, 1))
parameters, expected = net.parameters.copy(), net.predict(X[:5])
forward = net.forward(X) if {call!r} == "net.backward(Y)" else None
pressed = []

def press():
    pressed.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)

threading.Timer(0.1, press).start()
try:
    {call}
except KeyboardInterrupt:
    print(time.perf_counter() - pressed[0])
assert (net.parameters == parameters).all()
assert (net.predict(X[:5]) == expected).all()
assert np.isfinite(net.step(X[:5], Y[:5], "sgd"))
"""

    @pytest.mark.parametrize(
        "call",
        [
            "net.predict(X)",
            "net.loss(X, Y)",
            "net.forward(X)",
            "net.backward(Y)",
            "net.step(X, Y, 'adam')",
            "net.activations(X)",
            "net.input_gradient(X, Y)",
            "net.jacobian(X)",
        ],
    )
    def test_ctrl_c_ends_a_call_soon(self, call):
        assert any(float(run_python(self.SCRIPT.format(call=call)).stdout) < 0.3 for _ in range(3))

    def test_handlers_may_read_what_is_being_read_and_not_train_it(self):
        script = """
import signal, threading
import numpy as np
import numpy.testing
from chainrule import Net

outer, inner = (Net([16, 3000, 3000, 1], "tanh", seed=seed, threads=1) for seed in (0, 1))
X = np.random.default_rng(0).random((4000, 16))
expected = outer.predict(X)
depth, seen = [], []

def handle(*_):
    if not depth:  # within a prediction of one net, a prediction of another, and within that:
        depth.append(1)
        again()
        inner.predict(X)
        return
    np.testing.assert_array_equal(outer.predict(X[:5]), outer.predict(X)[:5])
    for train in (lambda: outer.fit(X, X[:, :1]), lambda: inner.step(X, X[:, :1], "sgd"), lambda: outer.freeze(0)):
        try:
            train()
        except RuntimeError as error:
            seen.append(str(error))

def again():
    threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()

signal.signal(signal.SIGINT, handle)
again()
np.testing.assert_array_equal(outer.predict(X), expected)
assert len(seen) == 3 and all("a call that this one is made within" in text for text in seen), seen
outer.step(X[:5], X[:5, :1], "sgd")
inner.step(X[:5], X[:5, :1], "sgd")
"""
        run_python(script)

    def test_a_handler_may_not_train_where_a_prediction_calls_python(self, monkeypatch):
        """Predictions ask for the number of threads in Python, where a handler of a signal may run."""
        X, Y = np.ones((2000, 16)), np.ones((2000, 1))
        nets = []

        def resolve(threads):
            for net in nets:
                net.step(X[:5], Y[:5], "sgd")
            return 1

        monkeypatch.setattr("chainrule.net.resolve", resolve)
        net = Net([16, 300, 300, 1], seed=0)
        nets.append(net)
        for call in (lambda: net.predict(X), lambda: net.loss(X, Y), lambda: net.forward(X)):
            with pytest.raises(RuntimeError, match="a call that this one is made within"):
                call()
        nets.clear()
        assert np.isfinite(net.fit(X, Y, epochs=1).loss).all()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.parametrize("call", ["net.predict(X)", "net.forward(X)", "net.step(X, Y, 'sgd')"])
    def test_a_child_that_a_handler_forks_does_not_train_under_its_own_feet(self, call):
        script = f"""
import os, signal, threading
import numpy as np
from chainrule import Net

net = Net([16, 3000, 3000, 1], "tanh", seed=0, threads=1)
X, Y = np.random.default_rng(0).random((4000, 16)), np.ones((4000, 1))
two = np.concatenate([X, X])
codes = []

def handle(*_):
    child = os.fork()
    if child:
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return
    busy = 0
    for train in (lambda: net.forward(two), lambda: net.fit(X, Y), lambda: net.step(X, Y, "sgd")):
        try:
            train()
        except RuntimeError as error:
            busy += "is using it" in str(error)
    os._exit(busy)

signal.signal(signal.SIGINT, handle)
threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()
{call}
assert codes == [3], codes
net.step(X[:5], Y[:5], "sgd")
"""
        run_python(script)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_child_that_a_handler_forks_does_not_wait_for_readers_that_it_has_not(self):
        script = """
import os, signal, threading, time
import numpy as np
from chainrule import Net

net = Net([16, 3000, 3000, 1], "tanh", seed=0, threads=1)
X = np.ones((8000, 16))
children = []

def handle(*_):
    children.append(os.fork())
    if children[0] == 0:
        signal.alarm(30)  # which ends it

signal.signal(signal.SIGINT, handle)
reader = threading.Thread(target=net.predict, args=(X,))
reader.start()
time.sleep(0.05)
threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()
try:
    net.step(X[:5], X[:5, :1], "sgd")
except RuntimeError as error:
    os._exit(7 if "is using it" in str(error) else 8)
reader.join()
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
"""
        run_python(script)
