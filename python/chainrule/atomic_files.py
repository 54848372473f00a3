"""Files that are read as a whole, and replaced as a whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import glob
import os
import stat
from functools import partial
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # of Windows, where a file that is open is not removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["absolute_file", "named_file", "read_whole", "remove_leftovers", "stat_of_file", "write_atomically"]

#: Temporary files are named ``.NAME.0123456789abcdef.part``, beside the file that they become: of the sixteen digits,
#: eight are the process that writes it, eight are random.
UNFINISHED = ".part"
DIGITS = 16

#: As many links as Linux follows.
MOST_LINKS = 40

#: The longest NAME in them, in bytes; of longer ones they have the beginning.
LONGEST_NAME = 255 - len("..") - DIGITS - len(UNFINISHED)


class SystemErrorsPass:
    """Suppresses errors of the system, which have a number, but not what a signal's handler raises: TimeoutError."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return isinstance(error, OSError) and error.errno is not None


def named_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to be written.

    Raises
    ------
    IsADirectoryError
        It ends as that of a folder does, which `Path` forgets.
    """
    file = Path(path)
    if os.path.basename(path) in ("", os.curdir):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    return file


def absolute_file(path: str | os.PathLike[str]) -> Path:
    """Return the same whatever folder the process goes to; FileNotFoundError if its folder is gone."""
    try:
        return Path(os.path.abspath(named_file(path)))
    except FileNotFoundError as error:  # of the working folder, which has no name any more
        error.filename = os.fspath(path)
        raise


def read_whole(path: Path) -> bytes:
    """Return what a file or a pipe holds. All at once: pages of a map that somebody shortens would end the process.

    Raises
    ------
    OSError, MemoryError
        It cannot be read, or is a device such as /dev/zero, which has no end; the error names `path`.
    """
    try:
        if stat.S_ISCHR(path.stat().st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
        return path.read_bytes()
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise
    except MemoryError:
        raise MemoryError(f"{path}: no memory for its content") from None


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
        _replace(_followed(path), content)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of writers of `path` that were killed."""
    path = _followed(path)
    for leftover in path.parent.glob(glob.escape(_beginning(path)) + DIGITS * "[0-9a-f]" + UNFINISHED):
        digits = leftover.name[-DIGITS - len(UNFINISHED) : -len(UNFINISHED)]
        if not _is_another_process(int(digits[: DIGITS // 2], 16)):
            with SystemErrorsPass(), open(leftover, "r+b", buffering=0, opener=_open_at_once) as file:
                _lock(file.fileno())  # of a writer that has no such number here, as in another container
                leftover.unlink()


def _is_another_process(number: int) -> bool:
    """Whether there is such a process, and it is not this one, as far as the system tells."""
    if number == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(number, 0)
    except OverflowError:
        return False
    except OSError as error:
        if error.errno is None:
            raise
        return error.errno == errno.EPERM
    return True


def _open_at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # also what is a pipe, of which nobody writes


def _lock(descriptor: int) -> None:
    """Take the lock that a writer holds on its temporary file; BlockingIOError where another has it."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _followed(path: Path) -> Path:
    """Return what `path` links to, which need not exist. `os.path.realpath` takes any error for the end of the way."""
    for _ in range(MOST_LINKS):
        try:
            path = path.parent / os.readlink(path)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            return path
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


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
            with SystemErrorsPass():  # some systems have no locks
                _lock(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if older is not None:
                _give_permissions(temporary, older)
            if fcntl is None:
                file.close()
            os.replace(temporary, path)
    except BaseException:
        with SystemErrorsPass():
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
    # Where the system has none, the file is the writer's alone.
    with SystemErrorsPass():
        if hasattr(os, "chown"):
            os.chown(temporary, older.st_uid, older.st_gid)
    with SystemErrorsPass():
        os.chmod(temporary, stat.S_IMODE(older.st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, where the system can; without, the old file may be back."""
    if os.name != "posix":
        return
    opened: list[int] = []
    with SystemErrorsPass():
        try:
            # Not `= os.open(...)`: an interrupt between the call and the assignment would lose the descriptor.
            opened.extend(map(os.open, [folder], [os.O_RDONLY]))
            os.fsync(*opened)
        finally:
            for descriptor in opened:
                os.close(descriptor)
