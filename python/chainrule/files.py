"""Nets on disk: a safetensors file, exact and complete, replaced as a whole or not at all.

The file holds the tensors ``weights.0, biases.0, ...`` and, where the net has been trained by a rule
with moments, ``optimizer.0, ...`` (flat, in the order of ``net.parameters``). Its metadata holds the
JSON text ``chainrule`` (format version, configuration, seed, epochs, optimizer) beside any entries of the user's.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .config import NetConfig, choose, read_count
from .errors import ModelFormatError
from .initializers import read_seed
from .rates import read_schedule_state

if TYPE_CHECKING:
    from .net import Net

__all__ = ["load", "read_metadata", "save"]

FORMAT_VERSION = 1

#: Arrays that each rule may keep, a number per parameter; sgd and rmsprop keep one less without momentum.
SLOTS = {"sgd": (0, 1), "adam": (2,), "adamw": (2,), "nadam": (2,), "rmsprop": (1, 2), "adagrad": (1,), "rprop": (2,)}

Tensors = dict[str, NDArray[Any]]


def save(net: Net, path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
    """Write `net` to `path`; see `Net.save`."""
    from safetensors.numpy import save as to_bytes

    rule, steps, slots = net._core.read_optimizer_state()
    tensors = {f"weights.{layer}": weights for layer, weights in enumerate(net.weights)}
    tensors |= {f"biases.{layer}": biases for layer, biases in enumerate(net.biases)}
    tensors |= {f"optimizer.{slot}": values for slot, values in enumerate(slots)}
    description = {
        "format": FORMAT_VERSION,
        "sizes": net.config.sizes,
        "activations": net.config.activations,
        "loss": str(net.config.loss),
        "reduction": net.config.reduction,
        "bias": net.config.bias,
        "dtype": net.config.dtype,
        "seed": net.seed,
        "epochs_trained": net.epochs_trained,
        "dropout": net.config.dropout,
        "input_noise": net.config.input_noise,
        "frozen": net.frozen,
        "epoch_in_progress": net._core.epoch_in_progress,
        "schedule": net.schedule_state,
        "optimizer": {"rule": rule, "steps": steps, "slots": len(slots)},
    }
    write_atomically(Path(path), to_bytes(tensors, metadata=metadata | {"chainrule": json.dumps(description)}))


def load(cls: type[Net], path: str | os.PathLike[str]) -> Net:
    """Read a net from `path`; see `Net.load`."""
    tensors, metadata = _read(Path(path))
    try:
        description = json.loads(metadata["chainrule"])
        version = description["format"]
        if version != FORMAT_VERSION:
            raise ValueError(f"format {version!r} is not known; this version reads {FORMAT_VERSION}")
        return _build(cls, description, tensors)
    except KeyError as error:
        raise ModelFormatError(f"{path}: not a model of chainrule: {error.args[0]!r} is missing") from error
    except (TypeError, ValueError, IndexError, OverflowError, MemoryError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not a model of chainrule: {error}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a model file, the user's entries and the one named ``chainrule``.

    Raises
    ------
    OSError, ModelFormatError
        As `Net.load`.
    """
    return _read(Path(path))[1]


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` by way of a temporary file beside it, so that `path` is old or new, never half."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode_of(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode_of(path: Path) -> int:
    """Permissions of the file to be replaced, or of a new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):
        pass  # a missing or unreadable file is an OSError, whatever the library makes of it
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ModelFormatError(f"{path}: not a safetensors file: {error}") from error


def _build(cls: type[Net], description: dict[str, Any], tensors: Tensors) -> Net:
    config = NetConfig.create(
        description["sizes"],
        description["activations"][:-1],
        description["activations"][-1],
        description["loss"],
        description["reduction"],
        description["bias"],
        description["dtype"],
        # Files of older versions have none of these.
        description.get("dropout", 0.0),
        description.get("input_noise", 0.0),
    )
    rule, steps, slots = _read_optimizer(description["optimizer"])
    _check_tensors(config, slots, tensors)
    net = cls.__new__(cls)
    net._build(config, read_seed(read_count("seed", description["seed"], minimum=0)), None)
    for kind, views in (("weights", net.weights), ("biases", net.biases)):
        for layer, view in enumerate(views):
            view[...] = tensors[f"{kind}.{layer}"]
    net._core.write_optimizer_state(rule, steps, [tensors[f"optimizer.{slot}"] for slot in range(slots)])
    net._core.epochs_trained = read_count("epochs_trained", description["epochs_trained"], minimum=0)
    net.freeze(*description.get("frozen", ()))
    net.schedule_state = read_schedule_state(description.get("schedule"))
    if (progress := description.get("epoch_in_progress")) is not None:
        rows_done, loss, weight, rows, batch_size, shuffled = progress
        if not 0 < rows_done <= rows:
            raise ValueError(f"epoch_in_progress has {rows_done!r} of {rows!r} rows done")
        net._core.resume_epoch(rows_done, loss, weight, rows, batch_size, shuffled)
    return net


def _read_optimizer(description: dict[str, Any]) -> tuple[str, int, int]:
    """Return the rule, its steps so far, and the number of its arrays."""
    rule = choose("optimizer rule", description["rule"], tuple(SLOTS))
    slots = read_count("optimizer slots", description["slots"], minimum=0)
    if slots not in SLOTS[rule]:
        raise ValueError(f"optimizer {rule!r} with {slots} arrays; expected one of {SLOTS[rule]}")
    return rule, read_count("optimizer steps", description["steps"], minimum=0), slots


def _check_tensors(config: NetConfig, slots: int, tensors: Tensors) -> None:
    """Every tensor that the description promises is there, alone, with its shape and dtype."""
    expected: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(config.layer_shapes):
        expected[f"weights.{layer}"] = (fan_in, fan_out)
        if config.bias:
            expected[f"biases.{layer}"] = (fan_out,)
    expected |= {f"optimizer.{slot}": (config.parameter_count,) for slot in range(slots)}
    if expected.keys() != tensors.keys():
        raise ValueError(f"expected the tensors {sorted(expected)}; found {sorted(tensors)}")
    for name, shape in expected.items():
        found = tensors[name]
        if found.shape != shape or found.dtype != np.dtype(config.dtype):
            raise ValueError(f"{name} is {found.dtype}{found.shape}; expected {config.dtype}{shape}")
