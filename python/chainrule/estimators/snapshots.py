"""Nets in memory, as plain values: what pickle and copy need to make an equal one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..config import NetConfig
from ..net import Net

__all__ = ["Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """A net's configuration, parameters, optimizer state and position in the order of the rows."""

    config: NetConfig
    seed: int
    threads: int | None
    parameters: NDArray[Any]
    optimizer: tuple[str, int, list[NDArray[Any]]]
    epochs_trained: int
    frozen: tuple[int, ...]

    @classmethod
    def of(cls, net: Net) -> Snapshot:
        """Copy what there is to know of `net`."""
        state = net._core.read_optimizer_state()
        return cls(
            net.config, net.seed, net.threads, net.parameters.copy(), state, net.epochs_trained, tuple(net.frozen)
        )

    def restore(self) -> Net:
        """Return an equal net."""
        net = Net.__new__(Net)
        net._build(self.config, self.seed, self.threads)
        net.parameters = self.parameters
        net._core.write_optimizer_state(*self.optimizer)
        net._core.epochs_trained = self.epochs_trained
        net.freeze(*self.frozen)
        return net
