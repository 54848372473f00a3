"""What a target column asks for: a class or a number."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .table import Table

__all__ = ["TASKS", "TASK_RULE", "Task", "infer_task"]

Task = Literal["classification", "regression"]

TASKS: tuple[Task, ...] = ("classification", "regression")

MAX_CLASSES = 20
ROWS_PER_CLASS = 10

#: The rule of `infer_task` in words.
TASK_RULE = f"""\
The task is classification if the target is text, or whole numbers of which there are only two,
or at most {MAX_CLASSES} with {ROWS_PER_CLASS} rows each on average; else it is regression."""


def infer_task(table: Table, target: str) -> Task:
    """Tell classification from regression by the target column; `TASK_RULE` says how.

    Raises
    ------
    ValueError
        There is no such column, or it misses a value or holds an infinite one.
    """
    if not table.is_numeric(target):
        return "classification"
    values = table.numbers(target)
    distinct = len(np.unique(values))
    whole = bool(np.all(values == np.floor(values)))
    few = distinct <= 2 or (distinct <= MAX_CLASSES and table.rows >= ROWS_PER_CLASS * distinct)
    return "classification" if whole and few else "regression"
