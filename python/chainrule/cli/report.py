"""What `train` prints: a live bar and tables on a terminal, plain lines elsewhere; needs rich."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import NetConfig
from ..history import History
from ..tables import Categories, baseline_outputs, describe_scores, score
from ..tables.table import counted
from .problem import Problem

if TYPE_CHECKING:
    from ..net import Net

__all__ = ["Report"]

MAX_CLASSES_SHOWN = 10
STOPPED = {
    "epochs": "all done",
    "patience": "no improvement for {patience} epochs",
    "callback": "interrupted",
}


class Report:
    """Prints the course of a training run to standard output, or nothing if `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(quiet=quiet, markup=False, highlight=False)

    def show_data(self, problem: Problem) -> None:
        """Say what is learned from what."""
        encoder, split, table, note = problem.encoder, problem.split, problem.table, problem.source.note
        self._show(
            ("data", f"{problem.source.path.name}, {counted(table.rows, 'row')}" + (f" ({note})" if note else "")),
            ("features", f"{counted(len(encoder.features), 'column')}, {counted(len(encoder.feature_names), 'input')}"),
            ("target", f"{problem.source.target}, {_describe_target(problem)}"),
            ("rows", f"{len(split.train)} training, {len(split.validation)} validation, {len(split.test)} test"),
        )

    @property
    def live(self) -> bool:
        """Whether there is a terminal to show a progress bar on."""
        return self.console.is_terminal and not self.console.quiet

    def show_training(self, config: NetConfig, args: argparse.Namespace, history: History) -> None:
        """Say which network was trained, and how that went."""
        validation = history.validation_loss
        best = int(np.argmin(history.loss if validation is None else validation))
        losses = _describe_losses(history.loss[best], None if validation is None else validation[best])
        reason = STOPPED[history.stopped].format(patience=args.patience)
        self._show(
            ("network", f"{_describe_layers(config)}, {config.parameter_count} parameters, {config.dtype}"),
            ("training", f"{counted(history.epochs, 'epoch')} in {history.seconds:.2f} s ({reason}), seed {args.seed}"),
            ("best epoch", f"{best + 1}, {losses}"),
        )

    def show_scores(self, problem: Problem, net: Net) -> None:
        """Print the score on the test rows, and that of predicting without the features."""
        target, Y, split = problem.encoder.target, problem.Y, problem.split
        if not len(split.test):
            self._show(("test", "no test rows"))
            return
        scores = score(target, net.predict(problem.X[split.test]), Y[split.test])
        without_features = baseline_outputs(target, Y[split.train], len(split.test))
        baseline = score(target, without_features, Y[split.test])
        rule = "always the most frequent class" if isinstance(target, Categories) else "always the mean"
        self._show(("test", describe_scores(scores)), ("baseline", f"{describe_scores(baseline)} ({rule})"))

    def show_files(self, model: Path, plot: Path) -> None:
        """Name the files that were written."""
        self._show(("model", str(model)), ("loss curves", str(plot)))

    def show_next(self, command: str) -> None:
        """Print a command to copy, never wrapped."""
        self.console.print(f"next: {command}", soft_wrap=True)

    def _show(self, *rows: tuple[str, str]) -> None:
        if not self.console.is_terminal:
            for label, value in rows:
                self.console.print(f"{label}: {value}", soft_wrap=True)
            return
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold cyan", min_width=len("loss curves"))
        grid.add_column(overflow="fold")
        for label, value in rows:
            grid.add_row(label, Text(value))
        self.console.print(grid)


def _describe_target(problem: Problem) -> str:
    target = problem.encoder.target
    if isinstance(target, Categories):
        counts = np.bincount(problem.Y, minlength=len(target.labels))
        shown = [f"{label} {count}" for label, count in zip(target.labels, counts, strict=True)]
        more = ", ..." if len(shown) > MAX_CLASSES_SHOWN else ""
        return f"classification, {len(shown)} classes: {', '.join(shown[:MAX_CLASSES_SHOWN])}{more}"
    values = problem.table.numbers(target.name)
    return f"regression, from {values.min():g} to {values.max():g}"


def _describe_layers(config: NetConfig) -> str:
    activations = dict.fromkeys(config.activations)
    return f"{'-'.join(map(str, config.sizes))} {', '.join(activations)}, loss {config.loss}"


def _describe_losses(loss: float, validation_loss: float | None) -> str:
    return f"loss {loss:.4g}" + ("" if validation_loss is None else f", validation {validation_loss:.4g}")
