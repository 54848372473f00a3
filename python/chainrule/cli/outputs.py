"""What commands write: files, refused before any work if they exist or cannot be written, and JSON."""

from __future__ import annotations

import codecs
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

__all__ = [
    "are_one_file",
    "check_output",
    "flush_output",
    "noting",
    "save_elsewhere",
    "to_json",
    "write_any_name",
    "writing",
]


def check_output(path: Path, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise ValueError if `path` may not or cannot be written, before anything is computed.

    Parameters
    ----------
    path : Path
    force : bool
        Whether an existing file may be replaced.
    inputs : sequence of Path
        Files that are read and must not be overwritten, whatever `force` says.
    """
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(f"{path}: there is no folder {folder}")
    if path.exists():
        if not path.is_file():
            raise ValueError(f"{path} exists and is not a regular file")
        if any(given.exists() and given.samefile(path) for given in inputs):
            raise ValueError(f"{path} is read by this command and would be overwritten; choose another output")
        if not force:
            raise ValueError(f"{path} exists; give --force to replace it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path}: the folder {folder} is not writable")


def are_one_file(one: Path, other: Path) -> bool:
    """Return whether two names, of files that need not exist, are of one; links and ``..`` are followed."""
    return os.path.realpath(one) == os.path.realpath(other)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make errors of the system name `path`, where they name nothing or a temporary file."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(path)
        raise


@contextmanager
def noting(note: str) -> Iterator[None]:
    """Add a note to whatever goes wrong, for the line of error."""
    try:
        yield
    except BaseException as error:
        error.add_note(note)
        raise


def save_elsewhere(path: Path, save: Callable[[Path], object]) -> Path | None:
    """Save under a new name like that of `path` in the system's temporary folder; None if that fails too."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=path.suffix)
    except OSError:
        return None
    os.close(descriptor)
    try:
        save(Path(name))
    except OSError:
        os.unlink(name)
        return None
    return Path(name)


def write_any_name() -> None:
    """Make standard output take names of any characters: escaped if its encoding lacks them, as they are if no text."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        codecs.register_error("chainrule", _encode_name)
        sys.stdout.reconfigure(errors="chainrule")


def _encode_name(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


def flush_output() -> None:
    """Write what has been printed; OSError where that is not possible."""
    if sys.stdout is not None:  # as it is where the shell closed it
        sys.stdout.flush()


def to_json(result: Mapping[str, Any]) -> str:
    """Return a result as JSON, with null for numbers that are not finite, which JSON has no words for."""
    return json.dumps(_finite(result), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
