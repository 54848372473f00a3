"""Errors of the command line alone."""

from __future__ import annotations

__all__ = ["UsageError"]


class UsageError(Exception):
    """The options do not go together; reported like argparse's own errors, with exit code 2."""
