"""The data sets that ship with the package: what they hold, and that they are what they were."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from chainrule.datasets import DATASETS, load_auto_mpg, load_penguins
from chainrule.tables import infer_task, read_table


def test_penguins():
    data = load_penguins()
    assert data.X.shape == (333, 9)
    assert data.y.shape == (333,)
    assert data.target_names == ("Adelie", "Chinstrap", "Gentoo")
    assert np.bincount(data.y).tolist() == [146, 68, 119]
    assert data.feature_names[:4] == ("island=Biscoe", "island=Dream", "island=Torgersen", "bill_length_mm")


def test_auto_mpg():
    data = load_auto_mpg()
    assert data.X.shape == (392, 9)
    assert data.y.shape == (392, 1)
    assert data.target_names == ("mpg",)
    assert (data.y.min(), data.y.max()) == (9, 46.6)
    assert data.feature_names[-3:] == ("origin=europe", "origin=japan", "origin=usa")


@pytest.mark.parametrize("load", [load_penguins, load_auto_mpg])
def test_numbers_are_standardised_and_text_is_one_hot(load):
    data = load()
    one_hot = np.array(["=" in name for name in data.feature_names])
    np.testing.assert_allclose(data.X[:, ~one_hot].mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(data.X[:, ~one_hot].std(axis=0), 1, rtol=1e-13)
    assert set(np.unique(data.X[:, one_hot])) == {0, 1}


@pytest.mark.parametrize(
    ("name", "task", "digest"),
    [
        ("penguins", "classification", "11cdf86c89c612daf041dff067d99a040fef104bb9f17197e68bb02b71c48e82"),
        ("auto_mpg", "regression", "fc59e45b313483f9f64e37755b8c482711d7816a8e0f84750ab0fbac4956c4f8"),
    ],
)
def test_files_are_unchanged_and_their_task_is_recognised(name, task, digest):
    bundled = DATASETS[name]
    assert infer_task(read_table(bundled.path), bundled.target) == task
    assert hashlib.sha256(bundled.path.read_bytes()).hexdigest() == digest


def test_source_and_licence_are_stated():
    readme = (DATASETS["penguins"].path.parent / "README.md").read_text(encoding="utf-8")
    for bundled in DATASETS.values():
        assert f"## {bundled.path.name}" in readme
    assert readme.count("**Source:**") == readme.count("**Licence:**") == len(DATASETS)
