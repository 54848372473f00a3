"""What is written atomically: through links, with the right permissions, under names of any length, whatever comes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from chainrule import Net
from chainrule.atomic_files import read_whole, remove_leftovers, write_atomically
from chainrule.cli import main
from helpers import run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions are those of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_through_a_link(tmp_path, path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "target"
    for older in (False, True):
        if older:
            target.write_text("older")
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        write_atomically(path, b"new")
        assert path.is_symlink()
        assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["target"]


def test_what_is_no_file_is_refused(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"Not a regular file: '.*file'$"):
        Net([2, 1]).save(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(path.parent) == [path.name]


def test_errors_name_the_path_alone(tmp_path):
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "missing" / "file", FileNotFoundError)):
        with pytest.raises(error) as caught:
            write_atomically(path, b"")
        assert str(caught.value).endswith(f": '{path}'")


def test_the_name_of_a_folder_is_no_name_of_a_file(tmp_path):
    net = Net([2, 1])
    writers = [net.save, net.to_c, lambda name: net.fit([[1.0, 2.0]], [1.0], checkpoint=name)]
    for write in (*writers, lambda name: main(["train", "--epochs", "1", "--output", name]) and net.save(name)):
        for end in ("/", "/."):
            with pytest.raises(IsADirectoryError, match=f"model{end}'$"):
                write(f"{tmp_path}/model{end}")
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_in_a_folder_that_is_gone_is_named(tmp_path):
    script = """
import os, sys, chainrule
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
try:
    chainrule.Net([2, 1]).fit([[1.0, 2.0]], [1.0], checkpoint="run")
except FileNotFoundError as error:
    print(error)
"""
    (tmp_path / "gone").mkdir()
    assert run_python(script, tmp_path / "gone").stdout == "[Errno 2] No such file or directory: 'run'\n"


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "a" * 240, "x"], ids=len)
def test_names_of_any_length(tmp_path, name):
    write_atomically(tmp_path / name, b"one")
    write_atomically(tmp_path / name, b"two")
    assert (tmp_path / name).read_bytes() == b"two"
    assert os.listdir(tmp_path) == [name]


def test_what_another_process_is_writing_is_no_leftover(path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        name = path.with_name(f".file.{other.pid:08x}89abcdef.part")
        name.touch()
        remove_leftovers(path)
        assert name.exists()
        other.communicate(b"\n")
    remove_leftovers(path)
    assert not name.exists()


@pytest.mark.parametrize("device", ["/dev/full", "/dev/zero", "/dev/null"])
def test_devices_hold_no_model_and_no_run(device):
    net = Net([2, 1], seed=0)
    for use in (
        lambda: Net.load(device),
        lambda: net.save(device),
        lambda: net.fit([[1.0, 2.0]], [[1.0]], epochs=1, checkpoint=device),
    ):
        with pytest.raises(OSError, match=f"Not a regular file: '{device}'"):
            use()
    assert net.epochs_trained == 0


def test_a_run_through_a_link_to_nothing(tmp_path, path):
    path.symlink_to(tmp_path / "target")
    Net([2, 1], seed=0).fit([[1.0, 2.0]], [[1.0]], epochs=1, checkpoint=path)
    assert path.is_symlink()
    assert Net.load(tmp_path / "target").epochs_trained == 1


def test_two_processes_that_begin_one_run_both_end_it(path):
    """Each writes the whole of the same run, so whoever comes last, the file is of it."""
    script = """
import sys
import numpy as np
from chainrule import Net
sys.stdin.readline()
X = np.arange(12.0).reshape(6, 2)
net = Net([2, 3, 1], seed=0)
net.fit(X, X[:, :1] / 12, epochs=200, checkpoint=sys.argv[1])
print(net.parameters.tobytes().hex())
"""
    command = [sys.executable, "-c", script, str(path)]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for run in runs:
        run.stdin.write("go\n")
        run.stdin.flush()
    ended = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(ended) == 1
    assert Net.load(path).parameters.tobytes().hex() == ended.pop().strip()
    assert os.listdir(path.parent) == [path.name]


def test_leftovers_are_those_of_this_file(tmp_path, path):
    kept = {".file.2.0123456789abcdef.part", ".file.mine.part", "file.0123456789abcdef.part", ".file.0123.part"}
    for name in {*kept, ".file.0123456789abcdef.part"}:
        (tmp_path / name).touch()
    remove_leftovers(path)
    assert set(os.listdir(tmp_path)) == kept


def test_a_private_file_is_never_public(path, monkeypatch):
    path.touch(mode=0o600)
    modes = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: modes.append(stat.S_IMODE(os.fstat(fd).st_mode)))
    monkeypatch.setattr(
        os, "replace", lambda *names: modes.append(stat.S_IMODE(os.stat(names[0]).st_mode)) or replace(*names)
    )
    write_atomically(path, b"secret")
    assert modes[:2] == [0o600, 0o600]


def test_the_umask_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("for a moment, all threads have another umask"))
    threads = [threading.Thread(target=write_atomically, args=(tmp_path / str(i), b"")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir(tmp_path)) == 8


def test_interrupts_leak_nothing(tmp_path):
    script = """
import os, signal, sys, time
from chainrule import Net

def interrupt(*_):
    raise KeyboardInterrupt

os.fsync = lambda descriptor: None  # most of a save else, of which the rest is looked at
signal.signal(signal.SIGALRM, interrupt)
net, folder, interrupts = Net([2, 1], seed=0), sys.argv[1], 0
began = time.perf_counter()
for i in range(200):
    net.save(f"{folder}/{i % 7}")
seconds = (time.perf_counter() - began) / 200
before = len(os.listdir("/proc/self/fd"))
for i in range(8000):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + 1.3 * seconds * (i % 1009) / 1009)
            net.save(f"{folder}/{i % 7}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupts += 1
assert 1000 < interrupts < 8000, interrupts
left = len(os.listdir("/proc/self/fd")) - before
assert left == 0, f"{left} descriptors"
left = [name for name in os.listdir(folder) if name.endswith(".part")]
assert not left, left
for name in os.listdir(folder):
    assert (Net.load(f"{folder}/{name}").parameters == net.parameters).all()
"""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs the list of descriptors in /proc")
    run_python(script, tmp_path, timeout=200)


@pytest.mark.parametrize("name", ["fsync", "readlink", "chown", "chmod", "kill", "unlink", "close"])
def test_a_deadline_comes_out(path, monkeypatch, name):
    """What a signal's handler raises is an OSError, too, where it is a TimeoutError."""
    path.write_bytes(b"older")
    leftover = path.with_name(f".{path.name}.{os.getppid():08x}01234567.part")
    leftover.touch()
    system = getattr(os, name)

    def expire(*arguments, **options):
        if name != "fsync" or stat.S_ISDIR(os.fstat(arguments[0]).st_mode):
            if name == "close":
                system(*arguments)
            raise TimeoutError("deadline")
        return system(*arguments, **options)

    monkeypatch.setattr(os, name, expire)
    if name == "unlink":  # which comes only where there is no such process
        monkeypatch.setattr(os, "kill", lambda *_: os.stat(path.with_name("absent")))
    work = partial(remove_leftovers, path) if name in ("kill", "unlink") else partial(write_atomically, path, b"new")
    with pytest.raises(TimeoutError, match="deadline"):
        work()


def test_permissions_that_the_system_lacks_are_no_error(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path.write_bytes(b"older")
    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(os, "chown", refuse)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_that_cannot_be_read_is_not_replaced(tmp_path, path, monkeypatch):
    target = tmp_path / "target"
    target.write_bytes(b"older")
    path.symlink_to(target)

    def fail(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(os, "readlink", fail)
        with pytest.raises(OSError, match="Stale file handle"):
            write_atomically(path, b"new")
    assert path.is_symlink()
    assert target.read_bytes() == b"older"


def test_links_without_an_end_are_refused(path):
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(path, b"new")


def test_what_a_writer_has_locked_is_no_leftover(path):
    """Its process may have the number of ours, as the first of another container has, or of none here."""
    fcntl = pytest.importorskip("fcntl")
    mine, absent = (path.with_name(f".{path.name}.{number:08x}01234567.part") for number in (os.getpid(), 2**31))
    with open(mine, "wb") as first, open(absent, "wb") as second:
        for file in (first, second):
            fcntl.flock(file, fcntl.LOCK_EX)
        remove_leftovers(path)
        assert mine.exists()
        assert absent.exists()
    remove_leftovers(path)
    assert os.listdir(path.parent) == []


def test_a_writer_locks_its_file_until_it_has_its_name(path, monkeypatch):
    replace = os.replace

    def look(*names):
        remove_leftovers(path)
        replace(*names)

    monkeypatch.setattr(os, "replace", look)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_pipe_named_as_a_leftover_is_not_waited_for(path):
    os.mkfifo(path.with_name(f".{path.name}.{2**31:08x}01234567.part"))
    remove_leftovers(path)


def test_errors_of_reading_name_the_file(path, monkeypatch):
    with pytest.raises(OSError, match="/dev/zero"):
        read_whole(Path("/dev/zero"))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    path.touch()
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match=str(path)):
        read_whole(path)
