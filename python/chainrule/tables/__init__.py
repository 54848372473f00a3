"""Tables of text and numbers on their way into a net: read, split, encode, score."""

from __future__ import annotations

from .encoder import Categories, Standardised, TableEncoder
from .reading import parse_table, read_table
from .scores import baseline_outputs, decided, describe_scores, score
from .split import Split, split_rows
from .table import Table
from .task import Task, infer_task

__all__ = [
    "Categories",
    "Split",
    "Standardised",
    "Table",
    "TableEncoder",
    "Task",
    "baseline_outputs",
    "decided",
    "describe_scores",
    "infer_task",
    "parse_table",
    "read_table",
    "score",
    "split_rows",
]
