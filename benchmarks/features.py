"""What activations cost beside relu on 64-128-128-10, and what a fit's features cost on 16-64-64-1.

Each line is a time of a step over that of the plain case, measured in turn with it; the best of some rounds counts.
Run it from anywhere, pinned to one core: ``taskset -c 0 python benchmarks/features.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule import Net
from chainrule.config import HIDDEN_ACTIVATIONS

ROUNDS = 15
EPOCHS = 3

Fits = Mapping[str, tuple[Net, dict[str, Any]]]


def main() -> None:
    """Print both tables."""
    random = np.random.default_rng(0)
    X, labels = random.standard_normal((2048, 64)).astype("float32"), random.integers(0, 10, 2048)
    report(X, labels, 128, {name: (classifier(name), {}) for name in ("relu", *HIDDEN_ACTIVATIONS) if name != "exp"})
    X, Y = random.standard_normal((4096, 16)).astype("float32"), random.random((4096, 1)).astype("float32")
    weights, validation = random.random(4096).astype("float32"), (X[:512].copy(), Y[:512].copy())
    together = {"sample_weight": weights, "clip_norm": 1.0, "validation": validation}
    fits: Fits = {
        "plain": (regressor(), {}),
        "dropout": (regressor(dropout=0.2), {}),
        "input noise": (regressor(input_noise=0.1), {}),
        "sample weights": (regressor(), {"sample_weight": weights}),
        "clipping by norm": (regressor(), {"clip_norm": 1.0}),
        "an eighth for validation": (regressor(), {"validation": validation}),
        "l1 and l2": (regressor(), {"l1": 1e-4, "l2": 1e-4}),
        "max-norm": (regressor(), {"max_norm": 3.0}),
        "dropout, weights, clipping, validation": (regressor(dropout=0.2), together),
    }
    report(X, Y, 64, fits)


def classifier(hidden: str) -> Net:
    """Return case 5 of the benchmark with another activation."""
    return Net([64, 128, 128, 10], hidden=hidden, output="softmax", loss="cross_entropy", seed=0, threads=1)


def regressor(**arguments: Any) -> Net:
    """Return case 4 of the benchmark, with more arguments."""
    return Net([16, 64, 64, 1], hidden="relu", output="identity", seed=0, threads=1, **arguments)


def report(X: Any, Y: Any, batch_size: int, fits: Fits) -> None:
    """Print the time of a step of each fit, and its quotient to the first one's."""
    best = dict.fromkeys(fits, float("inf"))
    for _ in range(ROUNDS):
        for name, (net, options) in fits.items():
            history = net.fit(X, Y, epochs=EPOCHS, batch_size=batch_size, shuffle=False, **options)
            best[name] = min(best[name], history.seconds / EPOCHS / (len(X) / batch_size))
    plain = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"{name:40} {1e6 * seconds:8.1f} us  {seconds / plain:5.2f}")


if __name__ == "__main__":
    main()
