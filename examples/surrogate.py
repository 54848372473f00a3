"""A surrogate: learn a simulator from few runs of it, then find its best input by following the net's gradient.

The simulator is the Branin function, whose least value, 0.397887, and the three places that have it are known (Dixon
and Szegoe, 1978). Run: python examples/surrogate.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule import Adam, Net
from chainrule.schedules import Cosine

Array = NDArray[np.floating]

LOW, HIGH = np.array([-5.0, 0.0]), np.array([10.0, 15.0])
LEAST = 0.397887
MINIMA = np.array([[-np.pi, 12.275], [np.pi, 2.275], [9.42478, 2.475]])


def simulate(X: Array) -> Array:
    """Run the simulator, the Branin function, for rows (x1, x2); (rows, 1)."""
    x1, x2 = X[:, :1], X[:, 1:]
    a = x2 - 5.1 / (4 * np.pi**2) * x1**2 + 5 / np.pi * x1 - 6
    values: Array = a**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x1) + 10
    return values


def to_units(X: Array) -> Array:
    """Return inputs scaled to [-1, 1], as nets like them."""
    units: Array = 2 * (X - LOW) / (HIGH - LOW) - 1
    return units


def from_units(U: Array) -> Array:
    """Undo `to_units`."""
    X: Array = LOW + (U + 1) * (HIGH - LOW) / 2
    return X


def learn(runs: int, seed: int) -> Net:
    """Fit a net to some runs of the simulator at random inputs."""
    U = np.random.default_rng(seed).uniform(-1, 1, size=(runs, 2))
    y = simulate(from_units(U))
    net = Net([2, 32, 32, 1], hidden="silu", output="identity", loss="squared_error", dtype="float64", seed=seed)
    net.fit(
        U, (y - y.mean()) / y.std(), epochs=800, batch_size=20, schedule=Cosine(epochs=800), optimizer=Adam(lr=0.01)
    )
    return net


def descend(net: Net, U: Array, steps: int = 400, rate: float = 0.005) -> Array:
    """Move many starting points down the net's surface at once, within the bounds."""
    for step in range(steps):
        slope = net.input_gradient(U)
        length = np.linalg.norm(slope, axis=1, keepdims=True)
        U = np.clip(U - rate * (1 - step / steps) * slope / (length + 1e-3), -1, 1)
    return U


def main(seed: int = 0) -> tuple[float, Array]:
    """Print and return the simulator's value at the best input that the net found, and that input."""
    net = learn(runs=400, seed=seed)
    starts = np.stack(np.meshgrid(*[np.linspace(-0.9, 0.9, 8)] * 2), axis=-1).reshape(-1, 2)
    ends = from_units(descend(net, starts))
    _, distinct = np.unique(ends.round(0), axis=0, return_index=True)  # one candidate of each valley
    values = simulate(ends[distinct])  # a few runs more check what the net promises
    found = ends[distinct[values.argmin()]]
    print(f"best of {len(values)} candidates: {values.min():.4f} at {found.round(3)}; the least there is: {LEAST}")
    return float(values.min()), found


if __name__ == "__main__":
    main()
