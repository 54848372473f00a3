"""Time to fit and to predict, beside scikit-learn's own multilayer perceptrons: same parameters, one thread.

python benchmarks/estimators.py [--seeds 5] [--skip-large]
"""

from __future__ import annotations

import argparse
import statistics
import time
import timeit
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sklearn.neural_network as peer
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from chainrule.estimators import MLPClassifier, MLPRegressor

PEERS = {MLPClassifier: peer.MLPClassifier, MLPRegressor: peer.MLPRegressor}

Case = tuple[type[Any], Callable[[], Any], dict[str, Any]]

CASES: dict[str, Case] = {
    "digits": (MLPClassifier, lambda: load_digits(return_X_y=True), {}),
    "breast cancer": (MLPClassifier, lambda: load_breast_cancer(return_X_y=True), {}),
    "diabetes": (MLPRegressor, lambda: load_diabetes(return_X_y=True), {}),
    "digits, lbfgs": (MLPClassifier, lambda: load_digits(return_X_y=True), {"solver": "lbfgs"}),
}


def words() -> tuple[Any, Any]:
    """Return a sparse table, 80 of 20 000 numbers a row, and classes that depend on a tenth of its columns."""
    X = sparse.random(2000, 20_000, density=0.004, format="csr", random_state=0)
    return X, np.asarray(X[:, :2000].sum(axis=1)).ravel() > 4


LARGE: dict[str, Case] = {
    "2000 x 20000, sparse": (MLPClassifier, words, {"max_iter": 5}),
    "20000 x 50, (256, 128)": (
        MLPClassifier,
        lambda: make_classification(20_000, 50, n_informative=20, random_state=0),
        {"hidden_layer_sizes": (256, 128), "max_iter": 5},
    ),
}


def fit(kind: type[Any], settings: dict[str, Any], data: list[Any]) -> tuple[float, float, int]:
    """Return seconds per epoch, the score on data that were held out, and the epochs."""
    X_train, X_test, y_train, y_test = data
    model = kind(**settings)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    return seconds, model.score(X_test, y_test), model.n_iter_


def compare(name: str, case: Case, seeds: int) -> None:
    kind, load, settings = case
    X, y = load()
    # As many epochs for both, whatever the stopping rules make of their different orders of the rows.
    settings = {"tol": 0.0, "n_iter_no_change": np.inf, **settings}
    ratios, scores = [], {kind: [], PEERS[kind]: []}
    for seed in range(seeds):
        data = train_test_split(X, y, random_state=seed)
        seconds = {}
        for which in (kind, PEERS[kind]):
            total, score, epochs = fit(which, settings | {"random_state": seed}, data)
            seconds[which] = total / epochs
            scores[which].append(score)
        ratios.append(seconds[PEERS[kind]] / seconds[kind])
    mine, other = (f"{np.mean(values):.4f} +- {np.std(values):.4f}" for values in scores.values())
    last = f"{1e3 * seconds[kind]:.3f} ms an epoch beside {1e3 * seconds[PEERS[kind]]:.3f}"
    print(f"{name:24s} {statistics.median(ratios):5.1f}x ({min(ratios):.1f} to {max(ratios):.1f})  {last}", end="  ")
    print(f"score {mine} beside {other}", flush=True)


def compare_one_row() -> None:
    X, y = load_digits(return_X_y=True)
    row = X[:1].copy()
    models = [kind(max_iter=5, random_state=0).fit(X, y) for kind in (peer.MLPClassifier, MLPClassifier)]
    calls = {
        "scikit-learn": models[0].predict,
        "estimator": models[1].predict,
        "net_": models[1].net_.predict,
    }
    microseconds = {
        name: 1e6 * min(timeit.repeat(partial(call, row), number=500, repeat=7)) / 500 for name, call in calls.items()
    }
    for name, value in microseconds.items():
        print(f"predict one row of digits: {name:13s} {value:6.1f} us, {microseconds['scikit-learn'] / value:5.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--skip-large", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        compare_one_row()
        for name, case in CASES.items():
            compare(name, case, arguments.seeds)
        if not arguments.skip_large:
            for name, case in LARGE.items():
                compare(name, case, arguments.seeds)


if __name__ == "__main__":
    main()
