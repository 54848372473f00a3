"""Use nets from many threads, fork, start other interpreters and leave while a fit runs, and see that nothing breaks.

Each trial is a script in a process of its own, which has to end well within five minutes. Eight threads predict on one
net, to the last bit as one thread does, while another net and then the same one is trained, and others are made and
thrown away; processes fork in the middle; subinterpreters are refused by ImportError; interpreters exit while a
daemon thread trains. `--python` runs all that in another interpreter, such as a free-threaded one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from trials import Tally, read_arguments

PREAMBLE = """
import os, signal, sys, threading, time, warnings
import numpy as np
from chainrule import Net
warnings.simplefilter("ignore")  # that a process of several threads forks
seed = int(sys.argv[1])
random = np.random.default_rng(seed)
X, Y = random.random((600, 30)), random.random((600, 3))

def build(threads=2):
    return Net([30, 200, 200, 3], hidden="relu", output="identity", seed=seed, threads=threads)

def trained():
    net = build()
    net.fit(X, Y, epochs=2)
    return net.parameters.copy()

errors = []

def guarded(deed):
    def run():
        try:
            deed()
        except BaseException as error:
            errors.append(repr(error))
    return run

def side_by_side(*deeds):
    threads = [threading.Thread(target=guarded(deed)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[:3]
"""

PREDICTING = """
net, right_parameters = build(), trained()
right = net.predict(X)

def predict():
    for _ in range(30):
        assert np.array_equal(net.predict(X), right)
        assert np.array_equal(net.predict(X[:5]), right[:5])

def fit():
    for _ in range(3):
        assert np.array_equal(trained(), right_parameters)

def make():
    for _ in range(50):
        assert np.isfinite(build().predict(X[:3])).all()

side_by_side(*[predict] * 8, fit, make)
"""

TRAINING_THE_SAME = """
net, right = build(), trained()
before = build().predict(X)
counts = {"busy": 0, "predicted": 0}
done = threading.Event()

def predict():
    while not done.is_set():
        try:
            assert np.isfinite(net.predict(X)).all()
            counts["predicted"] += 1
        except RuntimeError as error:
            assert "busy" in str(error)
            counts["busy"] += 1

def fit():
    try:
        net.fit(X, Y, epochs=2)
        assert np.array_equal(net.parameters, right)
        for _ in range(10):
            net.fit(X, Y, epochs=1)
    finally:
        done.set()

side_by_side(*[predict] * 8, fit)
"""

FORKING = """
right = trained()
net = build()

def fork(children=3):
    for _ in range(children):
        child = os.fork()
        if child == 0:
            signal.alarm(200)  # a deadlock ends so
            os._exit(0 if np.array_equal(trained(), right) else 1)
        assert os.waitpid(child, 0)[1] == 0

def predict():
    for _ in range(50):
        net.predict(X)

side_by_side(predict, predict, fork, fork)
"""

SUBINTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
right = trained()
script = '''
import warnings
warnings.simplefilter("ignore")  # NumPy's, that it does not support them
try:
    import chainrule
except ImportError:
    pass
else:
    raise AssertionError("chainrule was imported")
'''
for _ in range(2):
    other = interpreters.create()
    failure = interpreters.run_string(other, script)
    assert failure is None, failure
    interpreters.destroy(other)
assert np.array_equal(trained(), right)
"""

LEAVING = """
net, other = build(), build()
many = np.tile(X, (200, 1))  # one prediction of it looks for signals, several times
predict = lambda: [other.predict(rows) for _ in range(10**9) for rows in (X, many)]
threads = [lambda: net.fit(X, Y, epochs=10**9), predict]
for deed in threads:
    threading.Thread(target=deed, daemon=True).start()
time.sleep(random.uniform(0, 0.3))
"""

#: What is tried, in which script, and in which part of the trials.
KINDS = {
    "8 threads predict, others train and make nets": (PREDICTING, 1 / 4),
    "8 threads predict on a net in training": (TRAINING_THE_SAME, 1 / 4),
    "forks beside threads": (FORKING, 1 / 4),
    "subinterpreters": (SUBINTERPRETERS, 1 / 4),
    "exits while a daemon thread trains": (LEAVING, 1.0),
}


def run(python: str, script: str, seed: int) -> str:
    """Run a script in a process of its own; return what is wrong, if anything."""
    environment = {**os.environ, "OMP_NUM_THREADS": ""}
    command = [python, "-X", "faulthandler", "-c", PREAMBLE + script, str(seed)]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return "it hangs"
    return "" if ended.returncode == 0 else f"exit code {ended.returncode}: {ended.stderr[-2000:]}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of this program."""
    parser.add_argument("--python", default=sys.executable, help="the interpreter to try (default: this one)")


def main() -> int:
    """Run the program."""
    arguments = read_arguments(__doc__, 50, "exits to try, and a quarter as many times everything else", add_arguments)
    tally = Tally("threads")
    for name, (script, share) in KINDS.items():
        for trial in range(max(1, round(arguments.count * share))):
            tally.add(name)
            if wrong := run(arguments.python, script, arguments.seed + trial):
                tally.fail(f"{name}, seed {arguments.seed + trial}: {wrong}")
    return tally.finish()


if __name__ == "__main__":
    raise SystemExit(main())
