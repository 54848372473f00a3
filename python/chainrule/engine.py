"""What a fit needs of the code that runs its epochs: the C++ core, or the reference in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .optimizers import Optimizer
from .regularization import Regularization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .config import NetConfig
    from .fit_data import FitData
    from .history import History
    from .rates import ScheduleState

__all__ = ["Engine", "FitOptions", "TrainedNet"]


@dataclass(frozen=True)
class FitOptions:
    """How a net is trained, all checked.

    Attributes
    ----------
    optimizer : Optimizer
    batch_size : int or None
        None is all rows.
    shuffle : bool
    regularization : Regularization
    tol : float
    patience : int or None
    time_limit : float
        Seconds; infinite without a limit.
    judged_outside : bool
        Whether the engine waits for `Engine.judge` after each epoch instead of judging its losses.
    """

    optimizer: Optimizer
    batch_size: int | None
    shuffle: bool
    regularization: Regularization
    tol: float
    patience: int | None
    time_limit: float
    judged_outside: bool


class Engine(Protocol):
    """One fit of one net, which others drive; as a context, it keeps other threads from training the net."""

    def __enter__(self) -> None:
        """Claim the net; RuntimeError if another thread is training it."""

    def __exit__(self, *args: object) -> None:
        """Give it up."""

    @property
    def epochs(self) -> int:
        """Epochs that are complete."""

    @property
    def last_loss(self) -> float:
        """Training loss of the last complete epoch."""

    @property
    def last_validation_loss(self) -> float:
        """Validation loss after it."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """Training losses of all complete epochs."""

    @property
    def validation_losses(self) -> NDArray[np.float64]:
        """Validation losses after them."""

    def run(self, learning_rates: NDArray[np.float64], /) -> str | None:
        """Run an epoch with each of these rates; return "converged", "patience" or "time" if it stopped early."""

    def judge(self, measure: float, /) -> str | None:
        """Judge the last epoch by a number that is the better the less it is; return "patience" to stop."""

    def restore_best(self) -> None:
        """Put the parameters of the best epoch back, if they were kept."""


class TrainedNet(Protocol):
    """What a fit needs of a net."""

    history: History | None
    schedule_state: ScheduleState | None

    @property
    def config(self) -> NetConfig:
        """The checked description of the net."""

    @property
    def seed(self) -> int:
        """Fixes the order of the rows."""

    @property
    def parameters(self) -> NDArray[Any]:
        """All parameters."""

    @property
    def epochs_trained(self) -> int:
        """Epochs run by every fit so far."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the outputs, (rows, outputs)."""

    def _start_fit(self, data: FitData, options: FitOptions) -> Engine:
        """Check the data, and return what trains the net on them."""
