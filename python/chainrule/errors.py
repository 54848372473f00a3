"""Exceptions that chainrule raises beside the built-in ones."""

from __future__ import annotations

__all__ = ["DivergenceError", "ModelFormatError"]


class DivergenceError(FloatingPointError, ValueError):
    """Training produced an infinite or undefined number.

    The parameters are left at their last finite values.
    """


class ModelFormatError(ValueError):
    """A model file is corrupt, truncated, or was not written by chainrule."""
