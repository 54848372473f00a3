"""Classification: three species of penguins, five-fold, and what the net goes by.

Every penguin is judged by a net that has not seen it. Run: python examples/classification.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule import Net
from chainrule.datasets import Dataset, load_penguins

FOLDS = 5


def train(data: Dataset, rows: NDArray[np.integer]) -> Net:
    """Fit a net to some rows; the rarer species count as much as the common one."""
    net = Net([data.X.shape[1], 16, len(data.target_names)], "tanh", "softmax", loss="cross_entropy", seed=0)
    net.fit(data.X[rows], data.y[rows], epochs=150, class_weight="balanced", validation=0.2, patience=20)
    return net


def cross_validate(data: Dataset) -> tuple[NDArray[np.integer], list[Net]]:
    """Return the predicted class of every row, and the nets."""
    folds = np.random.default_rng(0).permutation(len(data.X)) % FOLDS
    predicted = np.empty_like(data.y)
    nets = []
    for fold in range(FOLDS):
        net = train(data, np.flatnonzero(folds != fold))
        predicted[folds == fold] = net.predict(data.X[folds == fold]).argmax(axis=1)
        nets.append(net)
    return predicted, nets


def sensitivity(nets: list[Net], data: Dataset) -> NDArray[np.floating]:
    """Return how much the probabilities change with each feature: mean over rows, outputs and nets of |dYhat/dX|."""
    slopes: NDArray[np.floating] = np.mean([np.abs(net.jacobian(data.X)).mean(axis=(0, 1)) for net in nets], axis=0)
    return slopes


def main() -> tuple[float, dict[str, float]]:
    """Print the confusion matrix and the features; return the accuracy and each feature's sensitivity."""
    data = load_penguins()
    predicted, nets = cross_validate(data)
    accuracy = float((predicted == data.y).mean())
    print(f"{accuracy:.1%} of {len(data.y)} penguins are recognised; rows are true species, columns predicted:")
    for index, name in enumerate(data.target_names):
        counts = np.bincount(predicted[data.y == index], minlength=len(data.target_names))
        print(f"  {name:10s}", *(f"{count:4d}" for count in counts))
    features = dict(zip(data.feature_names, map(float, sensitivity(nets, data)), strict=True))
    for name, value in sorted(features.items(), key=lambda item: -item[1]):
        print(f"  {name:20s} {value:.3f}")
    return accuracy, features


if __name__ == "__main__":
    main()
