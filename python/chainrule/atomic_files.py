"""Files that are replaced as a whole or not at all, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
from functools import partial
from pathlib import Path

__all__ = ["remove_leftovers", "stat_of_file", "write_atomically"]

#: Temporary files are named ``.NAME.0123456789abcdef.part``, beside the file that they become: of the sixteen digits,
#: eight are the process that writes it, eight are random.
UNFINISHED = ".part"
DIGITS = 16

#: The longest NAME in them, in bytes; of longer ones they have the beginning.
LONGEST_NAME = 255 - len("..") - DIGITS - len(UNFINISHED)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` by way of a temporary file beside it, so that `path` is old or new, never half.

    Through a symbolic link, the file that it points to is replaced. A file that is replaced keeps its permissions and,
    where the system allows it, its owner.

    Raises
    ------
    OSError
        It cannot be written, or is neither a file nor new; it names `path`, and an older file is untouched.
    """
    try:
        _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of writers of `path` that were killed; no other thread may be writing it."""
    path = Path(os.path.realpath(path))
    for leftover in path.parent.glob(glob.escape(_beginning(path)) + DIGITS * "[0-9a-f]" + UNFINISHED):
        digits = leftover.name[-DIGITS - len(UNFINISHED) : -len(UNFINISHED)]
        if not _is_another_process(int(digits[: DIGITS // 2], 16)):
            with contextlib.suppress(OSError):
                leftover.unlink()


def _is_another_process(number: int) -> bool:
    """Whether there is such a process, and it is not this one, as far as the system tells."""
    if number == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _random_name(path: Path) -> str:
    return f"{_beginning(path)}{os.getpid():08x}{os.urandom(DIGITS // 4).hex()}{UNFINISHED}"


def _beginning(path: Path) -> str:
    name = path.name if len(os.fsencode(path.name)) <= LONGEST_NAME else path.name[: LONGEST_NAME // 4]
    return f".{name}."


def _replace(path: Path, content: bytes) -> None:
    older = stat_of_file(path)
    temporary = path.with_name(_random_name(path))
    # The system takes the umask off, which nobody can ask for without changing it for all threads.
    # No function of Python's in between, where an interrupt would lose the descriptor.
    open_with_mode = partial(os.open, mode=0o666 if older is None else 0o600)
    try:
        with open(temporary, "xb", opener=open_with_mode) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if older is not None:
            _give_permissions(temporary, older)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def stat_of_file(path: Path) -> os.stat_result | None:
    """Return what is known of the file to be replaced, or None if there is none.

    Raises
    ------
    OSError
        There is something else: a folder, a device, a pipe.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
    return found


def _give_permissions(temporary: Path, older: os.stat_result) -> None:
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(temporary, older.st_uid, older.st_gid)
    os.chmod(temporary, stat.S_IMODE(older.st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, where the system can; without, the old file may be back."""
    if os.name != "posix":
        return
    opened: list[int] = []
    with contextlib.suppress(OSError):
        try:
            # Not `= os.open(...)`: an interrupt between the call and the assignment would lose the descriptor.
            opened.extend(map(os.open, [folder], [os.O_RDONLY]))
            os.fsync(*opened)
        finally:
            for descriptor in opened:
                os.close(descriptor)
