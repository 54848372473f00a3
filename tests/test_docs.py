"""What the README and the docstrings show is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule.net

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_examples_of_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second, third = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(first, names)
    loss, prediction, truth = (float(number) for number in re.findall(r"[\d.e+-]+", capsys.readouterr().out))
    assert loss < 1e-3
    assert abs(prediction - truth) < 0.05
    loaded = chainrule.Net.load("sine.safetensors")
    np.testing.assert_array_equal(loaded.predict([0.5, 1.0]), names["net"].predict([0.5, 1.0]))
    exec(second, names)
    assert names["history"].metrics["worst"].min() < 1
    assert names["net"].summary() in capsys.readouterr().out
    assert names["gradient"].shape == (1, 2)
    for library in ("matplotlib", "onnx", "sklearn"):
        pytest.importorskip(library)
    exec(third, names)
    assert float(capsys.readouterr().out) > 0.95
    assert all((tmp_path / f"digits.{suffix}").stat().st_size > 0 for suffix in ("c", "onnx", "png", "safetensors"))


def test_first_block_of_the_readme_is_the_two_commands():
    block = re.search(r"```sh\n(.*?)```", README, re.DOTALL).group(1)
    assert block.splitlines() == ["pip install '.[cli]' && chainrule train", "pip install '.[test]' && pytest"]


def test_examples_of_the_docstrings():
    result = doctest.testmod(chainrule.net)
    assert result.attempted > 0
    assert result.failed == 0


def test_files_that_the_documents_name_exist():
    root = Path(__file__).parent.parent
    for page in [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").glob("*.md")]:
        for path in re.findall(r"`((?:cpp|python|tests|docs)/[\w./*-]+)`", page.read_text(encoding="utf-8")):
            assert list(root.glob(path.rstrip("/"))), f"{page.name} names {path}"
