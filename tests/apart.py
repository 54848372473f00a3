"""Checks that may crash, hang or change their process: each in an interpreter of its own."""

from __future__ import annotations

from collections.abc import Callable

from helpers import run_python


def run_apart(check: Callable[..., None], *arguments: object, **environment: str) -> str:
    """Call a function of a test file, with plain values, in a fresh interpreter; return what it printed."""
    script = f"import faulthandler, {check.__module__} as tests\nfaulthandler.enable()\n"
    return run_python(f"{script}tests.{check.__name__}(*{arguments!r})", **environment).stdout
