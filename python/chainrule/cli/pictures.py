"""Pictures that commands draw: refused, before anything is computed, where they could not be drawn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..plots.canvas import PLOT_FORMATS, new_figure, render
from .errors import UsageError

__all__ = ["check_picture", "warm_up"]


def check_picture(path: Path) -> None:
    """Raise UsageError where --plot names another kind of file, and ImportError where there is no matplotlib."""
    if path.suffix.lower() not in PLOT_FORMATS:
        raise UsageError(f"--plot must end in {', '.join(PLOT_FORMATS)}; got {path}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("--plot needs matplotlib: pip install 'chainrule[plot]'")


def warm_up(path: Path) -> None:
    """Draw an empty picture of the kind of `path`, so that matplotlib is loaded, and fails if it must, before the work.

    Call it with signals held back: one that raises while modules of C are loaded ends the interpreter.
    """
    render(new_figure(1, 1), path.suffix[1:].lower())
