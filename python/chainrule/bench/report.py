"""Measurements as a table, as JSON, and as a bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import build_info
from .measure import ROUNDS, Measurement
from .peers import OURS
from .plan import Plan

__all__ = ["Table", "as_json", "describe_limits", "describe_run", "draw"]


def describe_run(plan: Plan, cores: Sequence[int]) -> str:
    """Return a line on what runs where."""
    build = build_info()
    threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
    where = ("core " if len(cores) == 1 else "cores ") + ", ".join(map(str, cores))
    return f"chainrule {build['version']}, {build['isa']}, {plan.dtype}, {threads} on {where}"


def describe_limits(limits: dict[str, float]) -> str:
    """Return a line on what these cores can do."""
    return (
        f"limits: {_short(limits['gflops'])} GFLOP/s of multiply-adds, {_short(limits['cache_gb_per_second'])} GB/s "
        f"in the cache, {_short(limits['memory_gb_per_second'])} GB/s beyond"
    )


class Table:
    """Lines of text, at most 120 columns with all peers and the named cases."""

    def __init__(self, plan: Plan, peers: Sequence[str]) -> None:
        self.plan, self.peers = plan, peers
        self.heading = "microseconds per " + ("prediction" if plan.predict else "step")
        self.name_width = max(len(text) for text in (self.heading, *(case.name for case in plan.cases)))

    def header(self) -> str:
        """Return the heading."""
        limits = "" if self.plan.predict else f"{'GFLOP/s':>8}{'peak':>6}"
        peers = "".join(f" {peer:>{self._width(peer)}}" for peer in self.peers)
        return f"{self.heading:<{self.name_width}}{'best':>8}{'median':>8}{limits}{peers}"

    def row(self, measurement: Measurement) -> str:
        """Return chainrule's times, its share of the peak, and how many times longer each peer takes."""
        line = f"{measurement.case.name:<{self.name_width}}"
        line += "".join(f"{_short(times[OURS]):>8}" for times in (measurement.best, measurement.median))
        if measurement.limits:
            gflops = measurement.gflops()
            line += f"{_short(gflops):>8}{gflops / measurement.limits.gflops:>6.0%}"
        return line + "".join(f" {_ratios(measurement, peer):>{self._width(peer)}}" for peer in self.peers)

    def footer(self) -> str:
        """Return how to read the columns."""
        text = f"Peers: how many times longer they take, best/median of {ROUNDS} rounds, after computing "
        text += f"the same {'outputs' if self.plan.predict else 'weights'}; - is no equivalent."
        return text if self.plan.predict else f"{text}\nPeak: share of the multiply-adds that the cores can do."

    def _width(self, peer: str) -> int:
        return max(10, len(peer))


def _ratios(measurement: Measurement, peer: str) -> str:
    if peer not in measurement.best:
        return "-"
    return "/".join(_short_ratio(ratio) for ratio in measurement.ratios(peer)) + "x"


def _short_ratio(ratio: float) -> str:
    return f"{ratio:.{2 if ratio < 9.995 else 1 if ratio < 99.95 else 0}f}"


def _short(number: float) -> str:
    """Three significant digits, and no exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def as_json(plan: Plan, measurements: Sequence[Measurement], limits: dict[str, float]) -> dict[str, Any]:
    """Return everything that was measured, ready for `json.dumps`."""
    return {
        "build": build_info(),
        "dtype": plan.dtype,
        "threads": plan.threads,
        "unit": "microseconds per " + ("prediction of one row" if plan.predict else "minibatch step"),
        **({} if plan.predict else {"limits": limits}),
        "cases": [_case_as_json(m, plan.dtype) for m in measurements],
        "left_out": [case.name for case in plan.cases[len(measurements) :]],
    }


def _case_as_json(m: Measurement, dtype: str) -> dict[str, Any]:
    ratios = {peer: m.ratios(peer) for peer in m.differences}
    entry = {
        "case": m.case.name,
        "sizes": m.case.sizes,
        "hidden": m.case.hidden,
        "output": m.case.output,
        "seed": m.case.seed,
        "relative_difference": m.differences,
        "best": m.best,
        "median": m.median,
        "ratio": {peer: best for peer, (best, _) in ratios.items()},
        "median_ratio": {peer: median for peer, (_, median) in ratios.items()},
    }
    return entry if m.limits is None else entry | _training_as_json(m, dtype)


def _training_as_json(m: Measurement, dtype: str) -> dict[str, Any]:
    assert m.limits is not None
    flops, size = m.case.flops_per_step, m.case.bytes_per_step(dtype)
    return {
        "loss": m.case.loss,
        "batch_size": m.case.batch_size,
        "optimizer": m.case.optimizer.name,
        "flops_per_step": flops,
        "bytes_per_step": size,
        "gflops": {side: m.gflops(side) for side in m.best},
        "peak_gflops": m.limits.gflops,
        "share_of_peak": m.gflops() / m.limits.gflops,
        "gb_per_second": m.limits.bandwidth,
        "microseconds_at_the_limits": m.limits.microseconds(flops, size),
    }


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw what `as_json` returned and write the picture to `path`."""
    from ..plots.bars import BenchDisplay
    from ..plots.canvas import save_figure

    display = BenchDisplay(document)
    save_figure(display.plot(display.new_axes()).figure_, path)
