"""The command line: ``chainrule train``, ``predict``, ``derive``, ``check`` and ``bench``."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
