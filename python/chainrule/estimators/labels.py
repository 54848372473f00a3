"""Class labels: those that nothing can be learned from are refused, in words that name the argument."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from scipy.sparse import issparse

__all__ = ["check_labels", "plain_labels"]

ALLOWED = "labels must be all strings, or all integers or booleans"

#: NumPy's booleans are no numbers to Python.
NUMBERS = (numbers.Number, np.number, np.bool_)


def check_labels(name: str, labels: Any) -> None:
    """Check for NaN, and labels that are Python's objects; scikit-learn checks the rest, and what is no array at all.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    labels : array-like

    Raises
    ------
    ValueError
        Some are missing: None, NaN or NA.
    TypeError
        They are of several types, or of one that is neither text nor a number; or masked.
    """
    if np.ma.isMaskedArray(labels):
        raise TypeError(f"{name} must not be masked; fill the masked labels first")
    values = _as_array(labels)
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"Input {name} contains NaN.")
    types = set(map(type, values.flat)) if values.dtype == object else set()
    if all(issubclass(each, str) for each in types):
        return
    for index, value in enumerate(values.flat):
        if _is_missing(value):
            raise ValueError(f"Input {name} contains NaN or a missing label, {value!r} at {index}; {ALLOWED}")
    if not all(issubclass(each, NUMBERS) for each in types):
        found = ", ".join(sorted(each.__name__ for each in types))
        raise TypeError(f"{name} has labels of type {found}; {ALLOWED}")


def plain_labels(labels: Any) -> Any:
    """Return a series of pandas' own integers as NumPy's; scikit-learn makes floats of them, of which few are exact."""
    dtype = getattr(labels, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if isinstance(dtype, np.dtype) or kind not in ("i", "u"):
        return labels
    return labels.to_numpy(dtype=f"{kind}8")


def _as_array(labels: Any) -> np.ndarray[Any, Any]:
    """Return labels as an array, an empty one if they are none."""
    try:
        values = np.zeros(0) if issparse(labels) else np.asarray(labels)
    except (TypeError, ValueError, RuntimeError):  # of ragged lists, or of tensors that are elsewhere
        return np.zeros(0)
    return values if values.ndim > 0 else np.zeros(0)


def _is_missing(value: object) -> bool:
    # pandas need not be installed, and its NA answers no comparison.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))
