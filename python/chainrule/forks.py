"""What a process imports before it forks.

A child of `fork` waits for ever for a module that another thread of its parent was importing, as the first `fit` of a
net does. So what is not imported with the package, to save time, is imported then; that waits for the other thread.
"""

from __future__ import annotations

import importlib
import os

__all__ = ["import_before_forks"]

#: What the methods of nets import when they are first called.
LATE = (
    "checkpoints",
    "core_fit",
    "divergence",
    "files",
    "fitting",
    "initializers",
    "optimizers",
    "regularization",
    "run_identity",
    "snapshots",
    "trace",
)


def import_before_forks() -> None:
    """Have all of `LATE` imported before any `fork` of this process."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_import)


def _import() -> None:
    for name in LATE:
        importlib.import_module(f".{name}", __package__)
    importlib.import_module("safetensors.numpy")
