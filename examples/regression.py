"""Regression on a table: miles per gallon of 392 cars, held against a straight line.

Ten nets from ten splits, so that the answer is more than the luck of one. Run: python examples/regression.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule import Net
from chainrule.datasets import load_auto_mpg

Array = NDArray[np.float64]
SPLITS = 10


def least_squares(X: Array, y: Array, X_test: Array) -> Array:
    """Predict with the best linear function, the yardstick that a net has to beat."""
    coefficients, *_ = np.linalg.lstsq(np.c_[X, np.ones(len(X))], y, rcond=None)
    predictions: Array = np.c_[X_test, np.ones(len(X_test))] @ coefficients
    return predictions


def neural_net(X: Array, y: Array, X_test: Array, seed: int) -> Array:
    """Predict with a net of 32 units; a fifth of the rows tells when to stop."""
    mean, scale = y.mean(), y.std()
    net = Net([X.shape[1], 32, 1], hidden="tanh", output="identity", loss="huber", seed=seed)
    net.fit(X, (y - mean) / scale, epochs=500, validation=0.2, patience=40, l2=1e-3)
    predictions: Array = mean + scale * net.predict(X_test)
    return predictions


def mean_error(predictions: Array, y: Array) -> float:
    """Return the mean absolute error, in miles per gallon."""
    return float(np.abs(predictions - y).mean())


def main() -> tuple[float, float]:
    """Print and return the mean errors of the line and of the net."""
    cars = load_auto_mpg()
    errors = []
    for split in range(SPLITS):
        rows = np.random.default_rng(split).permutation(len(cars.X))
        train, test = rows[:300], rows[300:]
        X, y, X_test, y_test = cars.X[train], cars.y[train], cars.X[test], cars.y[test]
        line = mean_error(least_squares(X, y, X_test), y_test)
        net = mean_error(neural_net(X, y, X_test, seed=split), y_test)
        errors.append((line, net))
        print(f"split {split}: off by {line:.2f} miles per gallon with a line, {net:.2f} with a net")
    line, net = np.mean(errors, axis=0)
    print(f"mean of {SPLITS}: {line:.2f} and {net:.2f}")
    return float(line), float(net)


if __name__ == "__main__":
    main()
