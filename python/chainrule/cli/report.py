"""What `train` prints: a live bar and tables on a terminal, plain lines elsewhere; needs rich."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import NetConfig
from ..history import History
from ..tables import Categories, describe_scores
from ..tables.table import counted
from .inputs import STANDARD
from .problem import Problem
from .results import Scores, best_epoch

__all__ = ["Report"]

MAX_CLASSES_SHOWN = 10
STOPPED = {
    "epochs": "all done",
    "patience": "no improvement for {patience} epochs",
    "time": "the time limit of {time_limit:g} s",
    "callback": "interrupted",
    "interrupted": "interrupted",
}


class Report:
    """Prints the course of a training run to standard output, or nothing if `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(quiet=quiet, markup=False, highlight=False)

    def show_data(self, problem: Problem) -> None:
        """Say what is learned from what."""
        encoder, split, table, note = problem.encoder, problem.split, problem.table, problem.source.note
        name = "standard input" if problem.source.path == STANDARD else problem.source.path.name
        self._show(
            ("data", f"{name}, {counted(table.rows, 'row')}" + (f" ({note})" if note else "")),
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
        reason = STOPPED[history.stopped].format(**vars(args))
        self._show(
            ("network", f"{_describe_layers(config)}, {config.parameter_count} parameters, {config.dtype}"),
            ("training", f"{counted(history.epochs, 'epoch')} in {history.seconds:.2f} s ({reason}), seed {args.seed}"),
        )
        best, validation = best_epoch(history), history.validation_loss
        if best is not None:
            losses = _describe_losses(history.loss[best], None if validation is None else validation[best])
            self._show(("best epoch", f"{best + 1}, {losses}"))

    def show_scores(self, problem: Problem, scores: Scores) -> None:
        """Print the score on the test rows, and that of predicting without the features."""
        of_net, baseline = scores
        if not of_net:
            self._show(("test", "no test rows"))
            return
        classes = isinstance(problem.encoder.target, Categories)
        rule = "always the most frequent class" if classes else "always the mean"
        self._show(("test", describe_scores(of_net)), ("baseline", f"{describe_scores(baseline)} ({rule})"))

    def show_files(self, files: Mapping[str, Path | None]) -> None:
        """Name the files that were written."""
        labels = {"model": "model", "plot": "loss curves", "report": "report"}
        self._show(*((labels[kind], str(path)) for kind, path in files.items() if path is not None))

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
