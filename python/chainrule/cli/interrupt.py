"""Ctrl-C during training: once to stop with the best network so far, twice to stop at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..history import FitState

__all__ = ["stop_on_interrupt"]


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[FitState], bool]]:
    """Give a callback for `Net.fit` that ends the fit after the epoch in which Ctrl-C was pressed.

    A fit that ends so puts the best parameters back, which one ended by KeyboardInterrupt does not.
    """
    pressed = False

    def press(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, press)
    try:
        yield lambda state: pressed
    finally:
        signal.signal(signal.SIGINT, previous)
