"""What `train` learns: a source of data, and its table split and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import DATASETS
from ..tables import Categories, Split, Table, TableEncoder, Task, infer_task, read_table, split_rows
from .errors import UsageError

__all__ = ["Problem", "Source", "choose_source", "prepare"]


@dataclass(frozen=True)
class Source:
    """The file to learn from, the column to predict, a short name, and what to know about the data."""

    path: Path
    target: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Problem:
    """A table, its encoding, and the rows of each part."""

    source: Source
    table: Table
    encoder: TableEncoder
    split: Split
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
    return Source(path, target, path.stem)


def prepare(
    source: Source, *, task: Task | None, ignore: Sequence[str], validation: float, test: float, seed: int
) -> Problem:
    """Read and split the table, and encode it by what its training rows say; the task is inferred if None.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or its content cannot be learned from; the message says where.
    """
    table = read_table(source.path)
    table.require([source.target])
    chosen = task or infer_task(table, source.target)
    classes = Categories.fit(table, source.target).encode_indices(table) if chosen == "classification" else None
    split = split_rows(table.rows, validation=validation, test=test, seed=seed, classes=classes)
    encoder = TableEncoder.fit(table, source.target, chosen, ignore=ignore, train_rows=split.train)
    return Problem(source, table, encoder, split, encoder.encode_features(table), encoder.encode_target(table))
