"""Exceptions that chainrule raises beside the built-in ones."""

from __future__ import annotations

__all__ = ["DivergenceError", "ModelFormatError"]


class DivergenceError(FloatingPointError, ValueError):
    """Training produced an infinite or undefined number.

    The parameters are left at their last finite values.

    Attributes
    ----------
    epoch : int or None
        The epoch of the fit, from 1; None outside of a fit.
    batch : int or None
        The minibatch of the epoch, from 1; None outside of a fit.
    cause : str
        The likely cause, and what helps; empty outside of a fit.
    """

    def __init__(self, message: str, *, epoch: int | None = None, batch: int | None = None, cause: str = "") -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.cause = cause


class ModelFormatError(ValueError):
    """A model file is corrupt, truncated, or was not written by chainrule."""
