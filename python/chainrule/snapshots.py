"""Nets in memory, as plain values: what pickle and copy need to make an equal one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .config import NetConfig
from .history import History
from .net import Net

__all__ = ["Snapshot", "others"]


#: Attributes of a net that a snapshot has in another form, or that belong to the net alone.
PARTS = {"config", "history", "schedule_state", "_run_id", "_seed", "_seed_is_drawn", "_drawn_by", "_threads", "_core"}
PARTS |= {"_run_left", "_weights", "_biases", "_weight_gradients", "_bias_gradients"}


def others(net: Net) -> Any:
    """Return the state, in the sense of pickle, that users and their subclasses gave a net, or None if there is none.

    It is what ``__getstate__`` says, without the parts of the net itself: a dict of attributes, or that and a dict of
    those in ``__slots__``; where a subclass has its own, it may be anything for its own ``__setstate__``.
    """
    state: Any = net.__getstate__()
    if isinstance(state, tuple):
        attributes, *rest = state
        return (_without_parts(attributes), *rest)
    return _without_parts(state) or None


def _without_parts(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    return {name: value for name, value in state.items() if name not in PARTS}


@dataclass(frozen=True)
class Snapshot:
    """A net's configuration, parameters, optimizer state, position in the order of the rows, and last history."""

    kind: type[Net]
    config: NetConfig
    seed: int
    seed_is_drawn: bool
    threads: int | None
    parameters: NDArray[Any]
    optimizer: tuple[str, int, list[NDArray[Any]]]
    epochs_trained: int
    epoch_in_progress: tuple[int, float, float, int, int, bool] | None
    schedule_state: Any
    frozen: tuple[int, ...]
    history: History | None
    drawn_by: str | None

    @classmethod
    def of(cls, net: Net) -> Snapshot:
        """Copy what there is to know of `net`."""
        parameters, optimizer, epochs_trained, epoch_in_progress = net._core.read_state()
        return cls(
            type(net),
            net.config,
            net.seed,
            net._seed_is_drawn,
            net.threads,
            parameters,
            optimizer,
            epochs_trained,
            epoch_in_progress,
            net.schedule_state if net.schedule_state is None else dict(net.schedule_state),
            tuple(net.frozen),
            net.history,
            net._drawn_by,
        )

    def restore(self) -> Net:
        """Return an equal net."""
        net = self.kind.__new__(self.kind)
        net._build(self.config, self.seed, self.threads)
        net._seed_is_drawn, net._drawn_by = self.seed_is_drawn, self.drawn_by
        net.parameters = self.parameters
        net._core.write_optimizer_state(*self.optimizer)
        net._core.epochs_trained = self.epochs_trained
        if self.epoch_in_progress is not None:
            net._core.resume_epoch(*self.epoch_in_progress)
        net.schedule_state = self.schedule_state
        net.freeze(*self.frozen)
        net.history = self.history
        return net
