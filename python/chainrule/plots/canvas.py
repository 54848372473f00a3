"""What all pictures share: colours, axes to draw on, text that is drawn as it stands, and files."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from ..files import write_atomically

__all__ = [
    "BLUE",
    "GREY",
    "INK",
    "ORANGE",
    "PALETTE",
    "PLOT_FORMATS",
    "choose_axes",
    "new_figure",
    "printable",
    "render",
    "save_figure",
    "tidy",
]

#: Colours that differ for colour-blind eyes too (Okabe and Ito, "Color Universal Design", 2008), the main two first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BLUE, ORANGE = PALETTE[:2]
INK, GREY = "#333333", "#767676"

#: Names of files that pictures may be written to.
PLOT_FORMATS = (".png", ".pdf", ".svg")
#: Longer names of columns and classes are cut.
MAX_NAME = 24


def choose_axes(ax: Any) -> Any:
    """Return `ax`, or the axes of a new figure of pyplot for None.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: pip install 'chainrule[plot]'") from error
    return pyplot.subplots(layout="constrained")[1]


def new_figure(width: float, height: float) -> Any:
    """Return a figure of that many inches which pyplot does not know: it needs no display and leaves nothing behind."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def tidy(ax: Any) -> None:
    """Leave away what carries no data: the lines above and to the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)


def printable(name: object, limit: int = MAX_NAME) -> str:
    """Return a user's name on one line, cut where it is long, without characters that XML refuses."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(name)).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def render(figure: Any, kind: str, dpi: float = 150) -> bytes:
    """Return the figure as a ``"png"``, ``"pdf"`` or ``"svg"`` file: the same bytes for a picture drawn anew."""
    from matplotlib import rc_context

    # Neither the day nor random ids; PNG has no date.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    picture = BytesIO()
    with rc_context({"svg.hashsalt": "chainrule"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure.savefig(picture, format=kind, dpi=dpi, metadata=metadata)
    return picture.getvalue()


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure to `path`, whole or not at all; its name says which kind of file, one of `PLOT_FORMATS`."""
    write_atomically(path, render(figure, path.suffix[1:].lower()))
