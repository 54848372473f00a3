"""The two data sets that ship with chainrule; data/README.md states source and licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tables import Categories, Standardised, TableEncoder, infer_task, read_table

__all__ = ["DATASETS", "BundledTable", "Dataset", "load_auto_mpg", "load_penguins"]

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class BundledTable:
    """A CSV file of this package: where it is, which column is to be predicted, what was left out."""

    path: Path
    target: str
    note: str


#: The bundled tables by name.
DATASETS = {
    "penguins": BundledTable(_DATA / "penguins.csv", "species", "11 of 344 rows, with missing values, were left out"),
    "auto_mpg": BundledTable(_DATA / "auto_mpg.csv", "mpg", "6 of 398 rows, with missing values, were left out"),
}


@dataclass(frozen=True)
class Dataset:
    """A data set as arrays that a net can be fitted to.

    Attributes
    ----------
    X : ndarray of float64, (rows, features)
        Numbers standardised over all rows, text one-hot.
    y : ndarray
        Class indices, int64, (rows,); or the numbers to predict in their own unit, float64, (rows, 1).
    feature_names : tuple of str
        Name of every column of `X`; ``column=label`` where it is one-hot.
    target_names : tuple of str
        The classes in the order of their indices; or the one target column.
    """

    X: NDArray[np.float64]
    y: NDArray[Any]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]


def load_penguins() -> Dataset:
    """Return Palmer penguins: 333 rows, 9 features, the species (3 classes) to predict."""
    return _load(DATASETS["penguins"])


def load_auto_mpg() -> Dataset:
    """Return Auto MPG: 392 rows, 9 features, miles per gallon to predict."""
    return _load(DATASETS["auto_mpg"])


def _load(bundled: BundledTable) -> Dataset:
    table = read_table(bundled.path)
    encoder = TableEncoder.fit(table, bundled.target, infer_task(table, bundled.target))
    X = encoder.encode_features(table)
    match encoder.target:
        case Categories(labels=labels):
            return Dataset(X, encoder.encode_target(table), encoder.feature_names, labels)
        case Standardised(name=name):
            return Dataset(X, table.numbers(name)[:, np.newaxis], encoder.feature_names, (name,))
