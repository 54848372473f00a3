"""Sparse matrices of SciPy's are inputs as good as dense ones, and never made dense as a whole."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from chainrule import SGD, Adam, Net
from helpers import run_python

sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy, of the extra [sklearn]")

FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]


def draw(rows=300, features=20, dtype=np.float64):
    numbers = np.random.default_rng(0)
    X = numbers.standard_normal((rows, features)) * (numbers.random((rows, features)) < 0.2)
    X[::7] = 0  # rows of which nothing is stored
    return X.astype(dtype), np.tanh(X[:, :1] - X[:, 1:2])


def new_net(dtype="float32", features=20, **options):
    return Net([features, 16, 1], "tanh", "identity", dtype=dtype, seed=1, **options)


def pair(form, kind="matrix", **shape):
    X, Y = draw(**shape)
    return X, getattr(sparse, f"{form}_{kind}")(X), Y


def assert_same_nets(one, other):
    assert one.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_bits_of_the_dense_matrix(form, kind):
    X, X_sparse, Y = pair(form, kind)
    dense, of_sparse = new_net(), new_net()
    for net, inputs in ((dense, X), (of_sparse, X_sparse)):
        net.fit(inputs, Y, epochs=3, optimizer=Adam(lr=0.01))
        net.step(inputs, Y, SGD(lr=0.1))
    assert_same_nets(dense, of_sparse)
    assert dense.predict(X).tobytes() == of_sparse.predict(X_sparse).tobytes()
    assert dense.loss(X, Y) == of_sparse.loss(X_sparse, Y)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize("net_dtype", ["float32", "float64"])
def test_every_dtype(dtype, net_dtype):
    X, X_sparse, _ = pair("csr", dtype=dtype)
    net = new_net(net_dtype)
    assert net.predict(X).tobytes() == net.predict(X_sparse).tobytes()


def test_every_method_that_takes_inputs():
    X, X_sparse, Y = pair("csr", rows=600)
    one, other = new_net("float64"), new_net("float64")
    one.forward(X)
    other.forward(X_sparse)
    assert one.backward(Y) == other.backward(Y)
    assert one.gradients.tobytes() == other.gradients.tobytes()
    for a, b in zip(one.activations(X), other.activations(X_sparse), strict=True):
        assert a.tobytes() == b.tobytes()
    assert one.input_gradient(X, Y).tobytes() == other.input_gradient(X_sparse, Y).tobytes()
    assert one.jacobian(X).tobytes() == other.jacobian(X_sparse).tobytes()
    assert one.trace(X[:5], Y[:5]).loss == other.trace(X_sparse[:5], Y[:5]).loss
    out = np.empty((600, 1))
    assert other.predict(X_sparse, out=out) is out
    assert out.tobytes() == one.predict(X).tobytes()
    assert one.predict(X[3:4]).tobytes() == other.predict(X_sparse[3:4]).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"validation": 0.2, "patience": 2},
        {"batch_size": None},
        {"batch_size": 7, "shuffle": False},
        {"batch_size": 290, "sample_weight": np.linspace(0, 1, 300)},
        {"metrics": {"spread": lambda Y, predictions: np.ptp(predictions)}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_way_to_fit(options, tmp_path):
    X, X_sparse, Y = pair("csc")
    nets = new_net(), new_net(), new_net()
    checkpoint = {"checkpoint": tmp_path / "run", "every": 2}
    for net, inputs, more in zip(nets, (X, X_sparse, X_sparse), ({}, {}, checkpoint), strict=True):
        net.fit(inputs, Y, epochs=6, **options, **more)
    assert_same_nets(nets[0], nets[1])
    assert_same_nets(nets[0], nets[2])


def draw_words(rows=300, features=200):
    X = sparse.random(rows, features, density=0.04, format="csr", random_state=0)
    return X, X.sum(axis=1).reshape(-1, 1) - 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"hidden": "tanh"},
        {"hidden": "relu", "bias": False},
        {"hidden": "gelu", "dropout": 0.3},
        {"hidden": "silu", "input_noise": 0.1},
    ],
    ids=lambda options: options["hidden"],
)
def test_products_of_what_is_stored_have_the_bits_of_dense_ones(dtype, options):
    X, Y = draw_words()
    nets = [Net([200, 16, 8, 1], output="identity", dtype=dtype, seed=1, **options) for _ in range(2)]
    for net, inputs in zip(nets, (X.toarray(), X), strict=True):
        net.fit(inputs, Y, epochs=3, optimizer=Adam(lr=0.01), validation=0.2)
        net.fit(inputs, Y, epochs=1, optimizer=Adam(lr=0.01), batch_size=None)  # of two chunks
        net.forward(inputs)
        net.backward(Y)
    dense, of_sparse = nets
    assert_same_nets(dense, of_sparse)
    assert dense.gradients.tobytes() == of_sparse.gradients.tobytes()
    assert dense.predict(X.toarray()).tobytes() == of_sparse.predict(X).tobytes()
    for one, other in zip(dense.activations(X.toarray()), of_sparse.activations(X), strict=True):
        assert one.tobytes() == other.tobytes()
    assert dense.input_gradient(X.toarray(), Y).tobytes() == of_sparse.input_gradient(X, Y).tobytes()
    ours, theirs = (net.trace(inputs[:5], Y[:5]) for net, inputs in zip(nets, (X.toarray(), X), strict=True))
    assert ours.loss == theirs.loss


def test_one_output_of_what_is_stored():
    X, Y = draw_words()
    nets = [Net([200, 1], output="identity", dtype="float64", seed=1) for _ in range(2)]
    for net, inputs in zip(nets, (X.toarray(), X), strict=True):
        net.fit(inputs, Y, epochs=3, optimizer=Adam(lr=0.01))
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-12)
    np.testing.assert_allclose(nets[0].predict(X), nets[1].predict(X.toarray()), rtol=1e-12)


def test_threads_do_not_change_the_bits():
    X, Y = draw_words(600, 5000)
    nets = [Net([5000, 300, 1], output="identity", seed=1, threads=threads) for threads in (1, 2)]
    for net in nets:
        net.fit(X, Y, epochs=1)
    assert_same_nets(*nets)


def test_a_checkpoint_knows_its_sparse_data(tmp_path):
    _, X, Y = pair("csr")
    new_net().fit(X, Y, epochs=2, checkpoint=tmp_path / "run")
    other = X.copy()
    other.data[0] += 1
    with pytest.raises(ValueError, match="X has other values"):
        new_net().fit(other, Y, epochs=2, checkpoint=tmp_path / "run")
    new_net().fit(X.tocoo(), Y, epochs=2, checkpoint=tmp_path / "run")


def test_elements_that_are_stored_twice_or_in_any_order():
    values, rows, columns = [1.0, 2.0, 4.0, 8.0], [0, 0, 0, 1], [3, 1, 3, 0]
    X = sparse.csr_matrix((values, columns, [0, 3, 4]), shape=(2, 20))
    assert not X.has_canonical_format
    dense = np.zeros((2, 20))
    np.add.at(dense, (rows, columns), values)
    np.testing.assert_array_equal(new_net().predict(X), new_net().predict(dense))
    assert X.nnz == 4  # the user's matrix is as it was


def test_a_matrix_of_zeros():
    X = sparse.csr_matrix((5, 20))
    np.testing.assert_array_equal(new_net().predict(X), new_net().predict(np.zeros((5, 20))))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_bad_values_are_named_by_row_and_column(value):
    _, X, Y = pair("csr")
    place = X[5].indices[1]
    X[5, place] = value
    with pytest.raises(ValueError, match=f"X must be finite as float32; it is .* at row 5, column {place}$"):
        new_net().fit(X, Y)


def spoil(name, change):
    def spoiled():
        X = sparse.csr_matrix(draw()[0])
        X.has_canonical_format = True  # as a matrix that was put together by hand may say
        values = getattr(X, name).copy()
        change(values)
        setattr(X, name, values)
        return X

    return spoiled


def set_at(place, value):
    def change(values):
        values[place] = value

    return change


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (spoil("indices", set_at(3, 20)), "X.indices must be columns from 0 to 19; it is 20.0"),
        (spoil("indices", set_at(3, -1)), "X.indices must be columns from 0 to 19; it is -1.0"),
        (spoil("indptr", set_at(-1, 10**6)), "X.indptr does not say where the 300 rows are"),
        (spoil("indptr", set_at(2, 10**6)), "X.indptr does not say where the 300 rows are"),
        (spoil("indptr", set_at(2, -1)), "X.indptr does not say where the 300 rows are"),
        (spoil("indptr", set_at(0, 1)), "X.indptr does not say where the 300 rows are"),
        (lambda: sparse.csr_matrix((3, 19)), "X has 19 features, but the net takes 20"),
        (lambda: sparse.csr_matrix((0, 20)), "X has no rows"),
    ],
)
def test_matrices_that_are_none(spoiled, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        new_net().predict(spoiled())


DAMAGED = """
import numpy as np
from scipy import sparse
from chainrule import Net
X = sparse.random(50, 20, 0.3, format="csr", random_state=0)
X = sparse.csr_matrix((X.data, X.indices, X.indptr), shape=X.shape)  # which knows nothing of its order yet
{damage}
Net([20, 2], seed=0).predict(X)
"""


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("X.indptr[5] = -(10**9)", "X.indptr does not say where the 50 rows are"),
        ("X.indptr[0] = -(10**9)", "X.indptr does not say where the 50 rows are"),
        ("X.indptr[20] = 10**9", "X.indptr does not say where the 50 rows are"),
        ("X.indptr[-1] = 10**9", "X.indptr does not say where the 50 rows are"),
        ("X.indices[:2] = 3; X.indices = X.indices[:10]", "X.indptr does not say where the 50 rows are"),
        ("X = X.tocoo(); X.row[0] = 60", "X.row must be from 0 to 49; it is 60"),
        ("X = X.tocoo(); X.row[0] = -(10**9)", "X.row must be from 0 to 49; it is -1000000000"),
        ("X = X.tocoo(); X.col[0] = 10**9", "X.col must be from 0 to 19; it is 1000000000"),
        ("X = X.tocoo(); X.data = X.data[:5]", "X.row has 300 places for 5 elements"),
        ("X = X.tocsc(); X.indptr[3] = 10**9", "X is no CSC matrix: "),
        ("X = X.tobsr((5, 5)); X.indices[0] = 10**9", "X is no BSR matrix: "),
    ],
)
def test_damage_that_scipy_would_follow_out_of_its_memory(damage, message):
    ended = run_python(DAMAGED.format(damage=damage), check=False)
    assert ended.returncode == 1, ended.stderr
    assert f"ValueError: {message}" in ended.stderr


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("step", [1, 2, -1])
def test_starts_and_columns_in_any_memory(dtype, step):
    X, X_sparse, _ = pair("csr")
    for name in ("indptr", "indices"):
        apart = np.zeros(2 * len(getattr(X_sparse, name)), dtype)
        view = apart[::step][: len(getattr(X_sparse, name))]
        view[:] = getattr(X_sparse, name)
        setattr(X_sparse, name, view)
    np.testing.assert_array_equal(new_net().predict(X_sparse), new_net().predict(X))


def test_a_matrix_of_more_rows_than_can_be_counted():
    class Endless:
        format, has_canonical_format, shape = "csr", True, (2**64 - 1, 20)
        data, indices, indptr = np.ones(3), np.zeros(3, np.int32), np.zeros(0, np.int64)

        def tocsr(self):
            return self

    with pytest.raises(ValueError, match=r"X\.indptr does not say where the 18446744073709551615 rows are"):
        new_net().predict(Endless())


def test_columns_that_another_thread_writes_are_those_of_some_moment():
    """What was looked at is what is read: columns out of range never reach the kernels, whoever writes when."""
    script = """
import sys, threading
import numpy as np
from scipy import sparse
from chainrule import Net

sys.setswitchinterval(1e-5)
rows, stored = 20_000, 40
columns = np.tile(np.arange(stored, dtype=np.int32), rows)
X = sparse.csr_matrix((np.ones(columns.size, np.float32), columns, np.arange(0, columns.size + 1, stored)), (rows, 100))
net, done, good = Net([100, 4, 1], seed=0), threading.Event(), columns[-50:].copy()

def spoil():
    while not done.is_set():
        X.indices[-50:] = 2**30
        X.indices[-50:] = good

thread = threading.Thread(target=spoil)
thread.start()
refused = 0
for _ in range(100):
    try:
        net.predict(X)
    except ValueError:
        refused += 1
done.set()
thread.join()
print(refused)
"""
    assert 0 <= int(run_python(script).stdout) <= 100


def test_complex_numbers_and_sparse_targets_are_refused():
    X, X_sparse, Y = pair("csr")
    with pytest.raises(TypeError, match="X has dtype complex128"):
        new_net().predict(X_sparse.astype(np.complex128))
    with pytest.raises(TypeError, match=r"Y is a sparse matrix; make it dense with Y\.toarray"):
        new_net().fit(X, sparse.csr_matrix(Y))


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of memory that Linux enforces")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_large_sparse_matrix_takes_little_memory(solver):
    script = f"""
import resource
import numpy as np
from scipy import sparse
from chainrule import MLPClassifier

rows, features = 2_000, 100_000  # 1.6 GB if it were dense
numbers = np.random.default_rng(0)
columns = numbers.integers(0, features, (rows, 30))
X = sparse.csr_array((np.ones(columns.size), (np.repeat(np.arange(rows), 30), columns.ravel())), (rows, features))
y = (columns < 2000).any(axis=1)
model = MLPClassifier((4,), solver={solver!r}, max_iter=2, random_state=0, n_threads=1)
model.fit(X[:50], y[:50])  # what is imported and kept
bytes_now = 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData:"))
resource.setrlimit(resource.RLIMIT_DATA, (bytes_now + 400 * 2**20,) * 2)
model.fit(X, y)
print(model.score(X, y), y.mean())
"""
    score, share = map(float, run_python(script, timeout=300).stdout.split())
    assert score >= share
