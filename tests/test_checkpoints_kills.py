"""Checkpoints of runs that are killed or interrupted at random moments, or whose disk is full."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time

import pytest

from checkpoint_runs import CASES, differing, start
from helpers import run_python

#: How often each run is killed, or interrupted.
KILLS = os.environ.get("CHAINRULE_KILLS", "8")

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals of POSIX")


@pytest.fixture(params=CASES)
def case(request):
    return request.param


def in_a_fork(work):
    """Begin `work` in a fork of this process, which exits with 0 if it returns a false value; return the fork's id."""
    child = os.fork()
    if child == 0:
        status = 4
        try:
            status = 3 if work() else 0
        finally:
            os._exit(status)
    return child


def kill_runs(case, path, kills):
    """Kill runs at random moments, until there were so many, and start them again; every end must be the right one."""
    began = time.perf_counter()
    expected = start(case, f"{path}.first")
    seconds = time.perf_counter() - began
    os.unlink(f"{path}.first")
    moments, killed, ends = random.Random(f"{case} {kills}"), 0, 0
    while killed < int(kills) or ends == 0:
        child = in_a_fork(lambda: differing(start(case, path), expected))
        if killed < int(kills):
            time.sleep(moments.uniform(0, 0.5 * seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            continue
        assert os.WEXITSTATUS(status) == 0, f"a run that was killed ended with {status}, after {killed} kills"
        ends += 1
        assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
        os.unlink(path)
    print(killed, ends)


def interrupt_runs(case, path, interrupts):
    """The same with Ctrl-C, in one process: the net of an interrupted run is as good as a new one."""
    expected = start(case)
    moments, done = random.Random(f"{case} {interrupts}"), 0
    net, X, Y, options = CASES[case]()
    while done < int(interrupts):
        timer = threading.Timer(moments.uniform(0, expected[1].seconds), os.kill, (os.getpid(), signal.SIGINT))
        try:
            try:
                timer.start()
                history = net.fit(X, Y, checkpoint=path, **options)
            finally:
                timer.cancel()
                timer.join()
        except KeyboardInterrupt:
            done += 1
            net = CASES[case]()[0] if done % 2 else net
            continue
        assert not differing((net, history), expected)
        os.unlink(path)
        net = CASES[case]()[0]
    net = CASES[case]()[0]
    assert not differing((net, net.fit(X, Y, checkpoint=path, **options)), expected)
    print(done)


def die_at(function, call, case, path):
    """Die of SIGKILL where `function` of the system is called for that time, before it or after it."""
    expected = start(case)
    before, original = call.startswith("before"), getattr(os, function)
    for number in range(1, 5):
        calls = itertools.count(1)

        def die(*arguments, calls=calls, number=number):
            is_the_one = next(calls) == number
            if is_the_one and before:
                os.kill(os.getpid(), signal.SIGKILL)
            original(*arguments)
            if is_the_one:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(die=die):
            setattr(os, function, die)
            return start(case, path, every=1)

        _, status = os.waitpid(in_a_fork(work), 0)
        assert os.WIFSIGNALED(status), "the run ended before it could be killed"
    assert not differing(start(case, path), expected)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


@needs_posix
class TestKills:
    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "runs").mkdir()
        return tmp_path / "runs" / "run.safetensors"

    def test_at_random_moments(self, case, path):
        script = "import sys; from test_checkpoints_kills import kill_runs; kill_runs(*sys.argv[1:])"
        killed, ends = map(int, run_python(script, case, path, KILLS, timeout=3000).stdout.split())
        assert killed == int(KILLS)
        assert ends >= 1

    @pytest.mark.parametrize("case", ["early_stopping", "wide"])
    @pytest.mark.parametrize("function", ["fsync", "replace"])
    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_within_a_write(self, case, path, function, moment):
        script = "import sys; from test_checkpoints_kills import die_at; die_at(*sys.argv[1:])"
        run_python(script, function, moment, case, path)

    @pytest.mark.parametrize("case", ["early_stopping", "plateau", "tiny", "wide"])
    def test_ctrl_c_at_random_moments(self, case, path):
        script = "import sys; from test_checkpoints_kills import interrupt_runs; interrupt_runs(*sys.argv[1:])"
        assert run_python(script, case, path, KILLS, timeout=3000).stdout.split() == [KILLS]

    def test_ctrl_c_loses_no_minibatch(self, path):
        script = """
import os, signal, sys, threading, time
import numpy as np
from chainrule import Net
X, Y = np.ones((500_000, 8)), np.ones((500_000, 1))
net = Net([8, 4, 1], seed=0)

def press():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    net.fit(X, Y, epochs=10**6, batch_size=1, checkpoint=sys.argv[1], every=1000)
except KeyboardInterrupt:
    pass
loaded = Net.load(sys.argv[1])
assert loaded._core.epoch_in_progress == net._core.epoch_in_progress != None
assert (loaded.parameters == net.parameters).all()
"""
        run_python(script, path)


@needs_posix
class TestFullDisk:
    SCRIPT = """
import os, resource, sys
import numpy as np
from chainrule import Net

path = sys.argv[1]
random = np.random.default_rng(0)
X, Y = random.standard_normal((40, 3)), random.standard_normal((40, 1))

def fit(**options):
    net = Net([3, 4, 1], seed=0)
    return net, net.fit(X, Y, epochs=400, **options)

expected, history = fit()
net = Net([3, 4, 1], seed=0)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, most))
try:
    net.fit(X, Y, epochs=400, checkpoint=path, every=10)
    sys.exit("the disk was large enough")
except OSError as error:
    assert error.filename == path, error
    assert path in str(error) and "too large" in str(error), error
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

# The net is that of the epoch, and the file of the last that could be written.
epochs = net.epochs_trained
assert 10 < epochs < 400 and net.history.epochs == epochs
assert (net.history.loss == history.loss[:epochs]).all()
assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
assert Net.load(path).epochs_trained == epochs - 10
alike = Net([3, 4, 1], seed=0)
alike.fit(X, Y, epochs=epochs)
assert (alike.parameters == net.parameters).all()

net, again = fit(checkpoint=path, every=10)
assert (net.parameters == expected.parameters).all() and (again.loss == history.loss).all()
"""

    def test_raises_and_loses_nothing(self, tmp_path):
        (tmp_path / "runs").mkdir()
        run_python(self.SCRIPT, tmp_path / "runs" / "run.safetensors")
