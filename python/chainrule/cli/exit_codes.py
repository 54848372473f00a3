"""Exit codes of every command."""

from __future__ import annotations

import signal

__all__ = ["DONE", "FAILED", "INTERRUPTED", "WRONG_USAGE", "of_signal"]

DONE = 0
FAILED = 1
WRONG_USAGE = 2


def of_signal(number: int) -> int:
    """Return the exit code of a command that a signal ended, as shells count them."""
    return 128 + number


INTERRUPTED = of_signal(signal.SIGINT)
