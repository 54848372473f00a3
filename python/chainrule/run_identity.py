"""Which run of a fit a checkpoint is of: the net, the data and the settings that its result depends on, as short texts.

Not here: what cannot change the result (threads, progress, time_limit, every), and functions, which have no text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .foreign_arrays import as_csr, as_ndarray, is_sparse
from .initializers import initialize

if TYPE_CHECKING:
    from .engine import FitOptions
    from .monitor import Monitor
    from .net import Net
    from .optimizers import Optimizer

__all__ = ["Identity", "data_identity", "differences", "digest_of_state", "net_identity", "settings_identity"]

#: What has to be the same, by name, as text; None is a seed that was drawn, and what follows from it.
Identity = dict[str, "str | None"]

#: Data are read in pieces of so many bytes, so that those of a memory map need no memory.
PIECE = 1 << 22


def net_identity(net: Net) -> Identity:
    """Describe a net as it is before the first epoch: configuration, seed, and a digest of all that training moves."""
    identity: Identity = {field.name: str(getattr(net.config, field.name)) for field in fields(net.config)}
    identity["seed"] = None if net._seed_is_drawn else str(net.seed)
    drawn = _is_as_drawn(net)
    # What was drawn is not in the state, by which nets with a seed of the user's differ.
    identity["init"] = net._drawn_by if drawn else "given"
    identity["the net's state at the start"] = digest_of_state(net) if not drawn else _frozen_text(net)
    return identity


def settings_identity(
    options: FitOptions,
    epochs: int,
    schedule: object,
    class_weight: Any,
    metrics: Mapping[str, Any],
    monitored: Monitor,
) -> Identity:
    """Describe the arguments of a fit, all checked."""
    settings: dict[str, object] = {
        "epochs": epochs,
        "optimizer": _all_constants(options.optimizer),
        "batch_size": options.batch_size,
        "shuffle": options.shuffle,
        "tol": options.tol,
        "patience": options.patience,
        "schedule": _text_of_schedule(schedule),
        "class_weight": dict(sorted(class_weight.items())) if isinstance(class_weight, Mapping) else class_weight,
        "metrics": list(metrics),
        "monitor": (monitored.name, "max" if monitored.more_is_better else "min"),
    }
    settings |= {field.name: getattr(options.regularization, field.name) for field in fields(options.regularization)}
    return {name: str(value) for name, value in settings.items()}


def data_identity(X: Any, Y: Any, sample_weight: Any, validation: Any) -> Identity:
    """Describe the data of a fit, as they were given, by shapes, dtypes and a hash of the numbers."""
    identity: Identity = {"X": _describe(X), "Y": _describe(Y), "sample_weight": _describe(sample_weight)}
    parts = validation if isinstance(validation, tuple | list) else ()
    identity["validation"] = " ".join(map(_describe, parts)) if parts else str(validation)
    return identity


def differences(here: Identity, there: Mapping[str, object]) -> list[str]:
    """Say what differs between the run that was asked for and that of a file."""
    return [_difference(name, value, there.get(name)) for name, value in here.items() if value != there.get(name)]


def _difference(name: str, here: str | None, there: object) -> str:
    shown = [
        "drawn" if value is None else str(value).split("blake2b:")[0].rstrip() or "given" for value in (here, there)
    ]
    return f"{name} has other values" if shown[0] == shown[1] else f"{name} is {shown[0]}, there {shown[1]}"


def _all_constants(optimizer: Optimizer) -> str:
    constants = ", ".join(f"{field.name}={getattr(optimizer, field.name)!r}" for field in fields(optimizer))
    return f"{type(optimizer).__name__}({constants})"


def _text_of_schedule(schedule: object) -> str:
    """Return what tells a schedule from others: of a class of the user's that has no text of its own, its name."""
    from .schedules import Schedule

    if not isinstance(schedule, Schedule):
        return "a function" if callable(schedule) else str(schedule)
    kind = type(schedule)
    # The default names the place in memory, which the next process does not have.
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__repr__ is object.__repr__ else str(schedule)


def _describe(given: Any) -> str:
    """Return dtype, shape and a hash of the numbers of an array, which do not depend on how it lies in memory."""
    if given is None:
        return "None"
    if is_sparse(given):
        return f"sparse {given.shape} " + " ".join(map(_describe, as_csr(given, "X")[:3]))
    array = as_ndarray(given)
    digest = hashlib.blake2b(digest_size=16)
    rows = array.reshape(1) if array.ndim == 0 else array
    step = max(1, PIECE // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        digest.update(rows[start : start + step].tobytes())
    return f"{array.dtype}{array.shape} blake2b:{digest.hexdigest()}"


def _is_as_drawn(net: Net) -> bool:
    """Whether the net still is what the seed that was drawn for it made."""
    counts = (net._core.read_optimizer_state()[1], net.epochs_trained, net._core.epoch_in_progress, net.schedule_state)
    if net._drawn_by is None or any(counts):
        return False
    fresh = type(net).__new__(type(net))
    fresh._build(net.config, net.seed, net.threads)
    initialize(net.config, net._drawn_by, net.seed, fresh.weights, fresh.biases)
    return bool((fresh.parameters == net.parameters).all())


def _frozen_text(net: Net) -> str | None:
    return f"frozen: {net.frozen}" if net.frozen else None


def digest_of_state(net: Net) -> str:
    """Return a digest of all that training moves."""
    rule, steps, slots = net._core.read_optimizer_state()
    counts = [rule, steps, net.epochs_trained, net._core.epoch_in_progress, net.frozen, net.schedule_state]
    digest = hashlib.blake2b(json.dumps(counts).encode(), digest_size=16)
    for values in (net.parameters, *slots):
        digest.update(values.data)
    return f"blake2b:{digest.hexdigest()}"
