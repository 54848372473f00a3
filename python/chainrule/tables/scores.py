"""How good predictions are, and how good they would be without looking at the features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoder import Categories, Standardised

__all__ = ["baseline_outputs", "decided", "describe_scores", "score"]

Outputs = NDArray[np.floating[Any]]
Targets = NDArray[Any]


def score(target: Categories | Standardised, outputs: Outputs, Y: Targets) -> dict[str, float]:
    """Compare the outputs of a net with the encoded truth.

    Parameters
    ----------
    target : Categories or Standardised
    outputs : ndarray, (rows, outputs)
        Probabilities of the classes, or scaled numbers.
    Y : ndarray
        As of `TableEncoder.encode_target`.

    Returns
    -------
    dict of str to float
        ``accuracy``, the share of rows whose most probable class is the true one; or ``R^2`` =
        1 - sum (y - yhat)^2 / sum (y - mean y)^2, which is NaN where all y are equal, and
        ``RMSE``, the root of the mean squared error in the unit of the column.
    """
    if isinstance(target, Categories):
        return {"accuracy": float(np.mean(decided(outputs) == Y))}
    # In units of the deviation, of which no square is beyond the numbers there are.
    residual = float(np.sum((Y - outputs.astype(np.float64)) ** 2))
    total = float(np.sum((Y - np.mean(Y)) ** 2))
    # The mean of equal numbers may be off by a rounding error.
    varies = np.ptp(Y) > 0 and total > 0
    return {
        "R^2": 1 - residual / total if varies else float("nan"),
        "RMSE": target.std * float(np.sqrt(residual / len(Y))),
    }


def decided(outputs: Outputs) -> NDArray[np.int64]:
    """Return the index of each row's most probable class, (rows,); -1, which is none, where an output is NaN."""
    return np.where(np.isnan(outputs).any(axis=1), -1, np.argmax(outputs, axis=1))


def baseline_outputs(target: Categories | Standardised, train_Y: Targets, rows: int) -> Outputs:
    """Return what a predictor without features outputs: the class frequencies, or the mean, of the training rows."""
    if isinstance(target, Categories):
        constant = np.bincount(train_Y, minlength=len(target.labels)) / len(train_Y)
    else:
        constant = np.mean(train_Y, axis=0)
    return np.tile(constant, (rows, 1))


def describe_scores(scores: dict[str, float]) -> str:
    """Return the scores in one line: shares with four decimals, errors with four digits."""
    return ", ".join(
        f"{name} {value:.4g}" if name == "RMSE" else f"{name} {round(value, 4) + 0.0:.4f}"  # + 0.0 makes -0 zero
        for name, value in scores.items()
    )
