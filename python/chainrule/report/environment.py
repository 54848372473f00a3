"""On what a run ran."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import build_info

__all__ = ["describe_environment", "sha256"]


def describe_environment() -> Iterator[tuple[str, str]]:
    """Return versions, compiler, instruction set and system by name."""
    build = build_info()
    yield "chainrule", str(build["version"])
    yield "instruction set", f"{build['isa']} (of {', '.join(build['available_isas'])})"
    yield "compiler", str(build["compiler"])
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "NumPy", np.__version__
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"


def sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file in hexadecimal digits, or None if it cannot be read again, as a pipe cannot."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
