"""Every block of Python, and of commands, on the tutorial and the how-to pages runs, in the order of its page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [DOCS / "tutorial.md", *sorted(page for page in (DOCS / "howto").glob("*.md") if page.stem != "index")]

#: What a page needs besides NumPy.
NEEDED = {
    "command_line": ("rich", "matplotlib"),
    "other_programs": ("onnx", "onnxruntime"),
    "pictures": ("matplotlib",),
    "scikit_learn": ("sklearn",),
}


def blocks(page):
    """Language and code of each block; Python behind as many empty lines as are above it, so that errors name lines."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(python|sh)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        above = text.count("\n", 0, match.start(2)) if match[1] == "python" else 0
        yield match[1], "\n" * above + match[2]


def run_commands(code):
    """Run a block of commands, of which each must succeed, with the `chainrule` of this Python before others."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    for module in NEEDED.get(page.stem, ()):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    pieces = list(blocks(page))
    for language, code in pieces:
        if language == "sh":
            run_commands(code)
        else:
            exec(compile(code, str(page), "exec"), names)
    assert pieces
    assert capsys.readouterr().err == ""


def test_every_page_is_listed():
    listed = re.search(r"```{toctree}\n.*?\n\n(.*?)```", (DOCS / "howto" / "index.md").read_text("utf-8"), re.DOTALL)
    assert sorted(listed.group(1).split()) == sorted(page.stem for page in PAGES if page.stem != "tutorial")


def test_no_block_is_left_out_for_its_fence():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert 2 * len(list(blocks(page))) == text.count("```"), page.name
