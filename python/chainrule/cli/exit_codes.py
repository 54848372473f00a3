"""Exit codes of every command."""

from __future__ import annotations

__all__ = ["DONE", "FAILED", "INTERRUPTED", "WRONG_USAGE"]

DONE = 0
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
