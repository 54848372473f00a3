"""Columns to numbers and back: standardised numbers, one-hot text, class labels.

An encoder is learned from the training table, is stored with the model as JSON, and
then encodes any table with the same columns, and decodes what the net predicts.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import Table, label_order, listed, number_label, read_number, text_label
from .task import Task

__all__ = ["Categories", "Standardised", "TableEncoder"]

Numbers = NDArray[np.float64]

#: The deviation of a column of one value: the largest float.
CONSTANT = sys.float_info.max
#: More texts than this in one column are names or remarks, not categories.
MAX_CATEGORIES = 1000
#: How texts of digits begin that are no numbers: with a zero too many.
CODE = re.compile(r"[+-]?0[0-9]")


@dataclass(frozen=True)
class Standardised:
    """A column of numbers, encoded as ``(value - mean) / std``.

    Attributes
    ----------
    name : str
    mean : float
    std : float
        Standard deviation of the training rows (divided by N). Where they are all equal, the column says nothing:
        then it is `CONSTANT`, and whatever the column holds later is encoded as zero.
    """

    name: str
    mean: float
    std: float

    @classmethod
    def fit(cls, table: Table, name: str, rows: NDArray[np.integer[Any]] | None = None) -> Standardised:
        """Learn mean and deviation from the given rows of the column, all by default."""
        values = table.numbers(name)
        values = values if rows is None else values[rows]
        # Scaled by a power of two, which changes no digit, so that no square is beyond the numbers there are.
        exponent = math.frexp(float(np.abs(values).max()))[1]
        scaled = np.ldexp(values, -exponent)
        with np.errstate(over="ignore", invalid="ignore"):
            moments = np.array([np.mean(scaled), np.std(scaled), np.ptp(scaled)])
            mean, std, spread = np.ldexp(moments, exponent).tolist()
        if not math.isfinite(spread):
            raise ValueError(f"{table.source}, column {name!r}: the numbers are too large to be standardised")
        # A deviation computed from equal numbers may be a rounding error instead of zero.
        return cls(name, mean, std if spread > 0 and std > 0 else CONSTANT)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of the one encoded column."""
        return (self.name,)

    def encode(self, table: Table) -> Numbers:
        """Return the column as float64, (rows, 1)."""
        deviations = table.numbers(self.name) - self.mean
        return (0 * deviations if self.std == CONSTANT else deviations / self.std)[:, np.newaxis]

    def decode(self, encoded: NDArray[np.floating[Any]]) -> Numbers:
        """Undo the scaling: float64 of the same shape."""
        return encoded.astype(np.float64) * self.std + self.mean

    def to_dict(self) -> dict[str, Any]:
        """Return a description that JSON keeps exactly."""
        return {"name": self.name, "mean": self.mean, "std": self.std}


@dataclass(frozen=True)
class Categories:
    """A column of labels, encoded one-hot, or as the index of the label.

    Attributes
    ----------
    name : str
    labels : tuple of str
        Every label, sorted; numbers by value.
    numeric : bool
        The cells are numbers, and ``1``, ``1.0`` and ``1e0`` are the same label. Codes such as ``007`` are text.
    """

    name: str
    labels: tuple[str, ...]
    numeric: bool = False

    @classmethod
    def fit(cls, table: Table, name: str) -> Categories:
        """Learn the labels of a column from all its rows."""
        unfitted = cls(name, (), table.is_numeric(name) and not any(map(CODE.match, table.text(name))))
        labels = set(unfitted._read_labels(table))
        if len(labels) > MAX_CATEGORIES:
            raise ValueError(
                f"{table.source}, column {name!r}: {len(labels)} different values are too many "
                f"for categories; at most {MAX_CATEGORIES}"
            )
        ordered = sorted(labels, key=label_order) if unfitted.numeric else sorted(labels)
        return cls(name, tuple(ordered), unfitted.numeric)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``name=label`` for every encoded column."""
        return tuple(f"{self.name}={label}" for label in self.labels)

    def encode(self, table: Table) -> Numbers:
        """Return the column one-hot, float64, (rows, labels)."""
        encoded = np.zeros((table.rows, len(self.labels)))
        encoded[np.arange(table.rows), self.encode_indices(table)] = 1
        return encoded

    def encode_indices(self, table: Table) -> NDArray[np.int64]:
        """Return the index of each row's label, int64, (rows,).

        Raises
        ------
        ValueError
            A row's label is not one of `labels`.
        """
        index_of = {label: index for index, label in enumerate(self.labels)}
        indices = np.empty(table.rows, dtype=np.int64)
        for row, label in enumerate(self._read_labels(table)):
            if label not in index_of:
                raise ValueError(
                    f"{table.place(row, self.name)}: {label!r} is not known; known are {listed(self.labels)}"
                )
            indices[row] = index_of[label]
        return indices

    def decode(self, indices: NDArray[np.integer[Any]]) -> list[str]:
        """Return the labels of some indices."""
        return [self.labels[index] for index in indices]

    def to_dict(self) -> dict[str, Any]:
        """Return a description that JSON keeps exactly."""
        return {"name": self.name, "labels": list(self.labels), "numeric": self.numeric}

    def _read_labels(self, table: Table) -> list[str]:
        if not self.numeric:
            return table.text(self.name)
        values = table.numbers(self.name)  # which refuses what is no finite number
        cells = table.cells[self.name]
        return list(map(text_label, cells)) if isinstance(cells, list) else list(map(number_label, values.tolist()))


Column = Standardised | Categories


@dataclass(frozen=True)
class TableEncoder:
    """How the columns of a table become the arrays of a net.

    Attributes
    ----------
    features : tuple of Standardised or Categories
        The columns that become ``X``, in this order.
    target : Standardised or Categories
        The column to predict: scaled numbers (regression) or classes (classification).
    """

    features: tuple[Column, ...]
    target: Column

    @classmethod
    def fit(
        cls,
        table: Table,
        target: str,
        task: Task,
        *,
        ignore: Sequence[str] = (),
        train_rows: NDArray[np.integer[Any]] | None = None,
        scale_target: bool = True,
    ) -> TableEncoder:
        """Learn the encoding of a table.

        Parameters
        ----------
        table : Table
        target : str
            Column to predict; all others, but those in `ignore`, are features.
        task : {"classification", "regression"}
        ignore : sequence of str
            Columns to leave out.
        train_rows : ndarray of int, optional
            Rows from which means and deviations are learned, all by default. Categories are
            always learned from all rows, so that a rare one cannot be missing.
        scale_target : bool, default True
            Whether numbers to predict are standardised; counts for a Poisson loss must not be.

        Raises
        ------
        ValueError
            A column does not exist, no feature is left, the target has one value only or does
            not suit the task, or a column's cells cannot be encoded.
        """
        table.require([target, *ignore])
        names = [name for name in table.names if name != target and name not in ignore]
        if target in ignore:
            raise ValueError(f"the target column {target!r} cannot be ignored")
        if not names:
            raise ValueError(f"{table.source} has no column to predict {target!r} from; it has {listed(table.names)}")
        features = tuple(_fit_feature(table, name, train_rows) for name in names)
        fitted = _fit_target(table, target, task, train_rows)
        if isinstance(fitted, Standardised) and not scale_target:
            fitted = Standardised(target, 0.0, 1.0)
        return cls(features, fitted)

    @property
    def task(self) -> Task:
        """``"classification"`` or ``"regression"``."""
        return "classification" if isinstance(self.target, Categories) else "regression"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of every column of ``X``; ``column=label`` where it is one-hot."""
        return tuple(name for column in self.features for name in column.feature_names)

    @property
    def outputs(self) -> int:
        """Outputs that a net for this target needs: one per class, or one."""
        return len(self.target.feature_names)

    def encode_features(self, table: Table) -> Numbers:
        """Return ``X``, float64, (rows, features), from a table that has the feature columns.

        Raises
        ------
        ValueError
            Columns are missing (all are listed), or a cell is missing, infinite, not a number
            where one is needed, or of an unknown category.
        """
        table.require([column.name for column in self.features])
        return np.hstack([column.encode(table) for column in self.features])

    def encode_target(self, table: Table) -> NDArray[Any]:
        """Return ``Y``: class indices, int64, (rows,), or scaled numbers, float64, (rows, 1)."""
        if isinstance(self.target, Categories):
            return self.target.encode_indices(table)
        return self.target.encode(table)

    def to_dict(self) -> dict[str, Any]:
        """Return a description that JSON keeps exactly (floats are written in full)."""
        return {"features": [column.to_dict() for column in self.features], "target": self.target.to_dict()}

    @classmethod
    def from_dict(cls, described: dict[str, Any]) -> TableEncoder:
        """Return the encoder that `to_dict` described.

        Raises
        ------
        ValueError
            Something else was given.
        """
        try:
            features = tuple(_column_from_dict(column) for column in described["features"])
            return cls(features, _column_from_dict(described["target"]))
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"this is not the description of a table encoder: {error!r}") from None


def _fit_feature(table: Table, name: str, rows: NDArray[np.integer[Any]] | None) -> Column:
    if table.is_numeric(name):
        return Standardised.fit(table, name, rows)
    cells = table.text(name)
    different = len(set(cells))
    if different == table.rows or different > MAX_CATEGORIES:
        raise ValueError(
            f"{table.source}, column {name!r}: {different} different texts, such as {cells[0]!r}, are names rather "
            f"than categories; leave the column out with --ignore {shlex.quote(name)}"
        )
    return Categories.fit(table, name)


def _fit_target(table: Table, name: str, task: Task, rows: NDArray[np.integer[Any]] | None) -> Column:
    cells = table.text(name)
    if task == "regression" and not table.is_numeric(name):
        row = next(row for row, cell in enumerate(cells) if read_number(cell) is None)
        raise ValueError(f"{table.place(row, name)}: {cells[row]!r} is not a number, as regression needs")
    labels = Categories.fit(table, name) if task == "classification" else None
    if (len(labels.labels) if labels else len(np.unique(table.numbers(name)))) == 1:
        raise ValueError(f"{table.source}: the target column {name!r} has one value only, {cells[0]!r}")
    if labels:
        return labels
    scaled = Standardised.fit(table, name, rows)
    return replace(scaled, std=1.0) if scaled.std == CONSTANT else scaled


def _column_from_dict(described: dict[str, Any]) -> Column:
    name = described["name"]
    if "labels" in described:
        labels, numeric = described["labels"], described["numeric"]
        if not all(isinstance(text, str) for text in (name, *labels)) or not isinstance(numeric, bool):
            raise TypeError("labels must be strings")
        if len(set(labels)) != len(labels) or len(labels) > MAX_CATEGORIES:
            raise ValueError(f"column {name!r:.80} must have at most {MAX_CATEGORIES} labels, each once")
        return Categories(name, tuple(labels), numeric)
    mean, std = described["mean"], described["std"]
    if not isinstance(name, str) or not math.isfinite(mean) or not math.isfinite(std) or std <= 0:
        raise TypeError("mean and std must be finite numbers, std positive")
    return Standardised(name, mean, std)
