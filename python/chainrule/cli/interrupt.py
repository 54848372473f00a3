"""Signals that end a training run: once to stop with the best network so far, twice to stop at once."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..history import FitState
from .errors import Interrupted

__all__ = ["Interrupts", "catch_interrupts"]

#: Ctrl-C, what `kill` and batch systems send, and a terminal that is gone; the last is unknown to Windows.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupts:
    """The signals that a run has caught.

    Attributes
    ----------
    first : int or None
        The number of the first one; the exit code goes by it.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._spared = math.inf

    def spare(self, count: float) -> None:
        """Only keep in mind the next `count` signals; the one after raises Interrupted, and none after that."""
        self._spared = count

    def raise_caught(self) -> None:
        """Raise Interrupted if there was a signal so far."""
        if self.first is not None:
            raise Interrupted(self.first)

    def stop(self, state: FitState) -> bool:
        """End the fit, as its callback, once there was a signal.

        A fit that ends so puts the best parameters back, which one ended by an exception does not.
        """
        if self.first is None:
            return False
        self.spare(math.inf)  # the fit is about to end, and one more must not keep it from that
        return True

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.first is None:
            self.first = number
        self._spared -= 1
        if self._spared < 0:
            self._spared = math.inf  # what saves the work after the exception is left in peace
            raise Interrupted(self.first)


@contextmanager
def catch_interrupts() -> Iterator[Interrupts]:
    """Catch the signals that end a run, all spared at first.

    Those that are ignored (under nohup, or in the background of a script) stay so, and so do handlers that were not
    set from Python. Outside the main thread, where Python allows no handler, nothing is caught.
    """
    interrupts = Interrupts()
    handlers = _handlers()
    try:
        for number in handlers:
            signal.signal(number, interrupts.receive)
        yield interrupts
    finally:
        interrupts.spare(math.inf)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _handlers() -> dict[int, signal._HANDLER]:
    """Return the handlers of the signals to catch."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
