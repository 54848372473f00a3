"""The learning rate of stochastic solvers from epoch to epoch, as scikit-learn's three modes have it."""

from __future__ import annotations

__all__ = ["MODES", "StepSize"]

MODES = ("constant", "invscaling", "adaptive")

#: With ``"adaptive"``, no smaller rate is divided further.
SMALLEST_RATE = 1e-6


class StepSize:
    """The learning rate, and what happens to it when an epoch ends or training stalls.

    Parameters
    ----------
    mode : {"constant", "invscaling", "adaptive"}
    initial : float
    power_t : float
        Of ``"invscaling"``: after t rows the rate is ``initial / (t + 1)^power_t``.

    Attributes
    ----------
    learning_rate : float
        The rate of the next epoch.
    """

    def __init__(self, mode: str, initial: float, power_t: float) -> None:
        self.mode, self.initial, self.power_t = mode, initial, power_t
        self.learning_rate = initial

    def end_epoch(self, rows_seen: int) -> None:
        """Take in that an epoch is over, after so many rows in the estimator's life."""
        if self.mode == "invscaling":
            try:
                self.learning_rate = self.initial / float(rows_seen + 1) ** self.power_t
            except OverflowError:
                self.learning_rate = 0.0

    def goes_on_after_stall(self) -> bool:
        """Return whether a smaller rate may still help, and take it."""
        if self.mode != "adaptive" or self.learning_rate <= SMALLEST_RATE:
            return False
        self.learning_rate /= 5.0
        return True
