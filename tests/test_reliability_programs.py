"""The programs of reliability/, which try thousands of faults, with a few each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[1] / "reliability"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the programs are for Linux")


def run_program(name, *arguments):
    """Run a program with so few trials that it is soon over; return what it prints."""
    ended = subprocess.run(
        [sys.executable, PROGRAMS / f"{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("allocations", ["--count", 5, "--work", "fit of a tiny net"]),
        ("allocations", ["--count", 5, "--work", "fit on two threads"]),
        ("allocations", ["--count", 3, "--work", "save"]),
        ("saves", ["--count", 8]),
        ("interruptions", ["--count", 8]),
        ("threads", ["--count", 1]),
        ("soak", ["--minutes", 0.05, "--most", 1e9]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_fails(name, arguments):
    if name == "soak":
        pytest.importorskip("sklearn")
    assert "; 0 failed;" in run_program(name, *arguments)


@pytest.mark.parametrize("name", ["allocations", "saves", "interruptions", "threads", "soak"])
def test_help(name):
    ended = subprocess.run(
        [sys.executable, PROGRAMS / f"{name}.py", "--help"], capture_output=True, text=True, check=True
    )
    assert "--seed" in ended.stdout
    assert "--count" in ended.stdout


def test_a_save_that_is_not_atomic_is_found_out(tmp_path):
    """A package whose saves write in place fails the program."""
    (tmp_path / "sitecustomize.py").write_text(
        "import chainrule.files\nchainrule.files.write_atomically = lambda path, content: path.write_bytes(content)\n"
    )
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        [sys.executable, PROGRAMS / "saves.py", "--count", "3"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 1
    assert "FAILED" in ended.stderr
