"""Parameters and fitted attributes of estimators in JSON's terms, and back, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ..losses import Loss, read_loss
from ..optimizers import OPTIMIZERS, Optimizer

__all__ = ["from_plain", "to_plain"]

#: Values that JSON has no word for are an object with one of these keys.
KINDS = ("tuple", "dict", "array", "loss", "optimizer", "random_state")


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
        return {"dict": [[to_plain(name, key), to_plain(name, element)] for key, element in value.items()]}
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


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given.

    Raises
    ------
    KeyError, TypeError, ValueError
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
        return {from_plain(key): from_plain(element) for key, element in value["dict"]}
    if kind == "array":
        return np.array([from_plain(element) for element in value["array"]], dtype=np.dtype(value["dtype"]))
    if kind == "loss":
        return read_loss(value["loss"])
    if kind == "optimizer":
        return OPTIMIZERS[value["optimizer"]](**value["constants"])
    if kind == "random_state":
        random = np.random.RandomState()
        name, keys, *rest = value["random_state"]
        random.set_state((name, np.array(keys, np.uint32), *rest))
        return random
    raise ValueError(f"an object is none of {', '.join(KINDS)}: {sorted(value)}")
