"""Let every allocation of fits, passes, predictions, copies and files fail, one by one, and see what comes of it.

The first allocation fails, then the second, and so on until the work runs through: of the core, of NumPy and of Python
alike, by an allocator that is compiled from failing_malloc.cpp, which says what it spares, and preloaded. Each time the
work runs in a process of its own, whose pool of threads is not started yet. It must end in MemoryError, or in another
exception that memory explains, or run through with the right result; parameters are finite, no file is left open or
behind, and the same work done again gives the result of a process in which nothing failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trials import Array, Tally, draw_data, read_arguments

from chainrule import Net

HERE = Path(__file__).parent
#: How a process ends whose work raised, ran through, came to something wrong; and how long it may take.
RAISED, RAN_THROUGH, WRONG, SECONDS = 0, 10, 11, 300

#: How NumPy, Python's files and safetensors say that memory ran out, besides MemoryError.
OTHERS_WORDS = ("without exception set", "without setting an exception", "can't allocate", "PyObject pointer is null")

Deed = Callable[[], Array]


class Work:
    """What is done while allocations fail.

    Parameters
    ----------
    name : str
    start : callable
        Called with a net and a folder, returns what to do, which may be done again, and its result.
    sizes, rows, threads
        Of the net, and its data.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[Net, Array, Array, Path], Deed],
        sizes: list[int],
        rows: int = 20,
        threads: int = 1,
    ) -> None:
        self.name, self._start, self._sizes, self._threads = name, start, sizes, threads
        self._X, self._Y = draw_data(sizes, rows)

    def start(self, folder: Path) -> tuple[Net, Deed]:
        """Return a new net, and what to do with it."""
        net = Net(self._sizes, hidden="relu", output="identity", seed=1, threads=self._threads)
        return net, self._start(net, self._X, self._Y, folder)


def fit(net: Net, X: Array, Y: Array, folder: Path, **options: Any) -> Deed:
    """Train for two epochs; what an attempt left unfinished is gone on with."""

    def deed() -> Array:
        net.fit(X, Y, epochs=2 - net.epochs_trained, **options)
        return net.parameters.copy()

    return deed


def fit_with_options(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Train with data and functions of all kinds."""
    worst = {"worst": lambda Y, P: float(abs(Y - P).max())}
    return fit(net, X, Y, folder, validation=0.3, patience=5, metrics=worst, clip_norm=1.0, callback=lambda state: None)


def fit_large(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Train on minibatches that are worth two threads."""
    return fit(net, X, Y, folder, batch_size=100)


def fit_with_checkpoint(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Train for two epochs, or what a run before left of them, with a file of each."""

    def deed() -> Array:
        net.fit(X, Y, epochs=2, optimizer="adam", checkpoint=folder / "run.safetensors")
        return net.parameters.copy()

    return deed


def step_by_step(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Make what a step is made of, one after the other, but for the update."""

    def deed() -> Array:
        net.forward(X)
        loss = net.backward(Y)
        return np.append(net.gradients, loss)

    return deed


def look(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Ask for all that a net can say of data."""

    def deed() -> Array:
        parts = [*net.activations(X), net.input_gradient(X, Y), net.jacobian(X), np.array([net.loss(X, Y)])]
        return np.concatenate([part.ravel() for part in parts])

    return deed


def copy_net(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Copy a trained net, as between processes; the result is the copy's parameters."""
    net.fit(X, Y, epochs=1, optimizer="adam")
    return lambda: pickle.loads(pickle.dumps(net)).parameters.copy()


def predict(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Predict."""
    return lambda: net.predict(X)


def save(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Save a net; the result is what the file holds."""
    path = folder / "saved.safetensors"

    def deed() -> Array:
        net.save(path)
        return net.parameters.copy()

    return deed


def load(net: Net, X: Array, Y: Array, folder: Path) -> Deed:
    """Load a net; the result is its parameters."""
    path = folder / "loaded.safetensors"
    net.save(path)
    return lambda: Net.load(path).parameters.copy()


WORKS = [
    Work("fit of a tiny net", fit, [3, 4, 1], 50),
    Work("fit with many options", fit_with_options, [6, 30, 30, 2], 60),
    Work("fit on two threads", fit_large, [100, 400, 400, 10], 200, threads=2),
    Work("fit on two threads, streamed", fit_large, [100, 700, 700, 10], 100, threads=2),
    Work("fit with a checkpoint", fit_with_checkpoint, [6, 30, 2], 60),
    Work("forward and backward", step_by_step, [20, 30, 2], 100),
    Work("activations and gradients", look, [20, 30, 2], 100),
    Work("copy", copy_net, [20, 30, 2]),
    Work("predict", predict, [20, 30, 2], 100),
    Work("predict on two threads", predict, [100, 600, 600, 10], 400, threads=2),
    Work("save", save, [20, 30, 2]),
    Work("load", load, [20, 30, 2]),
]


def explains(error: BaseException | None) -> bool:
    """Whether the error, or what it comes from, is one of memory."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if any(words in str(error) for words in OTHERS_WORDS):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def what_is_wrong(work: Work, right: Array, error: BaseException | None, folder: Path, net: Net, deed: Deed) -> str:
    """Return what an attempt has spoilt."""
    if error is not None and not explains(error):
        return f"ended in {error!r}"
    if not np.isfinite(net.parameters).all():
        return "parameters are not finite"
    if not np.array_equal(deed(), right):
        return "the result of another attempt is another"
    if left := [name for name in os.listdir(folder) if name.startswith(".")]:
        return f"a save left {left}"
    return ""


def attempt(work: Work, place: int, right: Array, folder: Path, allocator: ctypes.CDLL) -> int:
    """Do the work while the allocation at `place` fails; return how the process is to end."""
    net, deed = work.start(folder)
    descriptors = len(os.listdir("/proc/self/fd"))
    error, result = None, right
    allocator.failing_malloc_start(place)
    try:
        result = deed()
    except BaseException as raised:
        allocator.failing_malloc_stop()
        error = raised
    allocator.failing_malloc_stop()
    wrong = "" if np.array_equal(result, right) else "ran through to another result"
    try:
        wrong = wrong or what_is_wrong(work, right, error, folder, net, deed)
    except Exception as another:
        wrong = f"another attempt ended in {another!r}"
    if not wrong and len(os.listdir("/proc/self/fd")) > descriptors:
        wrong = "a file is left open"
    if wrong:
        print(f"{work.name}, allocation {place}: {wrong}", file=sys.stderr)
        return WRONG
    return RAN_THROUGH if error is None else RAISED


def in_child(run: Callable[[], int]) -> int:
    """Run in a forked process; return its exit code, or the negative number of the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        with contextlib.suppress(BaseException):
            signal.alarm(SECONDS)
            code = run()
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_and_keep(work: Work, folder: Path, allocator: ctypes.CDLL) -> int:
    """Write the right result of the work and how many allocations it makes into the folder."""
    _, deed = work.start(folder)
    allocator.failing_malloc_start(2**62)
    result = deed()
    seen = allocator.failing_malloc_stop()
    np.savez(folder / "right.npz", result=result, seen=seen)
    return 0


def try_one(work: Work, count: int, seed: int) -> None:
    """Let allocations of a work fail; print what came of them, as JSON."""
    warnings.simplefilter("ignore", DeprecationWarning)  # that a process of several threads forks
    allocator = ctypes.CDLL(None)
    allocator.failing_malloc_start.argtypes = [ctypes.c_long]
    allocator.failing_malloc_stop.restype = ctypes.c_long
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work.start(folder)[1]()  # imports what it needs
        if in_child(lambda: count_and_keep(work, folder, allocator)) != 0:
            raise RuntimeError(f"{work.name} fails where no allocation does")
        kept = np.load(folder / "right.npz")
        right, places = kept["result"], np.arange(1, int(kept["seen"]) + 1)
        if 0 < count < len(places):
            places = np.sort(np.random.default_rng(seed).choice(places, count, replace=False))
        for place in places.tolist():
            code = in_child(lambda: attempt(work, place, right, folder, allocator))  # noqa: B023
            seen["tried"] += 1
            seen[{RAISED: "raised", RAN_THROUGH: "ran through"}.get(code, "failed")] += 1
            if code not in (RAISED, RAN_THROUGH, WRONG):
                print(f"{work.name}, allocation {place}: ended with {code}", file=sys.stderr)
    print(json.dumps(seen))


def compile_allocator(folder: Path) -> Path:
    """Return the library that fails."""
    library = folder / "failing_malloc.so"
    command = ["c++", "-std=c++20", "-O1", "-shared", "-fPIC", str(HERE / "failing_malloc.cpp"), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def main() -> int:
    """Run the program."""
    arguments = read_arguments(
        __doc__,
        0,
        "allocations to let fail in each work, drawn at random; 0 for all of them",
        lambda parser: (
            parser.add_argument("--work", choices=[work.name for work in WORKS], help="one of the works alone"),
            parser.add_argument("--preloaded", action="store_true", help="used by the program for its own processes"),
        ),
    )
    works = [work for work in WORKS if arguments.work in (None, work.name)]
    if arguments.preloaded:
        try_one(works[0], arguments.count, arguments.seed)
        return 0
    tally = Tally("allocations")
    with tempfile.TemporaryDirectory() as name:
        library = compile_allocator(Path(name))
        for work in works:
            options = ["--count", str(arguments.count), "--seed", str(arguments.seed), "--work", work.name]
            ended = subprocess.run(
                [sys.executable, __file__, "--preloaded", *options],
                env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "2"},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            found = json.loads(ended.stdout) if ended.returncode == 0 else {"failed": 1}
            print(f"{work.name}: {found}", flush=True)
            tally.add("allocations failed", found.get("tried", 0))
            tally.add("times an exception", found.get("raised", 0))
            tally.add("times the right result all the same", found.get("ran through", 0))
            if found.get("failed"):
                tally.fail(f"{work.name}: {found['failed']} times")
    return tally.finish()


if __name__ == "__main__":
    raise SystemExit(main())
