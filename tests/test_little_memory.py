"""Files and copies where memory runs out: MemoryError, the old file as it was, and no end of the process."""

from __future__ import annotations

import contextlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from apart import run_apart
from chainrule import Net

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited as Linux does")

#: Of the bytes of the parameters, how many the process may take besides: from too few to enough for all copies.
ROOMS = np.concatenate([np.arange(0.05, 8, 0.4), [16, 32, 64]])


@contextlib.contextmanager
def room(size):
    """Let the process have that many bytes more of address space."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(size)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def outcomes(deed, size):
    """Do it with ever more memory, at last with enough; yield whether that was enough, each time."""
    for share in ROOMS:
        try:
            with room(share * size):
                deed()
        except MemoryError:
            yield False
        else:
            yield True
    deed()


def check_saves(path):
    old, new = (Net([1000, 2000, 1], dtype="float64", seed=seed) for seed in (0, 1))
    old.save(path)  # once with all memory: what is imported stays
    saved = []
    for done in outcomes(lambda: new.save(path), new.parameters.nbytes):
        saved.append(done)
        np.testing.assert_array_equal(Net.load(path).parameters, (new if done else old).parameters)
        old.save(path)
    assert set(saved) == {False, True}
    assert [file.name for file in Path(path).parent.iterdir()] == [Path(path).name]


def check_loads(path):
    net = Net([1000, 2000, 1], dtype="float64", seed=0)
    net.save(path)
    Net.load(path)
    assert set(outcomes(lambda: Net.load(path), net.parameters.nbytes)) == {False, True}


def check_checkpoints(path):
    X, Y = np.ones((4, 1000)), np.zeros((4, 1))
    net = Net([1000, 2000, 1], dtype="float64", seed=0)
    net.fit(X, Y, epochs=1, checkpoint=path)
    fitted = []

    def fit():
        Path(path).unlink(missing_ok=True)
        net.fit(X, Y, epochs=1, checkpoint=path)

    for done in outcomes(fit, net.parameters.nbytes):
        fitted.append(done)
        assert np.isfinite(net.parameters).all()
        if Path(path).exists():
            np.testing.assert_array_equal(Net.load(path).parameters, net.parameters)
    assert set(fitted) == {False, True}


def check_copies(path):
    net = Net([1000, 2000, 1], dtype="float64", seed=0)
    net.step(np.ones((4, 1000)), np.zeros((4, 1)), "adam")
    pickle.dumps(net)
    assert set(outcomes(lambda: pickle.dumps(net), 2 * net.parameters.nbytes)) == {False, True}


@pytest.mark.parametrize("check", [check_saves, check_loads, check_checkpoints, check_copies])
def test_memory_runs_out(check, tmp_path):
    run_apart(check, str(tmp_path / "net.safetensors"))
