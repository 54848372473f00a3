"""A progress bar for a fit, on the terminal; needs rich, the extra ``[cli]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .history import FitState

__all__ = ["epoch_progress"]


@contextmanager
def epoch_progress(epochs: int) -> Iterator[Callable[[FitState], None]]:
    """Show a live bar with the losses; the function it yields takes each epoch's state.

    Raises
    ------
    ModuleNotFoundError
        rich is not installed.
    """
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("a progress bar needs rich: pip install 'chainrule[cli]'") from error
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, TimeRemainingColumn(), refresh_per_second=10) as bar:
        task = bar.add_task("fit", total=epochs, losses="")

        def show(state: FitState) -> None:
            losses = f"loss {state.loss:.5g}"
            if state.validation_loss is not None:
                losses += f"  validation {state.validation_loss:.5g}"
            bar.update(task, completed=state.epoch, losses=losses)

        yield show
        # A fit that stopped early is complete all the same.
        bar.update(task, total=bar.tasks[task].completed)
