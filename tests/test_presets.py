"""The five source documents: their printed rules, in loops over single numbers, against the nets."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import SGD
from chainrule.presets import PRESETS

CHAPTER = Path(__file__).parents[1] / "docs" / "derivations.md"
TOLERANCE = 1e-12


def sigmoid(h: float) -> float:
    return 1 / (1 + math.exp(-h))


def sigmoid_slope(z: float) -> float:
    return z * (1 - z)


def tanh_slope(z: float) -> float:
    return 1 - z**2


#: For each preset: hidden activation and its slope, output activation, and dL/dO of one sample (y, yhat, N).
Slope = Callable[[float], float]
Delta = Callable[[float, float, int], float]
PRINTED: dict[str, tuple[Slope, Slope, Slope, Delta]] = {
    **dict.fromkeys(
        ("000", "001", "002"),
        (sigmoid, sigmoid_slope, sigmoid, lambda y, yhat, N: -1 / N * (y - yhat) * yhat * (1 - yhat)),
    ),
    "003-stated-sigmoid": (sigmoid, sigmoid_slope, float, lambda y, yhat, N: 2 / N * (yhat - y)),
    "003-stated-tanh": (math.tanh, tanh_slope, float, lambda y, yhat, N: 2 / N * (yhat - y)),
    "003-derived-sigmoid": (sigmoid, sigmoid_slope, float, lambda y, yhat, N: yhat - y),
    "003-derived-tanh": (math.tanh, tanh_slope, float, lambda y, yhat, N: yhat - y),
    "004a-identity": (sigmoid, sigmoid_slope, float, lambda y, yhat, N: 2 * (yhat - y)),
    "004a-sigmoid": (sigmoid, sigmoid_slope, sigmoid, lambda y, yhat, N: 2 * (yhat - y) * yhat * (1 - yhat)),
    "004a-tanh": (sigmoid, sigmoid_slope, math.tanh, lambda y, yhat, N: 2 * (yhat - y) * (1 - yhat**2)),
    "004b": (sigmoid, sigmoid_slope, sigmoid, lambda y, yhat, N: yhat - y),
}


def gradients_in_loops(name: str, net: Any, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return dW1, dW2, db1, db2 in the order of `net.parameters`, computed number by number."""
    activation, slope, output, delta = PRINTED[name]
    f, h, _ = net.config.sizes
    W1, W2 = (W.tolist() for W in net.weights)
    b1, b2 = (b.tolist() for b in net.biases) if net.config.bias else ([0.0] * h, [0.0])
    dW1, dW2 = [[0.0] * h for _ in range(f)], [0.0] * h
    db1, db2 = [0.0] * h, 0.0
    for x, (y,) in zip(X.tolist(), Y.tolist(), strict=True):
        Z = [activation(sum(x[k] * W1[k][unit] for k in range(f)) + b1[unit]) for unit in range(h)]
        delta_O = delta(y, output(sum(Z[k] * W2[k][0] for k in range(h)) + b2[0]), len(X))
        db2 += delta_O
        for unit in range(h):
            dW2[unit] += Z[unit] * delta_O
            delta_H = delta_O * W2[unit][0] * slope(Z[unit])
            db1[unit] += delta_H
            for k in range(f):
                dW1[k][unit] += x[k] * delta_H
    biases = [*db1, db2] if net.config.bias else []
    return np.array([*(value for row in dW1 for value in row), *dW2, *biases])


@pytest.mark.parametrize("implementation", [chainrule.Net, chainrule.reference.Net])
@pytest.mark.parametrize("sizes", [(3, 4, 1), (1, 1, 1), (7, 13, 1)])
@pytest.mark.parametrize("name", list(PRESETS))
def test_gradients_and_update_are_those_of_the_document(name: str, sizes: tuple[int, ...], implementation: Any) -> None:
    preset = PRESETS[name]
    rng = np.random.default_rng(sum(sizes))
    X = rng.normal(size=(6, sizes[0]))
    Y = rng.integers(2, size=(6, 1)).astype(float)
    *_, output = preset.config().activations
    options = {"output": output, "loss": preset.loss, "reduction": preset.reduction, "bias": preset.bias}
    net = implementation(sizes, preset.hidden, dtype="float64", **options)
    net.parameters[:] = rng.normal(size=net.parameters.size)
    before = net.parameters.copy()
    expected = gradients_in_loops(name, net, X, Y)

    net.step(X, Y, SGD(lr=0.3))

    scale = np.abs(expected).max()
    np.testing.assert_allclose(net.gradients, expected, rtol=TOLERANCE, atol=TOLERANCE * scale)
    np.testing.assert_allclose(net.parameters, before - 0.3 * expected, rtol=TOLERANCE, atol=TOLERANCE * scale)


def test_every_preset_has_its_printed_rule() -> None:
    assert set(PRINTED) == set(PRESETS)


@pytest.mark.parametrize("name", list(PRESETS))
def test_preset_makes_its_net(name: str) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.document.endswith(f"({name[:3]})")
    net = preset.net()
    assert net.config == preset.config()
    assert net.config.dtype == "float64"
    assert net.parameters.dtype == np.float64


def test_overrides_reach_the_net() -> None:
    net = PRESETS["002"].net(sizes=[5, 2, 1], dtype="float32", seed=7)
    assert net.config.sizes == (5, 2, 1)
    assert net.config.dtype == "float32"
    assert net.seed == 7
    with pytest.raises(ValueError, match="output must be one of"):
        PRESETS["002"].net(output="cosine")


def test_presets_are_values() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS["000"].loss = "log_loss"  # type: ignore[misc]


def test_chapter_on_the_derivations() -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.REPORT_ONLY_FIRST_FAILURE
    failed, attempted = doctest.testfile(str(CHAPTER), module_relative=False, optionflags=options, encoding="utf-8")
    assert failed == 0
    assert attempted > 100
