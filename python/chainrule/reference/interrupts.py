"""Ctrl-C between two steps, and never within one: NumPy would leave half of an update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_held_back"]


@contextmanager
def interrupts_held_back() -> Iterator[Callable[[], None]]:
    """Hold SIGINT back; what this yields lets one that came through to its handler, and so does the end.

    Without effect outside of the main thread, where no handler runs, and where SIGINT has none in Python.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: None
        return
    held: list[tuple[int, FrameType | None]] = []

    def let_through() -> None:
        if held:
            arguments = held.pop()
            held.clear()
            handler(*arguments)

    previous = signal.signal(signal.SIGINT, lambda *arguments: held.append(arguments))
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, previous)
        let_through()
