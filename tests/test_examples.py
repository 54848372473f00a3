"""The examples run, within seconds, and find what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"regression", "classification", "surrogate"}


def test_a_net_beats_the_line_on_cars():
    line, net = load("regression").main()
    assert net < 0.85 * line


def test_penguins_are_recognised_by_their_bills(capsys):
    accuracy, features = load("classification").main()
    assert accuracy > 0.97
    assert max(features, key=features.get) == "bill_length_mm"
    assert f"{accuracy:.1%}" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(3))
def test_a_minimum_of_the_simulator_is_found_with_the_gradient_of_the_net(seed):
    surrogate = load("surrogate")
    value, place = surrogate.main(seed)
    assert surrogate.LEAST <= value < surrogate.LEAST + 0.1
    assert np.linalg.norm(surrogate.MINIMA - place, axis=1).min() < 0.4


def test_the_simulator_is_the_published_function():
    surrogate = load("surrogate")
    np.testing.assert_allclose(surrogate.simulate(surrogate.MINIMA)[:, 0], surrogate.LEAST, atol=1e-5)
