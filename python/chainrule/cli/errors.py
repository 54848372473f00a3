"""Errors of the command line alone."""

from __future__ import annotations

from .exit_codes import of_signal

__all__ = ["Interrupted", "UsageError"]


class UsageError(Exception):
    """The options do not go together; reported like argparse's own errors, with exit code 2."""


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command, of which `code` is the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted")
        self.code = of_signal(number)
