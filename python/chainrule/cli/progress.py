"""The live bar of a training run; needs rich."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..history import FitState

__all__ = ["EpochBar", "describe_losses"]

#: Seconds between two updates; an epoch may take some microseconds only.
REFRESH = 0.05


class EpochBar:
    """A bar of epochs with the losses beside it; a callback for `Net.fit` and a context manager.

    Parameters
    ----------
    console : rich.console.Console
        A terminal.
    epochs : int
        The length of the bar.
    """

    def __init__(self, console: Console, epochs: int) -> None:
        self._progress = Progress(
            TextColumn("epoch {task.completed:.0f}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=epochs)
        self._last: FitState | None = None
        self._shown = 0.0

    def __call__(self, state: FitState) -> None:
        """Move the bar to the epoch just done."""
        self._last = state
        if time.perf_counter() - self._shown >= REFRESH:
            self._move(state)
            self._shown = time.perf_counter()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._last is not None:
            self._move(self._last, total=self._last.epoch)
        self._progress.stop()

    def _move(self, state: FitState, total: int | None = None) -> None:
        losses = describe_losses(state.loss, state.validation_loss)
        self._progress.update(self._task, completed=state.epoch, total=total, description=losses)


def describe_losses(loss: float, validation_loss: float | None) -> str:
    """Return the losses of an epoch in a few words."""
    return f"loss {loss:.4g}" + ("" if validation_loss is None else f"  validation {validation_loss:.4g}")
