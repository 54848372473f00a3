"""What `train` learns: a source of data, and its table split and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import DATASETS
from ..losses import Loss, read_loss
from ..tables import Categories, Split, Table, TableEncoder, Task, infer_task, split_rows
from .errors import UsageError
from .inputs import STANDARD, read_input

__all__ = ["LOSSES_OF_TASK", "Problem", "Source", "choose_source", "prepare"]

#: The losses that suit a task, the default first.
LOSSES_OF_TASK: dict[Task, tuple[str, ...]] = {
    "classification": ("cross_entropy",),
    "regression": (
        "squared_error",
        "half_squared_error",
        "absolute_error",
        "huber",
        "quantile",
        "log_cosh",
        "poisson",
    ),
}


@dataclass(frozen=True)
class Source:
    """The file to learn from, the column to predict, a short name, and what to know about the data."""

    path: Path
    target: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Problem:
    """A table, its encoding, the rows of each part, and the loss to learn by."""

    source: Source
    table: Table
    encoder: TableEncoder
    split: Split
    loss: Loss
    X: NDArray[np.float64]
    Y: NDArray[Any]


def choose_source(path: Path | None, target: str | None, dataset: str | None) -> Source:
    """Take the user's file, or a bundled one: penguins unless `dataset` names another."""
    if path is None:
        name = dataset or "penguins"
        bundled = DATASETS[name]
        return Source(bundled.path, target or bundled.target, name, bundled.note)
    if dataset is not None:
        raise UsageError(f"--dataset {dataset} and the file {path} exclude each other")
    if target is None:
        raise UsageError(f"--target COL is needed, the column of {path} to predict")
    return Source(path, target, "stdin" if path == STANDARD else path.stem)


def prepare(
    source: Source,
    *,
    task: Task | None,
    loss: Loss | None,
    ignore: Sequence[str],
    validation: float,
    test: float,
    seed: int,
) -> Problem:
    """Read and split the table, and encode it by what its training rows say; the task is inferred if None.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or its content cannot be learned from; the message says where.
    UsageError
        The loss does not suit the task.
    """
    table = read_input(source.path)
    table.require([source.target])
    chosen = task or infer_task(table, source.target)
    rule = _choose_loss(loss, chosen)
    classes = Categories.fit(table, source.target).encode_indices(table) if chosen == "classification" else None
    split = split_rows(table.rows, validation=validation, test=test, seed=seed, classes=classes)
    counts = rule.name == "poisson"
    encoder = TableEncoder.fit(
        table, source.target, chosen, ignore=ignore, train_rows=split.train, scale_target=not counts
    )
    if counts:
        _refuse_negative(table, source.target)
    return Problem(source, table, encoder, split, rule, encoder.encode_features(table), encoder.encode_target(table))


def _choose_loss(given: Loss | None, task: Task) -> Loss:
    allowed = LOSSES_OF_TASK[task]
    if given is None:
        return read_loss(allowed[0])
    if given.name not in allowed:
        raise UsageError(f"--loss {given} does not suit {task}, the task here; allowed: {', '.join(allowed)}")
    if given.outputs_per_target > 1:
        raise UsageError(f"--loss {given}: give one quantile, such as 'quantile(0.9)'")
    return given


def _refuse_negative(table: Table, name: str) -> None:
    values = table.numbers(name)
    if values.min() < 0:
        row = int(np.argmax(values < 0))
        raise ValueError(f"{table.place(row, name)}: {values[row]:g} is below 0, and --loss poisson is for counts")
