"""Arrays of other libraries, read in place where that can be done; the binding asks here what is no ndarray.

Not here: checks of dtype, shape and values, which are the binding's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_csr", "as_ndarray", "in_place", "is_sparse"]

#: Devices of DLPack whose memory the processor reads: itself, and what CUDA and ROCm pin or manage for it.
READABLE_DEVICES = (1, 3, 11, 13)


def as_ndarray(given: Any) -> NDArray[Any]:
    """Return `given` as an array that shares its memory if it can.

    Objects with ``__dlpack__`` (the array API's protocol) and no ``__array__`` are read through the former; NumPy reads
    all others: those with ``__array__`` or the buffer protocol, and nested sequences.

    Raises
    ------
    TypeError
        It is in the memory of another device than the processor, or does not hand out its memory.
    ValueError
        It is a ragged sequence.
    """
    if hasattr(given, "__dlpack_device__"):
        _check_device(given)
        if not hasattr(given, "__array__"):
            return _from_dlpack(given)
    if isinstance(given, list | tuple) and any(type(row) is not np.ndarray and hasattr(row, "filled") for row in given):
        raise TypeError("a row is masked; fill or drop its masked values first")  # NumPy would take what is behind it
    return np.asarray(given)


def in_place(given: Any) -> Any:
    """Return what `as_ndarray` makes of arrays and sequences that are no ndarrays; all else as it is.

    That is what has no numbers of its own, sparse and masked arrays, and what cannot be read, of which the binding says
    what is wrong with it.
    """
    if given is None or isinstance(given, np.ndarray) or is_sparse(given) or hasattr(given, "filled"):
        return given
    try:
        return as_ndarray(given)
    except Exception:
        return given


def is_sparse(given: Any) -> bool:
    """Return whether `given` is a sparse matrix or array of SciPy's, or of anyone who gives it as one."""
    return hasattr(given, "tocsr")


def as_csr(given: Any, name: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], tuple[int, int]]:
    """Return the elements of a sparse matrix, their columns, where each row starts among them, and the shape.

    Elements that are stored twice are added up, in a copy. What is CSR already is not copied, nor changed.

    Raises
    ------
    ValueError
        It says of an element that it is where the matrix has no place.
    """
    _check_places(given, name)
    rows = given.tocsr()
    # SciPy follows damaged starts out of its memory; the binding says what is wrong with them.
    if _starts_are_sound(rows) and not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows.data, rows.indices, rows.indptr, rows.shape


def _check_places(given: Any, name: str) -> None:
    """Check what SciPy's conversion to CSR takes on trust."""
    form = getattr(given, "format", None)
    if form in ("csc", "bsr"):
        try:
            given.check_format()
        except ValueError as error:
            raise ValueError(f"{name} is no {form.upper()} matrix: {error}") from error
    elif form == "coo" and len(given.shape) == 2:
        for kind, places, size in zip(("row", "col"), (given.row, given.col), given.shape, strict=True):
            if len(places) != len(given.data):
                raise ValueError(f"{name}.{kind} has {len(places)} places for {len(given.data)} elements")
            for extreme in (np.min, np.max):
                if len(places) > 0 and not 0 <= extreme(places) < size:
                    raise ValueError(f"{name}.{kind} must be from 0 to {size - 1}; it is {extreme(places)}")


def _starts_are_sound(rows: Any) -> bool:
    starts = np.asarray(rows.indptr)
    if starts.shape != (rows.shape[0] + 1,) or starts[0] != 0 or (starts[1:] < starts[:-1]).any():
        return False
    return int(starts[-1]) <= min(np.size(rows.data), np.size(rows.indices))


def _check_device(given: Any) -> None:
    try:
        device = int(given.__dlpack_device__()[0])
    except (BufferError, RuntimeError, ValueError) as error:
        raise TypeError(str(error)) from error
    if device not in READABLE_DEVICES:
        raise TypeError(f"it is not in the processor's memory (DLPack device {device}); copy it there first")


def _from_dlpack(given: Any) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.from_dlpack(given)
    except (BufferError, RuntimeError) as error:
        raise TypeError(str(error)) from error
    return array
