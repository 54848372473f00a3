"""Files that commands write: refused before any work if they exist or cannot be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["check_output"]


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
