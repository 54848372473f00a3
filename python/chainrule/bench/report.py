"""Measurements as a table, as JSON, and as a bar chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .measure import Measurement

__all__ = ["as_json", "draw", "header", "row"]


def header(peers: list[str]) -> str:
    """Return the heading of the table."""
    columns = [f"{peer + ' us':>11}{'ratio':>9}" for peer in peers]
    return f"{'microseconds per step':<34}{'chainrule':>11}{'GFLOP/s':>9}" + "".join(columns)


def row(measurement: Measurement, peers: list[str]) -> str:
    """Return one line of the table: chainrule's best time, then each peer's and how many times longer it is."""
    best = measurement.best
    columns = [f"{_short(best[peer]):>11}{_short(measurement.ratio(peer)) + 'x':>9}" for peer in peers]
    ours = f"{_short(best['chainrule']):>11}{_short(measurement.gflops()):>9}"
    return f"{measurement.case.name:<34}{ours}" + "".join(columns)


def _short(number: float) -> str:
    """Three significant digits, and no exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def as_json(measurements: list[Measurement], dtype: str) -> dict[str, Any]:
    """Return everything that was measured, ready for `json.dumps`."""
    from .. import build_info

    return {
        "build": build_info(),
        "dtype": dtype,
        "unit": "microseconds per minibatch step",
        "cases": [
            {
                "case": m.case.name,
                "sizes": m.case.sizes,
                "batch_size": m.case.batch_size,
                "optimizer": m.case.optimizer.name,
                "flops_per_step": m.case.flops_per_step,
                "relative_difference": m.differences,
                "best": m.best,
                "median": m.median,
                "ratio": {name: m.ratio(name) for name in m.best if name != "chainrule"},
                "gflops": {name: m.gflops(name) for name in m.best},
            }
            for m in measurements
        ],
    }


def draw(measurements: list[Measurement], path: Path) -> None:
    """Draw, for each case, how many times longer a step of each peer takes, and write the picture to `path`."""
    from matplotlib.figure import Figure

    peers = [name for name in measurements[0].best if name != "chainrule"]
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(measurements) * (len(peers) + 1)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(peers)
    for p, peer in enumerate(peers):
        positions = [i + (p - (len(peers) - 1) / 2) * height for i in range(len(measurements))]
        bars = axes.barh(positions, [m.ratio(peer) for m in measurements], height, label=peer)
        axes.bar_label(bars, labels=[_short(m.ratio(peer)) + "x" for m in measurements], padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="time of a training step over chainrule's (log scale; 1 = as fast)")
    axes.set_yticks(range(len(measurements)), [m.case.name for m in measurements])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.legend(loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
