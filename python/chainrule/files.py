"""Nets on disk: a safetensors file, exact and complete, replaced as a whole or not at all.

The file holds the tensors ``weights.0, biases.0, ...`` and, where the net has been trained by a rule
with moments, ``optimizer.0, ...`` (flat, in the order of ``net.parameters``). Its metadata holds the
JSON text ``chainrule`` (format version, configuration, seed, epochs, optimizer, and a checksum of it all) beside any
entries of the user's.
What a run of `fit` keeps there besides (``run.*`` and ``chainrule.run``) is the matter of `checkpoints`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .atomic_files import named_file, read_whole, remove_leftovers, write_atomically
from .checks import read_flag, read_index, read_number
from .checksum import NO_CHECKSUM, check_checksum, with_checksum
from .config import NetConfig, choose, read_count
from .errors import ModelFormatError
from .initializers import read_seed
from .rates import ScheduleState, read_schedule_state
from .views import layer_views

if TYPE_CHECKING:
    from .net import Net

__all__ = [
    "RUN_KEY",
    "Tensors",
    "check_tensor",
    "load",
    "load_with_metadata",
    "read",
    "read_metadata",
    "read_state",
    "reading",
    "remove_leftovers",
    "restore",
    "save",
    "write_atomically",
]

FORMAT_VERSION = 1

#: Where the metadata of a checkpoint describe its run, and how the names of the run's tensors begin.
RUN_KEY = "chainrule.run"
RUN_TENSORS = "run."

#: Arrays that each rule may keep, a number per parameter; sgd and rmsprop keep one less without momentum.
SLOTS = {"sgd": (0, 1), "adam": (2,), "adamw": (2,), "nadam": (2,), "rmsprop": (1, 2), "adagrad": (1,), "rprop": (2,)}

#: Counts of a file are at most this: the core goes on counting, in 64 bits.
MOST_STEPS = 2**63

Tensors = dict[str, NDArray[Any]]


def save(net: Net, path: str | os.PathLike[str], metadata: dict[str, str], run: Tensors | None = None) -> None:
    """Write `net`, and the tensors of a run if there are any, to `path`; see `Net.save`."""
    from safetensors import SafetensorError
    from safetensors.numpy import save as to_bytes

    if not isinstance(metadata, dict) or not all(isinstance(text, str) for entry in metadata.items() for text in entry):
        raise TypeError(f"metadata must be a dict of str to str; got {metadata!r:.80}")
    file = named_file(path)
    parameters, (rule, steps, slots), epochs_trained, epoch_in_progress = net._core.read_state()
    weights, biases = layer_views(net.config, parameters)
    tensors = {f"weights.{layer}": values for layer, values in enumerate(weights)}
    tensors |= {f"biases.{layer}": values for layer, values in enumerate(biases)}
    tensors |= {f"optimizer.{slot}": values for slot, values in enumerate(slots)}
    tensors |= run or {}
    description = {
        "format": FORMAT_VERSION,
        "sizes": net.config.sizes,
        "activations": net.config.activations,
        "loss": str(net.config.loss),
        "reduction": net.config.reduction,
        "bias": net.config.bias,
        "dtype": net.config.dtype,
        "seed": net.seed,
        "epochs_trained": epochs_trained,
        "dropout": net.config.dropout,
        "input_noise": net.config.input_noise,
        "frozen": net.frozen,
        "epoch_in_progress": epoch_in_progress,
        "schedule": net.schedule_state,
        "optimizer": {"rule": rule, "steps": steps, "slots": len(slots)},
        "checksum": NO_CHECKSUM,  # the last of all, see there
    }
    if run is None:
        metadata = {name: text for name, text in metadata.items() if name != RUN_KEY}  # of a file that was read
    metadata = metadata | {"chainrule": json.dumps(description)}
    size = sum(values.nbytes for values in tensors.values()) + sum(len(text) for text in metadata.values())
    _require_memory(path, 2 * size)  # that of the library and that of the result
    try:
        content = to_bytes(tensors, metadata=with_checksum(tensors, metadata))
    except SafetensorError as error:
        raise ValueError(f"{os.fspath(path)}: metadata cannot be written: {error}") from error
    write_atomically(file, content)


def load(cls: type[Net], path: str | os.PathLike[str]) -> Net:
    """Read a net from `path`; see `Net.load`."""
    return _load(cls, Path(path))[0]


def load_with_metadata(path: str | os.PathLike[str]) -> tuple[Net, dict[str, str]]:
    """Return the net of a file and its metadata, of the same reading: the next might find another file.

    Raises
    ------
    OSError, ModelFormatError
        As `Net.load`.
    """
    from .net import Net

    return _load(Net, Path(path))


def _load(cls: type[Net], path: Path) -> tuple[Net, dict[str, str]]:
    tensors, metadata = read(path)
    with reading(path):
        net = _build(cls, json.loads(metadata["chainrule"]), tensors)
        if RUN_KEY in metadata:
            from .run_identity import digest_of_state

            net._run_id, net._run_left = json.loads(metadata[RUN_KEY])["id"], digest_of_state(net)
        return net, metadata


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with the contents of a file into `ModelFormatError`."""
    try:
        yield
    except KeyError as error:
        raise ModelFormatError(f"{path}: not a model of chainrule: {error.args[0]!r} is missing") from error
    except (TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not a model of chainrule: {error}") from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a model file, the user's entries and the one named ``chainrule``.

    Raises
    ------
    OSError, ModelFormatError
        As `Net.load`.
    """
    return read(Path(path))[1]


def read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Return the tensors and the metadata of a file.

    Raises
    ------
    OSError, ModelFormatError
        As `Net.load`.
    """
    import safetensors.numpy

    content = read_whole(path)
    _require_memory(path, len(content))
    try:
        tensors = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ModelFormatError(f"{path}: not a safetensors file: {error}") from error
    metadata = header.get("__metadata__") or {}
    try:
        check_checksum(tensors, metadata)
    except ValueError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    return tensors, metadata


def _require_memory(path: str | os.PathLike[str], size: int) -> None:
    """Raise MemoryError where `size` bytes cannot be had: the library for the format would end the process."""
    try:
        bytearray(size)
    except MemoryError:
        raise MemoryError(f"{os.fspath(path)}: no memory for the {size} bytes that it takes besides") from None


def _build(cls: type[Net], description: dict[str, Any], tensors: Tensors) -> Net:
    _check_version(description)
    try:
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
    except MemoryError as error:  # what the sizes would need, of which nothing has been taken yet
        raise ValueError(str(error)) from error
    # What the file promises is looked at before memory is taken for it.
    _check_tensors(config, _read_optimizer(description["optimizer"])[2], tensors)
    net = cls.__new__(cls)
    net._build(config, read_seed(read_count("seed", description["seed"], minimum=0)), None)
    restore(net, description, tensors)
    return net


def restore(net: Net, description: dict[str, Any], tensors: Tensors) -> None:
    """Put a net of the configuration and seed of a file into the state that the file holds.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError, OverflowError
        The file does not hold one.
    """
    state = read_state(net.config, description, tensors)
    net.unfreeze()
    net.freeze(*state.frozen)
    for kind, views in (("weights", net.weights), ("biases", net.biases)):
        for layer, view in enumerate(views):
            view[...] = tensors[f"{kind}.{layer}"]
    slots = [tensors[f"optimizer.{slot}"] for slot in range(state.slots)]
    net._core.write_optimizer_state(state.rule, state.steps, slots)
    net._core.epochs_trained = state.epochs_trained
    net.schedule_state = state.schedule
    net._core.resume_epoch(*state.progress)


class State(NamedTuple):
    """What a file says of a net besides its parameters."""

    rule: str
    steps: int
    slots: int
    epochs_trained: int
    progress: tuple[int, float, float, int, int, bool]
    schedule: ScheduleState | None
    frozen: list[int]


def read_state(config: NetConfig, description: dict[str, Any], tensors: Tensors) -> State:
    """Return the state that a file holds for a net of this configuration, all of it checked; errors as of `restore`."""
    _check_version(description)
    rule, steps, slots = _read_optimizer(description["optimizer"])
    _check_tensors(config, slots, tensors)
    frozen = [read_index("a frozen layer", layer) for layer in description.get("frozen", ())]
    if not all(0 <= layer < len(config.layer_shapes) for layer in frozen):
        raise ValueError(f"frozen layers are {frozen}, of {len(config.layer_shapes)}")
    return State(
        rule,
        steps,
        slots,
        _read_long_count("epochs_trained", description["epochs_trained"]),
        _read_progress(description.get("epoch_in_progress")),
        read_schedule_state(description.get("schedule")),
        frozen,
    )


def _check_version(description: dict[str, Any]) -> None:
    version = description["format"]
    if version != FORMAT_VERSION:
        raise ValueError(f"format {version!r} is not known; this version reads {FORMAT_VERSION}")


def _read_progress(given: Any) -> tuple[int, float, float, int, int, bool]:
    """Return what of an epoch was done: rows, their losses and weights, all rows, minibatch, and if shuffled."""
    if given is None:
        return 0, 0.0, 0.0, 0, 0, False
    rows_done, loss, weight, rows, batch_size, shuffled = given
    rows, rows_done = _read_long_count("rows", rows), _read_long_count("rows_done", rows_done)
    if not 0 < rows_done <= rows:
        raise ValueError(f"epoch_in_progress has {rows_done!r} of {rows!r} rows done")
    read_number("the size of the loss", abs(loss))  # which may be negative
    return (
        rows_done,
        float(loss),
        read_number("the weight of the rows done", weight),
        rows,
        _read_long_count("batch_size", batch_size),
        read_flag("shuffled", shuffled),
    )


def _read_long_count(argument: str, given: object) -> int:
    count = read_count(argument, given, minimum=0)
    if count > MOST_STEPS:
        raise ValueError(f"{argument} must be at most 2^63, got {count}")
    return count


def _read_optimizer(description: dict[str, Any]) -> tuple[str, int, int]:
    """Return the rule, its steps so far, and the number of its arrays."""
    rule = choose("optimizer rule", description["rule"], tuple(SLOTS))
    slots = read_count("optimizer slots", description["slots"], minimum=0)
    if slots not in SLOTS[rule]:
        raise ValueError(f"optimizer {rule!r} with {slots} arrays; expected one of {SLOTS[rule]}")
    return rule, _read_long_count("optimizer steps", description["steps"]), slots


def _check_tensors(config: NetConfig, slots: int, tensors: Tensors) -> None:
    """Every tensor that the description promises is there, alone, with its shape and dtype."""
    expected: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(config.layer_shapes):
        expected[f"weights.{layer}"] = (fan_in, fan_out)
        if config.bias:
            expected[f"biases.{layer}"] = (fan_out,)
    expected |= {f"optimizer.{slot}": (config.parameter_count,) for slot in range(slots)}
    found = {name for name in tensors if not name.startswith(RUN_TENSORS)}
    if expected.keys() != found:
        raise ValueError(f"expected the tensors {sorted(expected)}; found {sorted(found)}")
    for name, shape in expected.items():
        check_tensor(name, tensors[name], shape, config.dtype)


def check_tensor(name: str, found: NDArray[Any], shape: tuple[int, ...], dtype: str) -> None:
    """Raise ValueError if a tensor is not of this shape and dtype."""
    if found.shape != shape or found.dtype != np.dtype(dtype):
        raise ValueError(f"{name} is {found.dtype}{found.shape}; expected {dtype}{shape}")
