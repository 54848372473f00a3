"""Fit, predict, save, load, export and interrupt at random for minutes, and see that nothing grows.

Prints the slope of the resident memory by least squares, after a quarter of the time to warm up, with its standard
error; and compares open files and threads with those after the warm-up. A leak is a slope that is more than three
standard errors above zero, and makes more than `--most` in the time that was looked at. In the first minutes caches
still fill, by some 100 kB a minute.

What the allocator keeps for later use is given back before each look, for it swings by ten megabytes with the last few
nets, over minutes: a slope that is none, and that could hide one of a megabyte a minute. So would CPython's own, which
takes a mebibyte for its objects when a moment has the most of them, and keeps it: they are left to the system's.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from trials import Array, Tally, draw_data, read_arguments

from chainrule import SGD, Adam, DivergenceError, MLPClassifier, MLPRegressor, ModelFormatError, Net
from chainrule.optimizers import Optimizer
from chainrule.schedules import Cosine, ReduceOnPlateau

Draw = np.random.Generator

SIZES = [[3, 4, 1], [8, 32, 1], [20, 64, 64, 2], [30, 40, 20, 5], [100, 300, 300, 3]]
HIDDEN = ["relu", "tanh", "silu", "sigmoid"]
OPTIMIZERS: list[str | Optimizer] = ["sgd", "adam", "rmsprop", "nadam", Adam(lr=0.01)]


def any_net(draw: Draw) -> tuple[Net, Array, Array]:
    """Return a net, and data for it."""
    sizes = SIZES[draw.integers(len(SIZES))]
    dtype = ("float32", "float64")[draw.integers(2)]
    threads, dropout = int(draw.integers(1, 3)), 0.3 * int(draw.integers(2))
    hidden = HIDDEN[draw.integers(len(HIDDEN))]
    net = Net(sizes, hidden=hidden, output="identity", dtype=dtype, threads=threads, dropout=dropout, seed=1)
    return net, *draw_data(sizes, int(draw.integers(2, 600)))


def fit(draw: Draw, folder: Path) -> None:
    """Train a net, with much or little of what a fit may be told."""
    net, X, Y = any_net(draw)
    options: list[dict[str, Any]] = [
        {},
        {"validation": 0.3, "patience": 2, "metrics": [lambda Y, P: float(abs(Y - P).max())]},
        {"schedule": ReduceOnPlateau(patience=1), "callback": lambda state: None, "l2": 1e-3},
        {"schedule": Cosine(epochs=20), "clip_norm": 1.0, "sample_weight": np.ones(len(X))},
        {"time_limit": 0.01},
    ]
    optimizer = OPTIMIZERS[draw.integers(len(OPTIMIZERS))]
    epochs, batch_size = int(draw.integers(1, 5)), int(draw.integers(1, 200))
    net.fit(X, Y, epochs=epochs, batch_size=batch_size, optimizer=optimizer, **options[draw.integers(len(options))])


def predict(draw: Draw, folder: Path) -> None:
    """Predict, and take gradients and traces."""
    net, X, Y = any_net(draw)
    out = np.empty((len(X), net.config.outputs), net.config.dtype)
    net.predict(X, out=out)
    net.loss(X, Y)
    net.trace(X, Y)
    net.input_gradient(X[:20], Y[:20])
    net.jacobian(X[:5])


def save_and_load(draw: Draw, folder: Path) -> None:
    """Save a trained net and load it, then load half of the file."""
    net, X, Y = any_net(draw)
    net.fit(X, Y, epochs=1)
    path = folder / "net.safetensors"
    net.save(path, metadata={"soak": "yes"})
    if not np.array_equal(Net.load(path).parameters, net.parameters):
        raise AssertionError("a loaded net is not the saved one")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    expect(ModelFormatError, partial(Net.load, path))


def estimate(draw: Draw, folder: Path) -> None:
    """Fit scikit-learn's kind of estimators."""
    X, Y = draw_data([6, 1], int(draw.integers(40, 200)))
    few: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that three epochs are few
        regressor = MLPRegressor(**few, early_stopping=bool(draw.integers(2))).fit(X, Y.ravel())
        classifier = MLPClassifier(**few).fit(X, Y.ravel() > 0.5)
    regressor.predict(X)
    classifier.predict_proba(X)


def export(draw: Draw, folder: Path) -> None:
    """Write a net as C."""
    any_net(draw)[0].to_c(folder / "net.c", name="net")


def interrupt(draw: Draw, folder: Path) -> None:
    """Press Ctrl-C in a fit."""
    net, X, Y = any_net(draw)

    def press() -> None:
        # Comes as Ctrl-C does, while the core runs.
        signal.setitimer(signal.ITIMER_REAL, float(draw.uniform(0.005, 0.05)))
        net.fit(X, Y, epochs=10**6)

    expect(KeyboardInterrupt, press)


def fail(draw: Draw, folder: Path) -> None:
    """Diverge, and be told that arguments do not fit."""
    net, X, Y = any_net(draw)
    expect(DivergenceError, partial(net.fit, X, Y, epochs=100, optimizer=SGD(lr=1e30)))
    expect(ValueError, partial(net.predict, X[:, :-1]))
    expect(TypeError, partial(net.predict, X.astype(complex)))


def expect(error: type[BaseException], call: Callable[[], object]) -> None:
    """Call, and see that the error is raised."""
    try:
        call()
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


DEEDS = [fit, fit, predict, save_and_load, estimate, export, interrupt, fail]


def memory() -> float:
    """Return the resident memory in kB, without garbage and without what glibc holds back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def leave_objects_to_the_system() -> None:
    """Begin anew with Python's objects in the system's memory, without pools that are kept."""
    if "PYTHONMALLOC" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONMALLOC": "malloc"})


def descriptors_and_threads() -> tuple[int, int]:
    """Return how many files are open, and how many threads there are."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def slope(minutes: Array, values: Array) -> tuple[float, float]:
    """Return the slope of values over minutes by least squares, and its standard error."""
    t = minutes - minutes.mean()
    rate = float(t @ (values - values.mean()) / (t @ t))
    residuals = values - values.mean() - rate * t
    return rate, float(np.sqrt(residuals @ residuals / (len(t) - 2) / (t @ t)))


def fill_table_of_names() -> None:
    """Let CPython's table of interned strings grow now: names that come and go double its 2 MB after some minutes."""
    for number in range(200_000):
        sys.intern(f"soak {number}")


def press_ctrl_c(signal_number: int, frame: object) -> None:
    """Handle SIGALRM as Python handles SIGINT."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the program."""
    arguments = read_arguments(
        __doc__,
        0,
        "stop after so many deeds; 0 for as many as there is time for",
        lambda parser: (
            parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)"),
            parser.add_argument("--most", type=float, default=1000.0, help="the growth that is let pass, in kB"),
        ),
    )
    leave_objects_to_the_system()
    signal.signal(signal.SIGALRM, press_ctrl_c)
    fill_table_of_names()
    draw, tally = np.random.default_rng(arguments.seed), Tally("soak")
    start, seconds = time.monotonic(), 60 * arguments.minutes
    times: list[float] = []
    values: list[float] = []
    before, done, progress, due = (0, 0), 0, 0.0, 0.25
    with tempfile.TemporaryDirectory() as folder:
        while progress < 1:
            deed = DEEDS[draw.integers(len(DEEDS))]
            try:
                deed(draw, Path(folder))
            except Exception as error:
                tally.fail(f"{deed.__name__}: {error!r}")
            done += 1
            tally.add(deed.__name__)
            passed = time.monotonic() - start
            progress = max(passed / seconds, done / arguments.count if arguments.count else 0)
            if progress >= due:
                if not times:
                    gc.collect()
                    before = descriptors_and_threads()
                times.append(passed / 60)
                values.append(memory())
                due = progress + 0.001
                if len(times) % 75 == 1:
                    print(f"{passed / 60:.1f} min, {done} deeds, {values[-1]:.0f} kB", flush=True)
        gc.collect()
    after = descriptors_and_threads()
    tally.add("files and {} threads open after the warm-up, {} and {} at the end".format(before[1], *after), before[0])
    if after[0] > before[0] or after[1] > before[1]:
        tally.fail("files or threads are left open")
    if len(times) < 3:
        tally.fail("no slope of memory in so short a time")
        return tally.finish()
    rate, error_of_rate = slope(np.array(times), np.array(values))
    print(f"resident memory {values[0]:.0f} to {values[-1]:.0f} kB, slope {rate:.2f} +- {error_of_rate:.2f} kB/minute")
    if rate > 3 * error_of_rate and rate * (times[-1] - times[0]) > arguments.most:
        tally.fail(f"memory grows by {rate:.2f} kB a minute")
    return tally.finish()


if __name__ == "__main__":
    raise SystemExit(main())
