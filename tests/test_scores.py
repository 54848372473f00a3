"""On the bundled data, nets are as good as scikit-learn's with the same settings."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import Adam, Net
from chainrule.datasets import load_auto_mpg, load_penguins
from chainrule.tables import split_rows

neural_network = pytest.importorskip("sklearn.neural_network")

SEEDS = range(5)
HIDDEN = [64, 32]
LEARNING_RATE = 0.001
BATCH_SIZE = 32
EPOCHS = 100

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def sklearn_settings(seed: int) -> dict:
    """Adam with a fixed number of epochs and no penalty, as `Net.fit` does by default."""
    return {
        "hidden_layer_sizes": HIDDEN,
        "learning_rate_init": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "max_iter": EPOCHS,
        "n_iter_no_change": EPOCHS,
        "alpha": 0.0,
        "random_state": seed,
    }


def fit(net: Net, X: np.ndarray, Y: np.ndarray) -> Net:
    net.fit(X, Y, epochs=EPOCHS, batch_size=BATCH_SIZE, optimizer=Adam(lr=LEARNING_RATE))
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_penguins_are_classified_as_well(dtype):
    data = load_penguins()
    ours, theirs = [], []
    for seed in SEEDS:
        split = split_rows(len(data.X), validation=0, test=0.3, seed=seed, classes=data.y)
        X, Y, test_X, test_Y = data.X[split.train], data.y[split.train], data.X[split.test], data.y[split.test]
        net = fit(Net([9, *HIDDEN, 3], "relu", "softmax", "cross_entropy", dtype=dtype, seed=seed), X, Y)
        ours.append(np.mean(np.argmax(net.predict(test_X.astype(dtype)), axis=1) == test_Y))
        theirs.append(neural_network.MLPClassifier(**sklearn_settings(seed)).fit(X, Y).score(test_X, test_Y))
    assert np.mean(ours) >= np.mean(theirs) - 0.01
    assert np.mean(ours) > 0.97


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_auto_mpg_is_explained_as_well(dtype):
    data = load_auto_mpg()
    ours, theirs = [], []
    for seed in SEEDS:
        split = split_rows(len(data.X), validation=0, test=0.3, seed=seed)
        X, test_X = data.X[split.train], data.X[split.test]
        mean, std = data.y[split.train].mean(), data.y[split.train].std()
        Y, test_Y = (data.y[split.train] - mean) / std, (data.y[split.test] - mean) / std
        net = fit(Net([9, *HIDDEN, 1], "relu", "identity", "half_squared_error", dtype=dtype, seed=seed), X, Y)
        residual = test_Y - net.predict(test_X.astype(dtype))
        ours.append(1 - np.sum(residual**2) / np.sum((test_Y - test_Y.mean()) ** 2))
        sklearn_net = neural_network.MLPRegressor(**sklearn_settings(seed)).fit(X, Y[:, 0])
        theirs.append(sklearn_net.score(test_X, test_Y[:, 0]))
    assert np.mean(ours) >= np.mean(theirs) - 0.01
    assert np.mean(ours) > 0.85
