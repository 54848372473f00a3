"""The list of 32 faults, rows 22 to 25, 29, 31 and 32: the process that a net lives in, and its other libraries."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule
from apart import run_apart
from chainrule import DivergenceError, Net, _core
from helpers import draw, run_python

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the control groups and the /proc of Linux")


def test_every_row_of_the_list_has_a_test():
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_faults_*.py"))
    numbers = {int(number) for number in re.findall(r"^def test_fault_(\d\d)_", text, re.MULTILINE)}
    assert numbers == set(range(1, 33))


def large():
    """A net whose work is worth a second thread, with data."""
    net = Net([300, 300, 300], seed=0, threads=2)
    return net, *draw(net, 512)[:2]


def work():
    """Train and predict on two threads where there are as many; return what depends on every step."""
    net, X, Y = large()
    net.fit(X, Y, epochs=2)
    return net.predict(X)


def check_fork():
    expected = work()
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if (work() == expected).all() else 1)
        assert os.waitpid(child, 0)[1] == 0
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        for result in pool.starmap(work, [()] * 4):
            np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(work(), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fault_22_a_child_of_fork_works_after_its_parent_used_threads():
    run_apart(check_fork, OMP_NUM_THREADS="")


def check_forks_at_once():
    import threading

    net, X, _ = large()
    expected, done, codes = net.predict(X), threading.Event(), []

    def predict():
        while not done.is_set():
            net.predict(X)

    def fork():
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if (Net.predict(large()[0], X) == expected).all() else 1)
            codes.append(os.waitpid(child, 0)[1])

    forking = [threading.Thread(target=fork) for _ in range(2)]
    predicting = threading.Thread(target=predict)
    for thread in (predicting, *forking):
        thread.start()
    for thread in forking:
        thread.join()
    done.set()
    predicting.join()
    assert codes == [0] * 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fault_23_two_threads_that_fork_at_once_do_not_deadlock():
    run_apart(check_forks_at_once, OMP_NUM_THREADS="")


def use_scikit_learn():
    """Run its own OpenMP runtime with as many threads as there are."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_info

    random = np.random.default_rng(0)
    HistGradientBoostingRegressor(max_iter=2).fit(random.random((2000, 5)), random.random(2000))
    assert "openmp" in {library["user_api"] for library in threadpool_info()}


def use_torch():
    import torch

    torch.mm(torch.ones(500, 500), torch.ones(500, 500))
    torch.nn.Linear(500, 500)(torch.ones(500, 500)).sum().backward()


OTHERS = {"sklearn": use_scikit_learn, "torch": use_torch}


def check_beside_another_runtime(name, first):
    if first:
        OTHERS[name]()
    result = work()
    if not first:
        OTHERS[name]()
    np.testing.assert_array_equal(work(), result)
    sys.stdout.buffer.write(result.tobytes()[:1000].hex().encode())


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("name", OTHERS)
def test_fault_24_another_openmp_runtime_changes_nothing(name, first):
    pytest.importorskip(name)
    printed = run_apart(check_beside_another_runtime, name, first, OMP_NUM_THREADS="")
    assert printed == work().tobytes()[:1000].hex()


GROUPS = {
    # A quota of one and a half processors, in microseconds per period.
    "version 2": ("cgroup2 cgroup2 rw", "0::/job\n", {"cpu.max": "150000 100000\n"}),
    "version 1": (
        "cgroup cgroup rw,cpu",
        "4:cpu:/job\n",
        {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n"},
    ),
}


def check_quota(folder, kind, quota):
    """Give this process a quota, as the kernel would show it, in a namespace of its own."""
    import ctypes

    mount, group, files = GROUPS[kind]
    (Path(folder) / "job").mkdir()
    for name, text in files.items():
        (Path(folder) / "job" / name).write_text(text.replace("150000", quota))
    (Path(folder) / "mountinfo").write_text(f"29 24 0:26 / {folder} rw,nosuid shared:4 - {mount}\n")
    (Path(folder) / "cgroup").write_text(group)
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, new_user, bind, private = 0x00020000, 0x10000000, 4096, (1 << 18) | 16384
    if libc.unshare(new_mounts) != 0 and libc.unshare(new_user | new_mounts) != 0:
        return print("no namespaces")
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(private), None) != 0:
        return print("no namespaces")
    for name in ("mountinfo", "cgroup"):
        source, target = f"{folder}/{name}".encode(), f"/proc/{os.getpid()}/{name}".encode()
        if libc.mount(source, target, None, ctypes.c_ulong(bind), None) != 0:
            return print("no namespaces")
    print(_core.thread_limit(), len(os.sched_getaffinity(0)))
    if _core.thread_limit() == 1:
        threads = len(os.listdir("/proc/self/task"))
        work()
        assert len(os.listdir("/proc/self/task")) == threads


@linux
@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize(("quota", "processors"), [("50000", 1), ("150000", 2), ("-1", 10**6), ("max", 10**6)])
def test_fault_25_threads_are_the_fewer_of_affinity_and_quota(tmp_path, kind, quota, processors):
    """The core's own test has more of what containers show (tests/cpp/test_thread_limit.cpp)."""
    printed = run_apart(check_quota, str(tmp_path), kind, quota, OMP_NUM_THREADS="")
    if "no namespaces" in printed:
        pytest.skip("this process may not mount files for itself")
    limit, affinity = map(int, printed.split())
    assert limit == min(affinity, processors)


EXIT = """
import sys, threading, time
import test_faults_process as tests

class Late:
    '''Something whose end takes a while: other threads ask for the GIL of an interpreter that is no more.'''
    def __del__(self, sleep=time.sleep):
        sleep(0.2)

net, X, Y = tests.large()
begun = threading.Event()

def fit():
    net.fit(X, Y, epochs=10**9)

def fit_watched():
    net.fit(X, Y, epochs=10**9, callback=lambda state: None)

def step():
    while True:
        net.step(X, Y, "sgd")

def predict():
    while True:
        net.predict(X)

def check_values():
    import numpy as np
    rows = np.zeros((10**5, 300), np.uint8)
    while True:
        net.predict(rows)

sys.modules["late"] = Late()
threading.Thread(target=globals()[sys.argv[1]], daemon=True).start()
time.sleep(0.2)
sys.exit(7)
"""


@pytest.mark.parametrize("work", ["fit", "fit_watched", "step", "predict", "check_values"])
def test_fault_29_the_interpreter_exits_while_threads_work(work):
    for _ in range(2):
        finished = run_python(EXIT, work, check=False, OMP_NUM_THREADS="")
        assert (finished.returncode, finished.stderr) == (7, "")


LATE_EXIT = """
import ctypes, sys, threading, time
import numpy as np
import chainrule
# The process ends 0.3 s after the interpreter, and meanwhile the fit asks for signals, which its updates take long for.
libc = ctypes.CDLL(None)
libc.on_exit(libc.usleep, None)  # for as many microseconds as the exit status
net = chainrule.Net([3000, 2000], hidden=[], dtype="float64", threads=1)
arguments = {"epochs": 10**9, "batch_size": 1, "optimizer": "adam"}
threading.Thread(target=net.fit, args=(np.ones((1, 3000)), np.ones((1, 2000))), kwargs=arguments, daemon=True).start()
time.sleep(float(sys.argv[1]))
sys.exit(1200 * 256)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="on_exit is glibc's")
def test_fault_29_the_process_ends_after_the_interpreter():
    for seconds in (0.3, 0.33, 0.36, 0.4):
        finished = run_python(LATE_EXIT, seconds, check=False)
        assert (finished.returncode, finished.stderr) == (0, "")


def check_old_processor():
    from test_kernels import check_fits

    assert chainrule.build_info()["isa"] == "x86-64-v2"
    check_fits()


@pytest.mark.skipif(
    "x86-64-v2" not in chainrule.build_info()["available_isas"],
    reason="needs an x86-64 processor: x86-64-v2 is the build for those without AVX",
)
@pytest.mark.parametrize("emulated", [False, True])
def test_fault_31_a_processor_without_avx_imports_and_trains(emulated):
    """Emulated where that can be; no object for it holds an AVX instruction (tests/cpp/instructions.sh)."""
    if not emulated:
        run_apart(check_old_processor, CHAINRULE_ISA="x86-64-v2")
        return
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("needs qemu-user")
    script = """
from helpers import draw, small_net
import chainrule
assert chainrule.build_info()["isa"] == "x86-64-v2"
net = small_net()
assert net.fit(*draw(net, 50)[:2], epochs=3).stopped == "epochs"
"""
    run_python(script, emulator=[emulator, "-cpu", "Nehalem"], CHAINRULE_ISA="")


def assert_subnormals():
    for tiny, dtype in ((5e-324, np.float64), (1e-45, np.float32)):
        numbers = np.full(40, tiny, dtype)
        assert (numbers * dtype(1) > 0).all()
        assert (numbers + numbers > numbers).all()


def check_floating_point():
    """Subnormal numbers are what they were: after the import, and in and after every kind of work."""
    assert_subnormals()
    net, X, Y = large()
    small = Net([3, 4, 2], output="identity", seed=0)
    for trained, data in ((net, (X, Y)), (small, draw(small, 50)[:2])):
        trained.fit(*data, epochs=3, callback=lambda state: assert_subnormals())
        assert_subnormals()
        trained.parameters[0] = np.nan
        with pytest.raises(DivergenceError):
            trained.fit(*data, epochs=3)
        assert_subnormals()
        trained.predict(data[0])
        assert_subnormals()


def test_fault_32_subnormal_numbers_are_left_alone():
    run_apart(check_floating_point, OMP_NUM_THREADS="")


def check_leaks(folder):
    import resource

    net, X, Y = Net([3, 4, 1], seed=0), np.ones((5, 3)), np.ones((5, 1))
    weights, out, path = np.ones(5), np.empty((5, 1), np.float32), folder + "/net"
    counted = (X, Y, weights, out, net, path)

    def call_everything():
        net.predict(X, out=out)
        net.trace(X, Y, weights)
        net.step(X, Y, "adam", weights)
        net.fit(X, Y, epochs=1, sample_weight=weights, validation=(X, Y), callback=lambda state: None)
        for wrong in (lambda: net.predict(X[:, :2]), lambda: net.fit(X, Y * np.nan), lambda: net.predict(X, out=X)):
            with contextlib.suppress(TypeError, ValueError):
                wrong()

    def memory():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def use_files():
        for _ in range(50):
            net.save(path)
            Net.load(path).predict(X)

    for _ in range(300):
        call_everything()
    use_files()
    counts, peak, open_files = [sys.getrefcount(one) for one in counted], memory(), len(os.listdir("/proc/self/fd"))
    for _ in range(2000):
        call_everything()
    use_files()
    assert [sys.getrefcount(one) for one in counted] == counts
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert memory() - peak < 1024, "KiB"


@linux
def test_fault_32_calls_leak_neither_references_nor_memory_nor_files(tmp_path):
    run_apart(check_leaks, str(tmp_path))
