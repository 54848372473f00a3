"""What users and their other code do to nets while these work, and inputs that lie: no crash, no hang, no wrong number.

Each of these was a fault once, found by people who tried to break the package; docs/RELIABILITY.md lists them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from apart import run_apart
from chainrule import DivergenceError, Net
from chainrule.schedules import ReduceOnPlateau
from helpers import run_python

X = np.random.default_rng(0).standard_normal((50, 3))
Y = np.tanh(X[:, :1])


FORK_WITHIN_A_FIRST_FIT = """
import os, sys, threading, time
import numpy as np
from chainrule import Net

X = np.ones((20, 3))
first, second = Net([3, 1], seed=0), Net([3, 1], seed=0)
threading.Thread(target=lambda: first.fit(X, X[:, :1], epochs=1)).start()
time.sleep(float(sys.argv[1]))
child = os.fork()
if child == 0:
    second.fit(X, X[:, :1], epochs=1)
    os._exit(0)
for _ in range(1000):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        sys.exit(status != 0)
    time.sleep(0.01)
os.kill(child, 9)
sys.exit("the child waits for a module that another thread of its parent was importing")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system lacks")
@pytest.mark.parametrize("moment", [0, 0.002, 0.004, 0.008, 0.016])
def test_a_child_of_fork_trains_while_its_parent_imports(moment):
    run_python(FORK_WITHIN_A_FIRST_FIT, moment)


def test_a_net_that_was_given_its_own_parameters_is_freed():
    net = Net([300, 300], output="identity", seed=0)
    before = net.parameters[:90000].reshape(300, 300).copy()
    expected = Net([300, 300], output="identity", seed=0).forward(before)
    np.testing.assert_array_equal(net.forward(net.weights[0]), expected)
    net.forward(net.weights[0][::-1])
    net.forward(net.weight_gradients[0])
    core = weakref.ref(net._core)
    del net
    assert core() is None


def check_forks_beside_readers():
    net, rows = Net([64, 256, 1], seed=0), np.ones((20_000, 64))
    stop = threading.Event()

    def predict():
        while not stop.is_set():
            net.predict(rows)

    reader = threading.Thread(target=predict)
    reader.start()
    time.sleep(0.1)
    for _ in range(5):
        child = os.fork()
        if child == 0:
            net.fit(rows[:100], rows[:100, :1], epochs=1)
            net.freeze(0)
            os._exit(0)
        for _ in range(200):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.05)
        else:
            os.kill(child, 9)
        assert ended, "the child waits for a reader that it does not have"
        assert status == 0
    stop.set()
    reader.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system lacks")
def test_a_child_of_fork_trains_a_net_that_its_parent_was_reading():
    run_apart(check_forks_beside_readers)


def check_activations_beyond_memory():
    rows = np.broadcast_to(np.zeros((1, 1), np.uint8), (2**60, 1))
    for sizes in ([1, 16, 4], [1, 4], [1, 1]):
        with pytest.raises(MemoryError):
            Net(sizes, hidden="relu").activations(rows)


def test_activations_of_more_rows_than_can_be_addressed():
    run_apart(check_activations_beyond_memory)


def test_a_save_beside_fits_is_of_one_moment(tmp_path):
    """All weights of this net are always equal; those of a file are, too."""
    net = Net([1, 2000, 1], "identity", "identity", init="zeros", bias=False, dtype="float64")
    net.parameters = 1e-3
    done = threading.Event()

    def train():
        while not done.is_set():
            for _ in range(20):
                net.step([[1.0]], [[5.0]], "sgd")
            time.sleep(1e-4)  # a step gives the GIL away only while it has the net to itself

    trainer = threading.Thread(target=train)
    trainer.start()
    saved, end = 0, time.monotonic() + 2
    try:
        while time.monotonic() < end:
            try:
                net.save(tmp_path / "net")
            except RuntimeError:  # busy
                continue
            saved += 1
            assert len(np.unique(Net.load(tmp_path / "net").parameters)) == 1
    finally:
        done.set()
        trainer.join()
    assert saved > 5


def test_truths_of_any_bits():
    mask = np.array([[0], [255], [1]], np.uint8).view(bool)
    net = Net([1, 3, 1], seed=0)
    np.testing.assert_array_equal(net.predict(mask), net.predict([[0.0], [1.0], [1.0]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weight", [1e-29, 1.0, 1e29])
def test_the_size_of_weights_does_not_matter(dtype, weight):
    nets = [Net([3, 4, 1], seed=0, dtype=dtype) for _ in range(2)]
    losses = [
        net.fit(X, Y, epochs=3, sample_weight=np.full(50, w)).loss for net, w in zip(nets, (1, weight), strict=True)
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_weights_that_are_too_small_count_as_zero():
    weights, zeros = np.where(np.arange(50) < 25, 1e-35, 1), np.where(np.arange(50) < 25, 0, 1)
    nets = [Net([3, 4, 1], seed=0) for _ in range(2)]
    for net, sample_weight in zip(nets, (weights, zeros), strict=True):
        net.fit(X, Y, epochs=3, batch_size=5, shuffle=False, sample_weight=sample_weight)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "silu", "mish", "softplus", "relu"])
@pytest.mark.parametrize(("dtype", "far"), [("float32", 3e38), ("float64", 1e308)])
def test_activations_far_out(activation, dtype, far):
    net = Net([1, 1], hidden=[], output=activation, dtype=dtype, init=[np.ones((1, 1))], bias=False)
    np.testing.assert_allclose(net.predict([[-far], [far]]).ravel(), [0, far], rtol=1e-6)
    np.testing.assert_allclose(net.jacobian([[-far], [far]]).ravel(), [0, 1], atol=1e-6)


def test_sparse_elements_that_are_stored_twice_behind_their_back():
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy, of the extra [sklearn]")
    rows = sparse.csr_matrix(np.array([[1.0, 2.0, 0.0]]))
    assert rows.has_canonical_format
    rows.indices[1] = rows.indices[0]
    np.testing.assert_array_equal(Net([3, 1], seed=0).predict(rows), Net([3, 1], seed=0).predict([[3.0, 0.0, 0.0]]))
    columns = sparse.csc_matrix(X)
    columns.indices[0] = 10**6
    with pytest.raises(ValueError, match="indices"):
        Net([3, 1], seed=0).predict(columns)


class Exported:
    """Memory of another library, which has nothing but DLPack's protocol."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


@pytest.mark.parametrize(
    "options",
    [
        {"validation": 0.2},
        {"metrics": {"worst": lambda Y, P: np.abs(Y - P).max()}},
        {"optimizer": "rprop", "batch_size": None},
        {"schedule": ReduceOnPlateau()},
    ],
    ids=lambda options: next(iter(options)),
)
def test_memory_of_other_libraries_fits_every_option(options):
    nets = [Net([3, 4, 1], seed=0) for _ in range(2)]
    nets[0].fit(X, Y, epochs=2, **options)
    nets[1].fit(Exported(X), Exported(Y), epochs=2, **options)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    with pytest.raises(DivergenceError):
        Net([3, 4, 1], "relu", "identity", seed=0).fit(Exported(1e30 * X), Exported(Y), epochs=5)


@pytest.mark.parametrize(("name", "value"), [("shuffle", "a"), ("progress", 5)])
def test_flags_are_true_or_false(name, value):
    with pytest.raises(TypeError, match=f"{name} must be True or False, got {value!r}"):
        Net([3, 1]).fit(X, Y, **{name: value})


def test_ctrl_c_while_data_are_looked_at():
    script = """
import signal, time
import numpy as np
from chainrule import Net

rows = np.broadcast_to(np.float16(1), (2**33, 4))
signal.setitimer(signal.ITIMER_REAL, 0.5)
signal.signal(signal.SIGALRM, signal.default_int_handler)
start = time.perf_counter()
try:
    Net([4, 1]).loss(rows, rows[:, :1])
except KeyboardInterrupt:
    print(time.perf_counter() - start)
"""
    if not hasattr(__import__("signal"), "setitimer"):
        pytest.skip("needs interval timers, of POSIX")
    assert float(run_python(script).stdout) < 5


@pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")
def test_warnings_of_the_command_line_never_become_data(tmp_path):
    (tmp_path / "data.csv").write_text("a,b,extra\n" + "".join(f"{i % 7},{i % 3},1\n" for i in range(60)))
    run = [sys.executable, "-m", "chainrule"]
    options = {"cwd": tmp_path, "check": True, "capture_output": True, "env": {**os.environ, "PYTHONPATH": ""}}
    subprocess.run([*run, "train", "data.csv", "--target", "b", "--epochs", "2", "--output", "model"], **options)
    command = " ".join([*run, "predict", "model", "data.csv"])
    open_ended = subprocess.run(["sh", "-c", command], **options).stdout
    closed = subprocess.run(["sh", "-c", f"{command} 2>&-"], **options).stdout
    assert closed == open_ended


class TestNumbersThatAreNone:
    """What NumPy would take for numbers without a word."""

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (None, "must be real numbers; got None"),
            ("3", "must be real numbers; got '3'"),
            (1j, "must be real numbers; got 1j"),
            (np.ma.array(np.full(1, 1e6), mask=True), "must not be masked"),
        ],
    )
    def test_parameters(self, values, message):
        net = Net([3, 1], seed=0)
        before = net.parameters.copy()

        def assign_parameters():
            net.parameters = values

        def assign_layer():
            net.weights[0] = values

        for assign in (assign_parameters, assign_layer):
            with pytest.raises(TypeError, match=message):
                assign()
        np.testing.assert_array_equal(net.parameters, before)

    def test_parameters_of_another_shape(self):
        net = Net([3, 1], seed=0)
        with pytest.raises(ValueError, match=r"parameters must have the shape \(4,\), .*; got \(5,\)"):
            net.parameters = np.ones(5)
        net.parameters = 0
        net.weights[0] = [[1], [2], [3]]
        np.testing.assert_array_equal(net.parameters, [1, 2, 3, 0])

    def test_masks(self):
        masked = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
        with pytest.raises(TypeError, match=r"init for weights\[0\] must not be masked"):
            Net([3, 1], init=[masked[:, None]])
        with pytest.raises(TypeError, match="X cannot be read as an array of numbers: a row is masked"):
            Net([3, 1]).predict([masked])

    def test_what_a_net_was_made_with_cannot_be_changed(self):
        net = Net([3, 1], seed=0, threads=1)
        for name in ("seed", "threads"):
            with pytest.raises(AttributeError):
                setattr(net, name, 5)

    @pytest.mark.parametrize(
        "value", [np.complex128(1 + 5j), np.str_("0.5"), np.timedelta64(3, "s"), np.datetime64(3, "s")]
    )
    def test_metrics(self, value):
        net, X, Y = Net([3, 1], seed=0), np.ones((4, 3)), np.ones((4, 1))
        with pytest.raises(TypeError, match="metric 'odd' must return a number, got "):
            net.fit(X, Y, epochs=1, metrics={"odd": lambda y, yhat: value})

    @pytest.mark.parametrize("name", ["l1", "l2", "tol", "time_limit", "max_norm"])
    def test_integers_beyond_floats(self, name):
        net, X, Y = Net([3, 1], seed=0), np.ones((4, 3)), np.ones((4, 1))
        with pytest.raises(ValueError, match=f"{name} must be finite and .*, got 1000"):
            net.fit(X, Y, epochs=1, **{name: 10**400})

    @pytest.mark.parametrize("layer", [0.5, None, True, "0"])
    def test_layers(self, layer):
        with pytest.raises(TypeError, match="a layer must be an integer, got "):
            Net([3, 1], seed=0).freeze(layer)

    def test_parameters_beyond_the_dtype_of_the_net(self):
        net = Net([3, 2, 1], seed=0)
        before = net.parameters.copy()
        large = np.full(before.size, 1e300)
        large[0] = 0
        with pytest.raises(ValueError, match="parameters must be numbers that float32 holds; some are beyond"):
            net.parameters = large
        with pytest.raises(ValueError, match="layer 0 must be numbers that float32 holds"):
            net.weights[0] = 1e300
        np.testing.assert_array_equal(net.parameters, before)

    def test_layers_that_cannot_be_assigned(self):
        net = Net([3, 2, 1], seed=0)
        net.weights[0].setflags(write=False)
        with pytest.raises(ValueError, match="layer 0 cannot be written: the array is read-only"):
            net.weights[0] = 0.0
        with pytest.raises(TypeError, match="one layer at a time can be assigned; got slice"):
            net.weights[0:2] = [0.0, 0.0]
