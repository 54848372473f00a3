"""Parameters and fitted attributes of estimators in JSON's terms, and back, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..losses import Loss, read_loss
from ..optimizers import OPTIMIZERS, Optimizer

__all__ = ["from_plain", "to_plain"]

#: Values that JSON has no word for are an object with one of these keys.
KINDS = ("tuple", "dict", "array", "loss", "optimizer", "random_state")

#: NumPy's dtypes of arrays whose elements JSON holds; its own reader takes texts of every kind, and some as Python.
ARRAY_DTYPE = re.compile(r"[<>|=]?(U[1-9][0-9]{0,8}|O|[biuf][0-9]{1,2}|[Mm]8(\[[0-9]{0,9}[A-Za-z]{1,2}\])?)")
#: An array of texts has the width that it had up to here; beyond, that of the longest, for a file must not take memory
#: out of proportion to its size.
WIDEST = 256

#: Numbers in the state of NumPy's Mersenne Twister.
TWISTER_KEYS = 624


def to_plain(name: str, value: Any) -> Any:
    """Return `value` in JSON's terms.

    Raises
    ------
    TypeError
        There are none for it; the message says which attribute it is.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [to_plain(name, element) for element in value]
    if isinstance(value, tuple):
        return {"tuple": [to_plain(name, element) for element in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_plain_key(name, key), to_plain(name, value[key])] for key in value]}
    if isinstance(value, np.ndarray):
        return {"array": [to_plain(name, element) for element in value.tolist()], "dtype": value.dtype.str}
    if isinstance(value, Loss):
        return {"loss": str(value)}
    if isinstance(value, Optimizer):
        return {"optimizer": value.name, "constants": asdict(value)}
    if isinstance(value, np.random.RandomState):
        kind, keys, *rest = value.get_state(legacy=True)
        return {"random_state": [kind, np.asarray(keys).tolist(), *rest]}
    raise TypeError(f"{name} cannot be saved: {value!r}")


def _plain_key(name: str, key: Any) -> Any:
    """Return a key that `from_plain` takes."""
    try:
        return _read_key(to_plain(name, key))
    except ValueError as error:
        raise TypeError(f"{name} cannot be saved: {error}") from None


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given.

    Raises
    ------
    KeyError, TypeError, ValueError, OverflowError
        It is not what `to_plain` returns.
    """
    if isinstance(value, list):
        return [from_plain(element) for element in value]
    if not isinstance(value, dict):
        return value
    kind = next((kind for kind in KINDS if kind in value), None)
    if kind == "tuple":
        return tuple(from_plain(element) for element in value["tuple"])
    if kind == "dict":
        return {_read_key(key): from_plain(element) for key, element in value["dict"]}
    if kind == "array":
        return _read_array([from_plain(element) for element in value["array"]], value["dtype"])
    if kind == "loss":
        return read_loss(value["loss"])
    if kind == "optimizer":
        return OPTIMIZERS[value["optimizer"]](**value["constants"])
    if kind == "random_state":
        return _read_random_state(*value["random_state"])
    raise ValueError(f"an object is none of {', '.join(KINDS)}: {sorted(value)}")


def _read_key(key: Any) -> Any:
    """Return a key of a dictionary, or an element of an array that becomes one, if not many can have one hash."""
    if not isinstance(key, NoneType | str | float | int) or (isinstance(key, int) and not -(2**63) <= key < 2**64):
        raise ValueError(f"a label or key must be a text or a number of 64 bits, got {key!r:.80}")
    return key


def _read_array(elements: list[Any], name: str) -> NDArray[Any]:
    if not ARRAY_DTYPE.fullmatch(name):
        raise ValueError(f"an array cannot be of dtype {name!r:.80}")
    dtype = np.dtype(name)
    if dtype.kind == "O":
        elements = [_read_key(element) for element in elements]
    if dtype.kind == "U" and not all(isinstance(element, str) for element in elements):
        raise ValueError("an array of texts has something else in it")
    if dtype.kind == "U" and dtype.itemsize > np.dtype(f"U{WIDEST}").itemsize:
        longest = max((len(element) for element in elements), default=0)
        if longest * len(elements) > WIDEST * (len(elements) + sum(map(len, elements))):
            raise ValueError("an array of texts is far wider than what it holds")
        dtype = np.dtype(f"{dtype.byteorder}U{min(max(longest, WIDEST), dtype.itemsize // 4)}")
    return np.array(elements, dtype=dtype)


def _read_random_state(
    kind: str, keys: list[int], position: int, has_gauss: int, gauss: float
) -> np.random.RandomState:
    """Return a generator; NumPy itself would take any position, and read its keys there."""
    if len(keys) != TWISTER_KEYS or not 0 <= position <= TWISTER_KEYS:
        raise ValueError(f"random_state has {len(keys)} keys and is at {position!r} of them; expected {TWISTER_KEYS}")
    random = np.random.RandomState()
    random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, gauss))
    return random
