"""Which interpreters of a process can use the package: the main one. Importing this in another is refused."""

from __future__ import annotations

import importlib

__all__ = ["refuse_subinterpreters"]


def refuse_subinterpreters() -> None:
    """Raise where the core would wait for the GIL for ever: pybind11 asks for it by way of the main interpreter.

    Raises
    ------
    ImportError
        This is not the main interpreter.
    """
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, and before
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError("chainrule can be imported in the main interpreter alone, not in subinterpreters")
        return


refuse_subinterpreters()
