"""Kill saves at random moments, let files grow too large and disks run full, and see that no model is lost.

A process that saves a net over an older one is killed (SIGKILL) at a random moment; then saves meet a limit on the
size of files (RLIMIT_FSIZE), and a small tmpfs that is full, where one can be mounted. Always, the file is the old
one or the new one, whole; a save that fails says so by OSError and leaves nothing behind; one that is killed leaves
one temporary file at most, which `chainrule.files.remove_leftovers` finds.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from trials import Tally, described, draw_data, read_arguments

from chainrule import Net, files

SIZES = [100, 300, 10]
NAME = "net.safetensors"


def trained(seed: int) -> Net:
    """Return a net with moments, of half a megabyte."""
    net = Net(SIZES, seed=seed)
    net.fit(*draw_data(SIZES, 50), epochs=1)
    return net


def content_of(net: Net, folder: Path) -> bytes:
    """Return the bytes of a net's file."""
    path = folder / "content.safetensors"
    net.save(path)
    content = path.read_bytes()
    path.unlink()
    return content


def leftovers(folder: Path) -> list[str]:
    """Return the names of all files in the folder but the model's."""
    return sorted(set(os.listdir(folder)) - {NAME, "filler"})


def save_killed(net: Net, path: Path, delay: float) -> bool:
    """Save in another process, and kill that one after so many seconds; whether it was still running."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            net.save(path)
            os._exit(0)
        os._exit(1)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_saves(folder: Path, count: int, seed: int, tally: Tally) -> None:
    """Kill `count` saves."""
    random = np.random.default_rng(seed)
    path, nets = folder / NAME, [trained(0), trained(1)]
    contents = [content_of(net, folder) for net in nets]
    seconds = time_of_save(nets[0], path)
    killed, there, left = 0, 0, 0
    while killed < count:
        if random.integers(5) == 0:
            path.unlink()
        had_one, new = path.exists(), int(random.integers(2))
        allowed = contents if had_one else [contents[new]]
        if had_one:
            there = contents.index(path.read_bytes())
            allowed = [contents[there], contents[new]]
        if not save_killed(nets[new], path, random.uniform(0, 2 * seconds)):
            tally.add("saves that ended before")
        else:
            killed += 1
            tally.add("saves killed")
        left += count_leftovers(folder, tally)
        if wrong := described(what_is_wrong, path, allowed, had_one):
            tally.fail(f"a save was killed: {wrong}")
        if not path.exists():
            nets[new].save(path)
    tally.add("of them left a temporary file", left)


def count_leftovers(folder: Path, tally: Tally) -> int:
    """Return how many temporary files there are, and remove them as the package does."""
    found = leftovers(folder)
    if len(found) > 1:
        tally.fail(f"one killed save left {found}")
    files.remove_leftovers(folder / NAME)
    if leftovers(folder):
        tally.fail(f"remove_leftovers leaves {leftovers(folder)}")
    return len(found)


def what_is_wrong(path: Path, allowed: list[bytes], must_exist: bool) -> str:
    """Return what is not as it must be with the file, if anything."""
    if not path.exists():
        return "the file is gone" if must_exist else ""
    if path.read_bytes() not in allowed:
        return f"the file of {path.stat().st_size} bytes is neither the old one nor the new one"
    Net.load(path)
    return ""


def time_of_save(net: Net, path: Path) -> float:
    """Return the seconds that a save takes in a process of its own, fork included."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            net.save(path)
            os._exit(0)
        os.waitpid(child, 0)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def fail_save(net: Net, old: bytes, path: Path) -> str:
    """Save where that fails; return what is wrong after it."""
    try:
        net.save(path)
    except OSError as error:
        if str(path) not in str(error):
            return f"the error does not name the file: {error}"
    else:
        return "the save did not fail"
    if leftovers(path.parent):
        return f"a failed save left {leftovers(path.parent)}"
    return what_is_wrong(path, [old], must_exist=True)


def limit_files(folder: Path, count: int, seed: int, tally: Tally) -> None:
    """Save where files may not grow beyond `count` sizes, up to one byte less than the model's."""
    path, old_net, net = folder / NAME, trained(0), trained(1)
    old_net.save(path)
    old, size = path.read_bytes(), len(content_of(net, folder))
    random = np.random.default_rng(seed)
    for limit in [0, 1, 7, 8, 9, 4095, 4096, 4097, size - 1, *random.integers(0, size, count).tolist()]:
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        try:
            wrong = described(fail_save, net, old, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        tally.add("saves beyond a limit of file sizes")
        if wrong:
            tally.fail(f"limit of {limit} bytes: {wrong}")
    net.save(path)
    if wrong := what_is_wrong(path, [content_of(net, folder)], must_exist=True):
        tally.fail(f"without a limit again: {wrong}")


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """Mount a tmpfs; None where that is not allowed."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            mounted = False
        try:
            yield Path(folder) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", folder], check=True)


def fill_disk(count: int, seed: int, tally: Tally) -> None:
    """Save where a disk has less room than the model needs."""
    with small_disk(4) as folder:
        if folder is None:
            print("no tmpfs could be mounted: the full disk is not tried")
            return
        path, old_net, net = folder / NAME, trained(0), trained(1)
        old_net.save(path)
        old = path.read_bytes()
        random = np.random.default_rng(seed)
        for room in [0, 4096, *random.integers(0, len(old) - 4096, count).tolist()]:
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
            (folder / "filler").write_bytes(bytes(free - room))
            tally.add("saves on a full disk")
            if wrong := described(fail_save, net, old, path):
                tally.fail(f"{room} bytes free: {wrong}")
            (folder / "filler").unlink()
        net.save(path)
        if leftovers(folder):
            tally.fail(f"on a disk with room again: {leftovers(folder)}")


def main() -> int:
    """Run the program."""
    arguments = read_arguments(__doc__, 200, "saves to kill, and as many limits and full disks")
    if sys.platform != "linux":
        raise SystemExit("this program needs Linux")
    warnings.simplefilter("ignore", DeprecationWarning)  # that a process of several threads forks
    tally = Tally("saves")
    with tempfile.TemporaryDirectory() as folder:
        kill_saves(Path(folder), arguments.count, arguments.seed, tally)
        limit_files(Path(folder), arguments.count, arguments.seed, tally)
    fill_disk(arguments.count, arguments.seed, tally)
    return tally.finish()


if __name__ == "__main__":
    raise SystemExit(main())
