"""The most threads that work may use: environment, affinity, and the limits of threadpoolctl."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
import threadpoolctl

from chainrule import _core, threads
from helpers import run_python


@pytest.fixture
def eight_allowed(monkeypatch):
    """A process that may use eight threads, whatever this machine has."""
    monkeypatch.setattr(_core, "thread_limit", lambda: 8)


def test_omp_num_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    unlimited = _core.thread_limit()
    assert unlimited >= 1
    for value, limit in {"1": 1, "1,8": 1, "100000": unlimited, "0": unlimited, "many": unlimited}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert _core.thread_limit() == limit, value


def test_omp_num_threads_of_the_start():
    script = "import chainrule; print(chainrule._core.thread_limit())"
    assert run_python(script, OMP_NUM_THREADS="1").stdout.split() == ["1"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity():
    script = """
import os, chainrule
cpus = os.sched_getaffinity(0)
assert chainrule._core.thread_limit() <= len(cpus)
os.sched_setaffinity(0, {min(cpus)})
assert chainrule._core.thread_limit() == 1
"""
    run_python(script, OMP_NUM_THREADS="")


@pytest.mark.usefixtures("eight_allowed")
def test_without_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert [threads.resolve(wanted) for wanted in (None, 1, 2, 8, 9)] == [8, 1, 2, 8, 8]


@pytest.mark.usefixtures("eight_allowed")
def test_threadpoolctl_limits():
    with threadpoolctl.threadpool_limits(4):
        assert [threads.resolve(wanted) for wanted in (None, 3, 5)] == [4, 3, 4]
        with threadpoolctl.threadpool_limits(1):
            assert [threads.resolve(wanted) for wanted in (None, 1, 5)] == [1, 1, 1]
        assert threads.resolve(None) == 4


def test_threadpoolctl_imported_last():
    script = """
import sys
from chainrule import _core, threads
_core.thread_limit = lambda: 8
assert threads.resolve(None) == 8
assert "threadpoolctl" not in sys.modules
from threadpoolctl import threadpool_limits
with threadpool_limits(1):
    assert threads.resolve(None) == 1
with threadpool_limits(3):
    assert threads.resolve(None) == 3
"""
    run_python(script)


@pytest.mark.usefixtures("eight_allowed")
def test_libraries_that_say_nothing_of_a_limit(monkeypatch):
    reported = {"openblas": 5, "blis": 1, "flexiblas": 1, "openmp": None}
    libraries = [SimpleNamespace(internal_api=name, num_threads=number) for name, number in reported.items()]
    controller = SimpleNamespace(lib_controllers=libraries)
    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", lambda: controller)
    monkeypatch.setattr(threads, "_libraries", threads._libraries.__wrapped__)
    assert threads.resolve(None) == 5
