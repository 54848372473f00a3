"""What `chainrule bench` measured, as bars."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .canvas import GREY, INK, PALETTE, choose_axes, new_figure, tidy

__all__ = ["BenchDisplay"]

OURS = "chainrule"
ABSENT = {"textcoords": "offset points", "va": "center", "fontsize": 7, "color": GREY}


class BenchDisplay:
    """How many times longer each peer takes than chainrule, case by case.

    Parameters
    ----------
    document : dict
        What ``chainrule bench --json`` writes.

    Attributes
    ----------
    peers : list of str
        Whom chainrule was measured against.
    ax_, figure_
        The axes and the figure that `plot` drew on.
    bars_ : dict of str to matplotlib.container.BarContainer
        The bars of each peer.

    Raises
    ------
    ValueError
        It is something else.
    """

    ax_: Any
    figure_: Any
    bars_: dict[str, Any]

    def __init__(self, document: dict[str, Any]) -> None:
        try:
            self.cases = [(str(case["case"]), dict(case["ratio"])) for case in document["cases"]]
            self.unit = str(document["unit"]).removeprefix("microseconds per ")
            threads = "1 thread" if document["threads"] == 1 else f"{document['threads']} threads"
            build = document["build"]
            self.title = f"{OURS} {build['version']}, {build['isa']}, {document['dtype']}, {threads}"
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"document must be what 'chainrule bench --json' writes: {error!r}") from None
        if not self.cases:
            raise ValueError("document must have at least one case")
        self.peers = list(dict.fromkeys(peer for _, ratios in self.cases for peer in ratios))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, ax: Any = None) -> BenchDisplay:
        """Draw the file that ``chainrule bench --json FILE`` wrote.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is something else.
        """
        return cls(json.loads(Path(path).read_text(encoding="utf-8"))).plot(ax)

    def new_axes(self) -> Any:
        """Return axes of a new figure that is as high as the bars need, unknown to pyplot."""
        rows = len(self.cases) * (len(self.peers) + 1)
        return new_figure(9, 1.6 + 0.26 * rows).subplots()

    def plot(self, ax: Any = None) -> BenchDisplay:
        """Draw a bar for each case and peer, on a logarithmic scale, from 1: as fast as chainrule.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot by default.

        Returns
        -------
        BenchDisplay
            The object itself.
        """
        ax = choose_axes(ax)
        height = 0.8 / max(1, len(self.peers))
        self.bars_ = {}
        for number, peer in enumerate(self.peers):
            found = [(row, ratios[peer]) for row, (_, ratios) in enumerate(self.cases) if peer in ratios]
            middle = (number - (len(self.peers) - 1) / 2) * height
            self.bars_[peer] = bars = ax.barh(
                [row + middle for row, _ in found],
                [ratio - 1 for _, ratio in found],
                0.9 * height,
                left=1,
                color=PALETTE[number % len(PALETTE)],
                hatch="//" if number >= len(PALETTE) else None,
                label=peer,
            )
            texts = [f"{_three_digits(ratio)}x" for _, ratio in found]
            ax.bar_label(bars, labels=texts, padding=3, fontsize=8)
            for row, (_, ratios) in enumerate(self.cases):
                if peer not in ratios:
                    ax.annotate("no equivalent", (1, row + middle), (4, 0), **ABSENT)
        ax.axvline(1, color=INK, linewidth=1)
        self._name_axes(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name_axes(self, ax: Any) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        ratios = [ratio for _, ratios in self.cases for ratio in ratios.values()] or [1.0]
        ax.set_xscale("log")
        # Room for the numbers beside the bars.
        ax.set_xlim(min(0.9, 0.5 * min(ratios)), max(1.2, max(ratios)) ** 1.12 * 1.15)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(ratios) < 200 else (1,)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(f"time of a {self.unit}, in multiples of {OURS}'s (log scale; 1 = as fast, more = slower)")
        ax.set_yticks(range(len(self.cases)), [name for name, _ in self.cases], parse_math=False)
        ax.set_ylim(len(self.cases) - 0.5, -0.5)
        ax.set_title(self.title, fontsize=10, loc="left", parse_math=False)
        ax.grid(axis="x", alpha=0.25)
        tidy(ax)
        if self.peers:
            ax.figure.legend(loc="outside lower center", ncols=min(6, len(self.peers)), frameon=False)


def _three_digits(ratio: float) -> str:
    return f"{ratio:.{2 if ratio < 9.995 else 1 if ratio < 99.95 else 0}f}"
