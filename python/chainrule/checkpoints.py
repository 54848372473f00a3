"""A run of `fit` on disk: the file of its net, with what the fit itself has to remember beside it.

To the tensors and metadata of `files` come the tensors ``run.history`` (a row each of losses, learning rates,
validation losses and metrics) and ``run.best`` (the parameters of the best epoch), and the JSON text ``chainrule.run``.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from .atomic_files import absolute_file, stat_of_file
from .checks import read_number
from .config import choose, read_count
from .files import RUN_KEY, Tensors, check_tensor, read, read_state, reading, remove_leftovers, restore, save
from .history import History, StopReason
from .rates import ScheduleState, read_schedule_state
from .run_identity import Identity, differences, digest_of_state, net_identity

if TYPE_CHECKING:
    from .net import Net

__all__ = ["Checkpoint"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Past:
    """What a file says of the run so far.

    Attributes
    ----------
    identity : dict
        Of the net, the data and the settings when the run began.
    seed, first_epoch : int
        Of the net, and the epochs of its life before the run.
    history : History
    finished : bool
        Whether nothing is left to do.
    best : ndarray, flat, or None
        The parameters of the best epoch, where they are kept.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    identity: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    first_epoch: int = 0
    schedule_state: ScheduleState | None = None
    history: History = field(default_factory=History)
    finished: bool = False
    best: Array | None = None


class Checkpoint:
    """The file of a run, read where there is one; the net is left as it is until `claim`.

    Parameters
    ----------
    net : Net
    path : path
    every : int
        Epochs between two writes.

    Attributes
    ----------
    exists : bool
        Whether there was a file.
    past : Past
        What it holds; without a file, the beginning.

    Raises
    ------
    OSError
        The file cannot be read.
    ModelFormatError
        It is damaged, or no file of chainrule.
    ValueError
        It is a model that no run wrote.
    """

    def __init__(self, net: Net, path: str | os.PathLike[str], every: int) -> None:
        self._net, self.every = net, every
        self._path = absolute_file(path)
        self.exists = stat_of_file(self._path) is not None
        if self.exists:
            self._read()
        else:
            self.past = Past(seed=net.seed, first_epoch=net.epochs_trained, schedule_state=net.schedule_state)

    @property
    def start(self) -> tuple[int, int, ScheduleState | None]:
        """The net's seed and its epochs before the run, and the state of the schedule to go on from."""
        return self.past.seed, self.past.first_epoch, self.past.schedule_state

    def claim(self, of_fit: Identity) -> None:
        """Make the file that of this fit, and put the net where its run was left.

        Parameters
        ----------
        of_fit : dict
            The identity of data and settings.

        Raises
        ------
        ValueError
            The file is of another run.
        """
        net, past = self._net, self.past
        here = net_identity(net) | of_fit
        if self.exists:
            # The net of this very run, interrupted or loaded, may be anywhere within it.
            is_own = net._run_id == past.id
            self._check(of_fit if is_own else here)
            if is_own and net._run_left not in (None, digest_of_state(net)):
                raise ValueError(
                    f"checkpoint={str(self._path)!r} is of a run of this net, which has been trained or changed since; "
                    "load the net from it, give another name, or delete the file to begin anew"
                )
        # From here on Ctrl-C may leave it anywhere within.
        net._run_id, net._run_left = past.id, None
        if self.exists:
            self._resume()
        self._identity = past.identity or here
        remove_leftovers(self._path)

    def leave(self) -> None:
        """Remember the state in which a fit leaves the net, by which later changes are told."""
        self._net._run_left = digest_of_state(self._net)

    def until_due(self, epochs: int) -> int:
        """Return how many epochs there are from these to the next write."""
        return self.every - epochs % self.every

    def save(self, history: History, best: Array | None, *, finished: bool = False) -> None:
        """Write the run as it is now, atomically; an older file stays if that fails, and the net in any case.

        Parameters
        ----------
        history : History
            Of all of the run.
        best : ndarray, flat, or None
            The parameters of the best epoch so far.
        finished : bool
        """
        run = {
            "id": self.past.id,
            "identity": self._identity,
            "first_epoch": self.past.first_epoch,
            "epochs": history.epochs,
            "seconds": history.seconds,
            "stopped": history.stopped if finished else None,
            "validated": history.validation_loss is not None,
            "metrics": list(history.metrics),
        }
        tensors = {"run.history": _table(history)} | ({} if best is None else {"run.best": best})
        save(self._net, self._path, {RUN_KEY: json.dumps(run)}, tensors)

    def _read(self) -> None:
        self._tensors, metadata = read(self._path)
        if "chainrule" in metadata and RUN_KEY not in metadata:
            raise ValueError(f"checkpoint={str(self._path)!r} is a model that no run wrote; give another name")
        with reading(self._path):
            self._description = json.loads(metadata["chainrule"])
            run = json.loads(metadata[RUN_KEY])
            self.past = _read_past(self._description, run, self._tensors)

    def _resume(self) -> None:
        """Put the net where the run was left."""
        net, past = self._net, self.past
        with reading(self._path):  # all of it is looked at before the net is changed
            read_state(net.config, self._description, self._tensors)
            if past.best is not None:
                check_tensor("run.best", past.best, net.parameters.shape, net.config.dtype)
        if net.seed != past.seed:
            net._build(net.config, past.seed, net.threads)
        restore(net, self._description, self._tensors)
        del self._tensors

    def _check(self, here: Identity) -> None:
        found = differences(here, self.past.identity)
        if found:
            raise ValueError(
                f"checkpoint={str(self._path)!r} holds another run: {'; '.join(found)}. "
                "Give another name, or delete the file to begin anew"
            )


def _table(history: History) -> Array:
    """Return the numbers of every epoch, (columns, epochs)."""
    rates = np.empty(0) if history.learning_rate is None else history.learning_rate
    validation = [] if history.validation_loss is None else [history.validation_loss]
    return np.stack([history.loss, rates, *validation, *history.metrics.values()])


def _read_past(description: dict[str, Any], run: dict[str, Any], tensors: Tensors) -> Past:
    if not isinstance(run["identity"], dict) or not isinstance(run["id"], str):
        raise TypeError("a run needs an identity and an id")
    first_epoch = read_count("first_epoch", run["first_epoch"], minimum=0)
    history = _read_history(run, tensors["run.history"])
    if first_epoch + history.epochs > description["epochs_trained"]:  # a callback may train, too
        raise ValueError(
            f"a run of {history.epochs} epochs after {first_epoch} is not at epoch {description['epochs_trained']!r}"
        )
    return Past(
        id=run["id"],
        identity=run["identity"],
        seed=read_count("seed", description["seed"], minimum=0),
        first_epoch=first_epoch,
        schedule_state=read_schedule_state(description["schedule"]),
        history=history,
        finished=run["stopped"] is not None,
        best=tensors.get("run.best"),
    )


def _read_history(run: dict[str, Any], table: Array) -> History:
    epochs, names, validated = read_count("epochs", run["epochs"], minimum=0), list(run["metrics"]), run["validated"]
    if run["identity"].get("metrics", str(names)) != str(names):
        raise ValueError(f"the metrics {names} are not those of the run, {run['identity']['metrics']}")
    check_tensor("run.history", table, (2 + bool(validated) + len(names), epochs), "float64")
    loss, rates, *others = table
    stopped = "epochs" if run["stopped"] is None else choose("stopped", run["stopped"], get_args(StopReason))
    return History(
        loss=loss,
        learning_rate=rates,
        validation_loss=others.pop(0) if validated else None,
        metrics=dict(zip(names, others, strict=True)),
        epochs=epochs,
        seconds=read_number("seconds", run["seconds"]),
        stopped=cast("StopReason", stopped),
    )
