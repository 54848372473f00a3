"""Press Ctrl-C at random moments of fits, and see that nothing is lost.

A helper process sends SIGINT while nets of several sizes are trained, on one thread and on two. Then the
same is done at every place of the Python layer where Python looks for signals: each call and each return from C.
Always, KeyboardInterrupt is raised, parameters are finite, and fits that go on, half of them by way of a file, end
with the parameters, moments and losses of a fit that nobody interrupted, bit for bit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from trials import Array, Tally, described, draw_data, read_arguments, same_state

import chainrule
from chainrule import SGD, Net
from chainrule.schedules import Cosine, ReduceOnPlateau

PACKAGE = str(Path(chainrule.__file__).parent)


@dataclass(frozen=True)
class Case:
    """A net, its data, and how it is trained."""

    name: str
    sizes: list[int]
    rows: int
    epochs: int
    options: dict[str, Any] = field(default_factory=dict)
    build: dict[str, Any] = field(default_factory=dict)

    def net(self, dtype: str, threads: int) -> Net:
        """Return the net, untrained."""
        return Net(self.sizes, output="identity", dtype=dtype, threads=threads, seed=1, **self.build)


def rate(epoch: int, lr: float) -> float:
    """Return a schedule's rate, from Python."""
    return lr * 0.999


WATCHED = {
    "schedule": ReduceOnPlateau(factor=0.5, patience=0, tol=0.01),
    "validation": 0.2,
    "metrics": {"worst": lambda Y, P: float(abs(Y - P).max())},
    "callback": lambda state: None,
}
#: Each takes some tenths of a second.
CASES = [
    Case("one row at a time", [3, 4, 1], 500, 500, {"batch_size": 1, "optimizer": SGD(lr=0.01)}),
    Case("tiny", [3, 4, 1], 500, 3000, {"batch_size": 32, "schedule": Cosine(epochs=3000, warmup=3)}),
    Case("tiny, watched", [4, 9, 2], 500, 300, {**WATCHED, "batch_size": 16}, {"hidden": "silu", "dropout": 0.2}),
    Case("medium", [20, 64, 64, 2], 2000, 30, {"batch_size": 64, "schedule": rate}, {"hidden": "relu"}),
    Case("medium, watched", [40, 30, 20, 2], 2000, 30, {**WATCHED, "clip_norm": 1.0}, {"input_noise": 0.1}),
    Case("large", [300, 400, 400, 10], 1500, 6, {"batch_size": 128}, {"hidden": "relu"}),
    Case("large, streamed", [200, 1200, 1200, 10], 300, 3, {"batch_size": 100}, {"hidden": "relu"}),
    Case("large, one batch", [300, 300, 300], 10_000, 3, {"batch_size": None, "l2": 1e-4}, {"hidden": "tanh"}),
]
DTYPES = ["float32", "float64"]


@cache
def data_of(index: int) -> tuple[Array, Array]:
    """Return the data of a case."""
    return draw_data(CASES[index].sizes, CASES[index].rows)


@cache
def uninterrupted(index: int, dtype: str) -> tuple[Net, Array, float]:
    """Return the net after a fit without a break, its losses, and the seconds that it took."""
    case = CASES[index]
    net = case.net(dtype, threads=1)
    start = time.perf_counter()
    history = net.fit(*data_of(index), epochs=case.epochs, **case.options)
    return net, history.loss, time.perf_counter() - start


class Presser:
    """A process that presses Ctrl-C, from outside."""

    SCRIPT = """
import os, signal, sys, time
for line in sys.stdin:
    time.sleep(float(line))
    os.kill(os.getppid(), signal.SIGINT)
"""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", self.SCRIPT], stdin=subprocess.PIPE, text=True)

    def press(self, delay: float) -> None:
        """Press after so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{delay}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def interrupted(run: Callable[[], object]) -> bool:
    """Whether Ctrl-C came while `run` ran; waits for one that is late."""
    try:
        run()
    except KeyboardInterrupt:
        return True
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        return False
    raise TimeoutError("nobody pressed Ctrl-C")


def what_is_wrong(index: int, dtype: str, net: Net, folder: str | None) -> str:
    """Go on with a net whose fit was interrupted; return what is not as if nothing had happened."""
    case = CASES[index]
    whole, losses, _ = uninterrupted(index, dtype)
    if not np.isfinite(net.parameters).all():
        return "parameters are not finite"
    before = net.history
    if before is not None and before.epochs != net.epochs_trained:
        return f"the history has {before.epochs} epochs, the net {net.epochs_trained}"
    if folder is not None:
        path = Path(folder, "net.safetensors")
        net.save(path)
        net = Net.load(path)
    epochs = case.epochs - net.epochs_trained
    after = net.fit(*data_of(index), epochs=epochs, **case.options).loss
    if not same_state(net, whole):
        return "the state after all epochs is another"
    if before is not None and not np.array_equal(np.concatenate([before.loss, after]), losses):
        return "the losses are others"
    return ""


def press_at_random(count: int, seed: int, tally: Tally) -> None:
    """Interrupt `count` fits from outside."""
    random = np.random.default_rng(seed)
    presser = Presser()
    pressed = 0
    with tempfile.TemporaryDirectory() as folder:
        while pressed < count:
            index, threads = pressed % len(CASES), 1 + pressed // len(CASES) % 2
            dtype, by_file = DTYPES[random.integers(2)], bool(random.integers(2))
            case, (X, Y) = CASES[index], data_of(index)
            seconds = uninterrupted(index, dtype)[2]
            net = case.net(dtype, threads)
            moment = random.uniform(0, seconds)

            def press_and_fit() -> None:
                presser.press(moment)  # noqa: B023
                net.fit(X, Y, epochs=case.epochs, **case.options)  # noqa: B023

            if not interrupted(press_and_fit):
                tally.add("fits that ended before")
                continue
            pressed += 1
            tally.add("interrupts at random moments")
            if net._core.epoch_in_progress is not None:
                tally.add("of them within an epoch")
            if wrong := described(what_is_wrong, index, dtype, net, folder if by_file else None):
                tally.fail(f"{case.name}, {dtype}, {threads} threads, after {moment:.4f} of {seconds:.4f} s: {wrong}")
    presser.stop()


class InterruptAt:
    """Raises KeyboardInterrupt at the n-th place where Python looks for signals, within the package."""

    def __init__(self, place: int) -> None:
        self._left = place
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Be a profile function."""
        if event not in ("call", "c_return") or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        self._left -= 1
        if self._left == 0:
            self.where = f"{frame.f_code.co_filename[len(PACKAGE) + 1 :]}:{frame.f_lineno} ({event})"
            sys.setprofile(None)
            raise KeyboardInterrupt


def press_everywhere(index: int, dtype: str, tally: Tally) -> None:
    """Interrupt the Python layer of a fit at its first, second, ... place, until a fit runs through."""
    case = CASES[index]
    for place in range(1, 1_000_000):
        net = case.net(dtype, threads=1)
        at = InterruptAt(place)
        sys.setprofile(at)
        try:
            net.fit(*data_of(index), epochs=case.epochs, **case.options)
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        if not at.where:
            return
        tally.add("interrupts at places of the Python layer")
        if wrong := described(what_is_wrong, index, dtype, net, None):
            tally.fail(f"{case.name}, {dtype}, place {place}, {at.where}: {wrong}")


def main() -> int:
    """Run the program."""
    arguments = read_arguments(__doc__, 200, "presses of Ctrl-C at random moments")
    tally = Tally("interruptions")
    press_at_random(arguments.count, arguments.seed, tally)
    CASES.append(Case("short", [4, 9, 2], 40, 3, {**WATCHED, "batch_size": 16}))
    CASES.append(Case("short, unwatched", [4, 9, 2], 40, 3, {"batch_size": 16, "schedule": rate}))
    for index in (len(CASES) - 2, len(CASES) - 1):
        uninterrupted(index, DTYPES[0])  # imports what a fit imports
        press_everywhere(index, DTYPES[0], tally)
    return tally.finish()


if __name__ == "__main__":
    raise SystemExit(main())
