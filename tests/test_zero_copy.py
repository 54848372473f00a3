"""Arrays are read where they are: no copy of a data set is made, whatever its dtype, size or file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from chainrule import Net
from helpers import check_backward_reads_again, check_fit_reads_each_epoch, draw, run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: Makes every allocation beyond `allowance` bytes of private memory a MemoryError, so that no peak goes unseen.
LIMIT = """
import resource, sys
import numpy as np
from chainrule import Net, SGD

def kilobytes(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field + ":"))

def limit(allowance):
    bytes_now = 1024 * kilobytes("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_now + allowance,) * 2)

path, rows, features = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
"""


def sparse_file(path, rows, features, dtype, block=100):
    """A file of zeros that takes no disk, but for `block` rows of numbers at its beginning, middle and end."""
    size = rows * features * np.dtype(dtype).itemsize
    with open(path, "wb") as file:
        file.truncate(size)
    mapped = np.memmap(path, dtype, "r+", shape=(rows, features))
    numbers = np.random.default_rng(0).standard_normal((block, features)).astype(dtype)
    for start in (0, rows // 2, rows - block):
        mapped[start : start + block] = numbers
    mapped.flush()
    return path


@pytest.mark.parametrize(
    "options",
    [
        "batch_size=1024, shuffle=True",
        "batch_size=1024, shuffle=False",
        "batch_size=None",
        "batch_size=32768, patience=1",
    ],
)
def test_fit_on_a_gigabyte_of_another_dtype_takes_no_memory(tmp_path, options):
    rows, features = 2**18, 2**9
    path = sparse_file(tmp_path / "X", rows, features, np.float64)
    script = f"""{LIMIT}
X = np.memmap(path, np.float64, "r", shape=(rows, features))
assert X.nbytes == 2**30
Y, weights = np.broadcast_to(np.float16(0.5), (rows, 1)), np.ones(rows, np.uint8)
net = Net([features, 8, 1], seed=0)
before = kilobytes("RssAnon")
limit(64 * 2**20)
validation = X[:1000], Y[:1000]
history = net.fit(X, Y, epochs=1, optimizer=SGD(lr=0.01), sample_weight=weights, validation=validation, {options})
assert np.isfinite(history.loss).all() and history.loss[0] > 0
print(kilobytes("RssAnon") - before)
"""
    grown = int(run_python(script, path, rows, features).stdout)
    assert grown < 64 * 1024


def test_predict_on_a_row_strided_map_takes_no_memory(tmp_path):
    rows, features = 2**19, 128
    path = sparse_file(tmp_path / "X", rows, features, np.float32)
    script = f"""{LIMIT}
X = np.memmap(path, np.float32, "r", shape=(rows, features))[::2, 16:112]
net = Net([96, 16, 1], seed=0)
out = np.empty((len(X), 1), np.float32)
out[:] = 0
before = kilobytes("RssAnon")
limit(8 * 2**20)
net.predict(X, out=out)
assert np.isfinite(out).all() and len(np.unique(out[:100])) > 30
Y = np.broadcast_to(np.float32(0.5), (len(X), 1))
assert np.isfinite(net.loss(X, Y))
print(kilobytes("RssAnon") - before)
"""
    grown = int(run_python(script, path, rows, features).stdout)
    assert grown < 8 * 1024


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_keeps_a_view_of_its_input(dtype):
    """As the docstring of forward warns."""
    X = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    check_backward_reads_again(X, X, dtype)


def test_an_array_is_kept_alive_between_forward_and_backward():
    net = Net([300, 2], hidden=[], seed=0)
    X, Y, _ = draw(net, 300)
    expected = net.step(X, Y, "sgd")
    net = Net([300, 2], hidden=[], seed=0)
    references = sys.getrefcount(X)
    net.forward(X)
    assert sys.getrefcount(X) == references + 1
    copy = X.copy()
    net.forward(copy)
    assert sys.getrefcount(X) == references
    del copy
    assert net.backward(Y) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
def test_a_callback_that_changes_the_data_changes_the_training(dtype):
    """No copy is made at the beginning of a fit."""
    X = np.random.default_rng(0).integers(0, 3, (20, 3)).astype(dtype)
    check_fit_reads_each_epoch(X, X)


def test_inputs_are_never_written_to():
    net = Net([3, 4, 2], seed=0)
    arrays = draw(net, 300)
    copies = [a.copy() for a in arrays]
    X, Y, weights = arrays
    net.fit(X, Y, epochs=3, sample_weight=weights)
    net.step(X, Y, "adam", weights)
    net.predict(X)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
