"""What arrays the net takes, exactly as they are; and what it refuses, saying what was given and what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import draw, run_python
from numpy.lib.stride_tricks import as_strided

from chainrule import SGD, Adam, DivergenceError, Net

ROWS, FEATURES, OUTPUTS = 6, 3, 2


def build(dtype="float32", **arguments):
    return Net([FEATURES, 4, OUTPUTS], dtype=dtype, **{"output": "identity", "seed": 2, **arguments})


@pytest.fixture
def net():
    return build()


@pytest.fixture
def X(net):
    return draw(net, ROWS)[0]


@pytest.fixture
def Y(net):
    return draw(net, ROWS)[1]


def misaligned(array):
    """The same numbers, one byte behind an aligned address, as in a memory map behind an odd header."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


def odd_row_stride(array):
    """The same numbers in rows of a structure whose size is no multiple of theirs."""
    record = np.dtype({"names": ["a"], "formats": [(array.dtype, array.shape[1])], "itemsize": array[0].nbytes + 3})
    view = np.zeros(len(array), record)["a"]
    view[...] = array
    assert view.strides[0] % array.itemsize != 0
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def memory_mapped(array, tmp_path):
    path = tmp_path / f"{array.shape}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


#: Other ways to lay out the same matrix.
LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "some columns of a wider matrix": lambda a: np.hstack([a, a, a])[:, a.shape[1] : 2 * a.shape[1]],
    "rows backwards": lambda a: a[::-1].copy()[::-1],
    "columns backwards": lambda a: a[:, ::-1].copy()[:, ::-1],
    "both backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "transposed view": lambda a: a.T.copy().T,
    "misaligned": misaligned,
    "odd row stride": odd_row_stride,
    "read-only": read_only,
    "list of lists": lambda a: a.tolist(),
    "matrix subclass": lambda a: a.view(type("Subclass", (np.ndarray,), {})),
}


def results(net, X, Y, weights):
    """All that a net makes of a data set."""
    history = net.fit(X, Y, epochs=2, batch_size=4, sample_weight=weights, validation=(X, Y, weights), optimizer="sgd")
    whole = net.fit(X, Y, epochs=2, batch_size=None, sample_weight=weights, shuffle=False)
    outputs = [net.predict(X), net.forward(X)]
    losses = [net.backward(Y, weights), net.loss(X, Y, weights), net.step(X, Y, "adam", weights)]
    return [*outputs, losses, net.parameters, net.gradients, history.loss, history.validation_loss, whole.loss]


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_layout_gives_the_same_bits(layout, dtype):
    plain, laid_out = build(dtype), build(dtype)
    X, Y, weights = draw(plain, 300)
    lay_out = LAYOUTS[layout]
    other_weights = lay_out(weights[:, np.newaxis])
    other_weights = [w for (w,) in other_weights] if isinstance(other_weights, list) else other_weights[:, 0]
    assert_same(results(laid_out, lay_out(X), lay_out(Y), other_weights), results(plain, X, Y, weights))


def test_memory_maps_give_the_same_bits(tmp_path):
    plain, mapped = build(), build()
    arrays = draw(plain, 300)
    assert_same(results(mapped, *(memory_mapped(a, tmp_path) for a in arrays)), results(plain, *arrays))


@pytest.mark.parametrize("offset", [1, 3, 7])
def test_misaligned_memory_map(net, tmp_path, offset):
    X = draw(net, 300)[0]
    path = tmp_path / "data"
    path.write_bytes(b"h" * offset + X.tobytes())
    mapped = np.memmap(path, np.float32, "r", offset, X.shape)
    assert not mapped.flags.aligned
    np.testing.assert_array_equal(net.predict(mapped), net.predict(X))


@pytest.mark.parametrize("step", [-1, -2])
def test_negative_strides(net, step):
    X = draw(net, 40)[0]
    np.testing.assert_array_equal(net.predict(X[::step]), net.predict(X[::step].copy()))
    np.testing.assert_array_equal(net.predict(X[0, ::-1]), net.predict(X[0, ::-1].copy()))


@pytest.mark.parametrize("stride", [0, 1, 3, -12, 2**62], ids=str)
def test_stride_of_an_axis_of_length_one_does_not_matter(stride):
    one_row = build()
    X = draw(one_row, 1)[0]
    np.testing.assert_array_equal(one_row.predict(as_strided(X, X.shape, (stride, 4))), one_row.predict(X))
    one_feature = Net([1, 3, 1], seed=0)
    X, Y, _ = draw(one_feature, 50)
    strange = [as_strided(a, a.shape, (4, stride)) for a in (X, Y)]
    np.testing.assert_array_equal(one_feature.predict(strange[0]), one_feature.predict(X))
    assert one_feature.loss(*strange) == one_feature.loss(X, Y)
    out = as_strided(np.empty((50, 1), np.float32), (50, 1), (4, stride))
    np.testing.assert_array_equal(one_feature.predict(X, out=out), one_feature.predict(X))


def test_broadcast_rows_and_columns(net):
    row = draw(net, 1)[0]
    np.testing.assert_array_equal(net.predict(np.broadcast_to(row, (300, FEATURES))), net.predict(row).repeat(300, 0))
    column = np.broadcast_to(np.float32(0.5), (5, FEATURES))
    np.testing.assert_array_equal(net.predict(column), net.predict(column.copy()))


DTYPES = ["bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))]
DTYPES += ["float16", "float32", "float64"]


@pytest.mark.parametrize("given", DTYPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["plain", "every second column", "misaligned", "rows backwards"])
def test_any_real_dtype_is_read_as_its_value(given, dtype, layout):
    random = np.random.default_rng(0)
    info = np.iinfo(given) if np.dtype(given).kind in "iu" else None
    extremes = [info.min, info.max] if info else [0, 1]
    X = random.integers(0, 2 if given == "bool" else 100, (50, 3)).astype(given)
    X[0, :2] = extremes
    Y = random.integers(0, 2, (50, 2)).astype(given)
    weights = random.integers(1, 2 if given == "bool" else 5, 50).astype(given)
    lay_out = LAYOUTS.get(layout, lambda a: a)
    if given in ("bool", "int8", "uint8") and layout == "misaligned":
        lay_out = LAYOUTS["every second column"]
    converted, cast = build(dtype), build(dtype)
    for net in (converted, cast):
        net.weights[0][...] *= 1e-20  # so that the extremes of 64 bits do not make training diverge
    expected = results(converted, X.astype(dtype), Y.astype(dtype), weights.astype(dtype))
    assert_same(results(cast, lay_out(X), lay_out(Y), weights), expected)


def test_every_finite_float16_is_read_exactly():
    half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)]
    net = Net([1, 1], hidden=[], output="identity", bias=False)
    net.parameters[:] = 1
    np.testing.assert_array_equal(net.predict(half[:, np.newaxis])[:, 0], half.astype(np.float32))
    subnormals = half[(half != 0) & (np.abs(half) < 2.0**-14)]
    assert len(subnormals) == 2 * 1023


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", ["plain", "every second column", "rows backwards", "odd row stride"])
def test_values_that_are_not_finite_are_refused(net, dtype, bad, layout):
    lay_out = LAYOUTS.get(layout, lambda a: a)
    X, Y, weights = (a.astype(dtype) for a in draw(net, 300))

    def spoil(array):
        array = array.copy()
        array[257, ...] = bad
        return lay_out(array) if array.ndim == 2 else array

    words = f"{bad} at row 257, column 0".replace("-nan", "nan")
    for method in (net.predict, net.forward):
        with pytest.raises(ValueError, match=f"^X must be finite.*{words}"):
            method(spoil(X))
    for method in (net.loss, net.fit, lambda *given: net.step(*given[:2], "sgd", *given[2:])):
        with pytest.raises(ValueError, match=f"^X must be finite.*{words}"):
            method(spoil(X), Y)
        with pytest.raises(ValueError, match=f"^Y must be finite.*{words}"):
            method(X, spoil(Y))
    with pytest.raises(ValueError, match=f"^sample_weight must be finite.*{words}"):
        net.loss(X, Y, spoil(weights))
    with pytest.raises(ValueError, match=f"^validation X must be finite.*{words}"):
        net.fit(X, Y, validation=(spoil(X), Y))
    with pytest.raises(ValueError, match=f"^validation Y must be finite.*{words}"):
        net.fit(X, Y, validation=(X, spoil(Y)))
    with pytest.raises(ValueError, match=f"^validation sample_weight must be finite.*{words}"):
        net.fit(X, Y, validation=(X, Y, spoil(weights)))


@pytest.mark.parametrize("column", range(40))
def test_a_nan_is_found_wherever_it_stands(column):
    net = Net([40, 1], hidden=[])
    X = np.zeros((3, 40), np.float32)
    X[1, column] = np.nan
    with pytest.raises(ValueError, match=f"row 1, column {column}"):
        net.predict(X)


@pytest.mark.parametrize("value", [1e39, -1e300, np.finfo(np.float64).max])
def test_finite_float64_that_overflows_float32(value):
    X = np.zeros((3, FEATURES))
    X[1, 2] = value
    with pytest.raises(ValueError, match="X must be finite as float32; it is .* at row 1, column 2"):
        build("float32").predict(X)
    assert np.isfinite(build("float64").predict(X)).all()


def test_largest_float32_and_subnormals_are_read(net):
    X = np.array([[np.finfo(np.float32).max, 1e-40, -1e-45]])
    identity = Net([3, 3], hidden=[], output="identity", bias=False)
    identity.weights[0][...] = np.eye(3)
    np.testing.assert_array_equal(identity.predict(X), X.astype(np.float32))


@pytest.mark.parametrize("shape", [(6, 2), (6, 4), (6, 0), (3, 6), (6, 300)])
def test_wrong_feature_count_names_both_numbers(net, Y, shape):
    X = np.zeros(shape, np.float32)
    for method in (net.predict, net.forward, lambda X: net.loss(X, Y), lambda X: net.fit(X, Y)):
        with pytest.raises(ValueError, match=f"X has {shape[1]} features, but the net takes 3"):
            method(X)
    with pytest.raises(ValueError, match=f"validation X has {shape[1]} features, but the net takes 3"):
        net.fit(np.zeros((6, 3)), Y, validation=(X, Y))


@pytest.mark.parametrize("shape", [(), (3,), (1, 6, 3), (6, 3, 1)])
def test_wrong_number_of_axes(net, Y, shape):
    for method in (net.forward, lambda X: net.loss(X, Y), lambda X: net.fit(X, Y)):
        with pytest.raises(ValueError, match=r"X must be a matrix of shape \(rows, 3\); it has shape \("):
            method(np.zeros(shape))


def test_no_rows(net):
    X, Y = np.zeros((0, 3)), np.zeros((0, 2))
    for method in (net.predict, net.forward, lambda X: net.loss(X, Y), lambda X: net.fit(X, Y)):
        with pytest.raises(ValueError, match="X has no rows"):
            method(X)
    with pytest.raises(ValueError, match="validation X has no rows"):
        net.fit(np.zeros((2, 3)), np.zeros((2, 2)), validation=(X, Y))


@pytest.mark.parametrize("swap", [">f4", ">f8", ">i4", ">u2", ">f2"])
def test_byte_swapped_arrays_are_refused_with_a_way_out(net, X, Y, swap):
    swapped = X.astype(swap)
    for name, call in {
        "X": lambda: net.predict(swapped),
        "Y": lambda: net.loss(X, Y.astype(swap)),
        "sample_weight": lambda: net.loss(X, Y, np.ones(ROWS, swap)),
        "validation X": lambda: net.fit(X, Y, validation=(swapped, Y)),
    }.items():
        with pytest.raises(TypeError, match=rf"{name} is byte-swapped \(dtype {swap}\); convert it"):
            call()
    assert net.predict(swapped.astype(swapped.dtype.newbyteorder("="))).shape == (ROWS, OUTPUTS)
    assert net.predict(X.astype(swap.replace(">", "="))).shape == (ROWS, OUTPUTS)


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((6, 3), complex),
        np.zeros((6, 3), object),
        np.zeros((6, 3), np.longdouble),
        np.zeros((6, 3), "U3"),
        np.zeros((6, 3), "S3"),
        np.zeros((6, 3), "M8[s]"),
        np.zeros((6, 3), "m8[s]"),
        np.zeros((6, 3), [("a", "f4")]),
        [["1", "2", "3"]],
        [[1, None, 3]],
        [[10**30, 1, 2]],
    ],
    ids=lambda given: str(np.asarray(given).dtype),
)
def test_dtypes_that_are_no_real_numbers(net, given):
    with pytest.raises(TypeError, match=r"X has dtype .*; allowed are bool, integers, float16, float32 and float64"):
        net.predict(given)


@pytest.mark.parametrize("given", [None, "abc", 3, object(), {"a": 1}, {1, 2}])
def test_things_that_are_no_arrays(net, given):
    with pytest.raises(ValueError, match=r"X must be a matrix of shape \(rows, 3\); it has shape \(\)"):
        net.predict(given)


def test_ragged_lists_name_the_argument(net, X):
    with pytest.raises(ValueError, match="^X cannot be read as an array") as caught:
        net.predict([[1, 2, 3], [1, 2]])
    assert "inhomogeneous" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="^validation Y cannot be read as an array"):
        net.fit(X, X[:, :2], validation=(X, [[1, 2], [1]]))


def test_errors_of_the_object_itself_pass_through(net):
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        net.predict(Broken())


def test_masked_arrays_are_refused(net, X, Y):
    mask = np.zeros(X.shape, bool)
    mask[2, 1] = True
    with pytest.raises(TypeError, match="X is a masked array; fill or drop"):
        net.predict(np.ma.array(X, mask=mask))
    with pytest.raises(TypeError, match="Y is a masked array"):
        net.loss(X, np.ma.array(Y))
    with pytest.raises(TypeError, match="MaskedArray"):
        net.predict(X, out=np.ma.zeros((ROWS, OUTPUTS), np.float32))


@pytest.mark.parametrize("shape", [(5, 2), (6, 1), (6,), (6, 3), (2, 6), (12,), (6, 2, 1), ()])
def test_wrong_shape_of_targets(net, X, shape):
    for call in (
        lambda Y: net.loss(X, Y),
        lambda Y: net.fit(X, Y),
        lambda Y: net.step(X, Y, "sgd"),
        lambda Y: (net.forward(X), net.backward(Y)),
    ):
        with pytest.raises(ValueError, match=r"Y has shape \(.*\); expected \(6, 2\)$"):
            call(np.zeros(shape))


def test_targets_of_a_single_output_may_be_a_vector():
    net = Net([FEATURES, 1], hidden=[], seed=0)
    X, Y, _ = draw(net, ROWS)
    assert net.loss(X, Y[:, 0]) == net.loss(X, Y)
    with pytest.raises(ValueError, match=r"Y has shape \(1, 6\); expected \(6, 1\) or \(6,\)$"):
        net.loss(X, Y.T)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), r"sample_weight has shape \(5,\); expected \(6,\)"),
        (np.ones((6, 1)), r"sample_weight has shape \(6, 1\); expected \(6,\)"),
        (1.0, r"sample_weight has shape \(\); expected \(6,\)"),
        (np.array([1, 1, 1, -0.5, 1, 1]), "sample_weight must be at least 0; it is -0.5 at row 3"),
        (np.zeros(6), "sample_weight must not be zero for every row"),
        (np.full(6, 1e-60), "sample_weight must not be zero for every row"),
        (np.full(6, 1e39), "sample_weight must be finite as float32; it is 1e\\+39 at row 0"),
    ],
    ids=str,
)
def test_wrong_weights(net, X, Y, weights, message):
    before = net.parameters.copy()
    for call in (
        lambda: net.loss(X, Y, weights),
        lambda: net.fit(X, Y, sample_weight=weights),
        lambda: net.step(X, Y, "sgd", weights),
        lambda: (net.forward(X), net.backward(Y, weights)),
        lambda: net.fit(X, Y, validation=(X, Y, weights)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    np.testing.assert_array_equal(net.parameters, before)


class TestLabels:
    """Class indices of a softmax net with four classes."""

    @pytest.fixture
    def classifier(self):
        return Net([FEATURES, 5, 4], output="softmax", loss="cross_entropy", seed=0)

    @pytest.fixture
    def labels(self):
        return np.array([0, 1, 2, 3, 3, 0])

    @pytest.mark.parametrize("dtype", DTYPES[1:9])
    @pytest.mark.parametrize("column", [False, True])
    def test_indices_of_any_integer_type_are_one_hot_rows(self, classifier, X, labels, dtype, column):
        given = labels.astype(dtype)
        given = given[:, np.newaxis] if column else given
        one_hot = np.eye(4)[labels]
        assert classifier.loss(X, given) == classifier.loss(X, one_hot)
        for Y in (given, one_hot):
            classifier.step(X, Y, SGD(lr=1e-30))
            gradients = classifier.gradients.copy()
        np.testing.assert_array_equal(classifier.gradients, gradients)
        indexed, hot = (Net([FEATURES, 5, 4], output="softmax", loss="cross_entropy", seed=0) for _ in range(2))
        indexed.fit(X, given, epochs=3, batch_size=4)
        hot.fit(X, one_hot, epochs=3, batch_size=4)
        np.testing.assert_array_equal(indexed.parameters, hot.parameters)

    @pytest.mark.parametrize("bad", [-1, 4, 5, 2**31, -(2**31), 2**32, 2**62, -(2**63), 2**63 - 1])
    @pytest.mark.parametrize("column", [False, True])
    def test_out_of_range_is_refused_before_anything_is_written(self, classifier, X, labels, bad, column):
        labels[4] = bad
        labels = labels[:, np.newaxis] if column else labels
        parameters, gradients = classifier.parameters.copy(), classifier.gradients.copy()
        for call in (
            lambda: classifier.loss(X, labels),
            lambda: classifier.fit(X, labels),
            lambda: classifier.fit(X, np.zeros(6, int), validation=(X, labels)),
            lambda: classifier.step(X, labels, "sgd"),
            lambda: (classifier.forward(X), classifier.backward(labels)),
        ):
            with pytest.raises(ValueError, match="Y must be class indices from 0 to 3; it is .* at row 4"):
                call()
        np.testing.assert_array_equal(classifier.parameters, parameters)
        np.testing.assert_array_equal(classifier.gradients, gradients)

    def test_largest_unsigned_label(self, classifier, X, labels):
        labels = labels.astype(np.uint64)
        labels[2] = 2**64 - 1
        with pytest.raises(ValueError, match="class indices from 0 to 3"):
            classifier.loss(X, labels)

    def test_floating_indices_are_refused(self, classifier, X, labels):
        for given in (labels.astype(float), labels.astype(float)[:, np.newaxis]):
            with pytest.raises(TypeError, match="Y must hold integer class indices.*float64"):
                classifier.loss(X, given)

    def test_rows_of_probabilities(self, classifier, X):
        soft = np.random.default_rng(0).dirichlet(np.ones(4), ROWS)
        assert classifier.loss(X, soft.astype(np.float16)) == pytest.approx(classifier.loss(X, soft), rel=1e-2)
        with pytest.raises(ValueError, match=r"probabilities, from 0 to 1; it is -0.1.* at row 5, column 2"):
            soft_bad = soft.copy()
            soft_bad[5, 2] = -0.1
            classifier.loss(X, soft_bad)
        with pytest.raises(ValueError, match=r"row 1 sums to 0\.5"):
            soft[1] /= 2
            classifier.loss(X, soft)
        with pytest.raises(ValueError, match=r"expected \(6,\) class indices or \(6, 4\)"):
            classifier.loss(X, soft[:, :3])

    def test_log_loss_takes_probabilities(self, X):
        net = Net([FEATURES, OUTPUTS], hidden=[], loss="log_loss", seed=0)
        Y = np.full((ROWS, OUTPUTS), 0.5)
        assert np.isfinite(net.loss(X, Y))
        for bad in (-1e-6, 1.001, np.nan, np.inf):
            Y[3, 1] = bad
            with pytest.raises(ValueError, match="Y must be probabilities, from 0 to 1; it is .* at row 3, column 1"):
                net.loss(X, Y)


class TestOut:
    """Where predict writes."""

    def test_is_filled_and_returned(self, net, X):
        out = np.full((ROWS, OUTPUTS), np.nan, np.float32)
        assert net.predict(X, out=out) is out
        np.testing.assert_array_equal(out, net.predict(X))
        one = np.empty(OUTPUTS, np.float32)
        assert net.predict(X[0], out=one) is one
        np.testing.assert_array_equal(one, out[0])

    @pytest.mark.parametrize(
        "shape_out",
        [
            lambda memory: memory[2 : 2 + ROWS, 3 : 3 + OUTPUTS],
            lambda memory: memory[1 : 1 + 2 * ROWS : 2, :OUTPUTS],
            lambda memory: memory[2 * ROWS - 1 : ROWS - 1 : -1, :OUTPUTS],
        ],
        ids=["window", "every second row", "rows backwards"],
    )
    def test_rows_apart_leave_the_rest_alone(self, net, X, shape_out):
        memory = np.full((2 * ROWS + 2, 8), 7, np.float32)
        out = shape_out(memory)
        assert net.predict(X, out=out) is out
        np.testing.assert_array_equal(out, net.predict(X))
        out[...] = 7
        assert (memory == 7).all()

    @pytest.mark.parametrize("outputs", [1, 3, 7, 16, 17, 33])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_nothing_is_written_beyond_the_last_column(self, outputs, dtype):
        net = Net([2, outputs], hidden=[], dtype=dtype)
        memory = np.full((9, outputs + 40), 7, dtype)
        net.predict(np.ones((9, 2)), out=memory[:, 20 : 20 + outputs])
        assert (memory[:, :20] == 7).all()
        assert (memory[:, 20 + outputs :] == 7).all()

    @pytest.mark.parametrize("dtype", ["float64", "float16", "int32", ">f4", "complex64", object])
    def test_wrong_dtype(self, net, X, dtype):
        out = np.zeros((ROWS, OUTPUTS), dtype)
        with pytest.raises(TypeError, match=r"out must be a NumPy array of dtype float32; got ndarray of dtype"):
            net.predict(X, out=out)
        assert not out.any()

    @pytest.mark.parametrize("given", [[[0.0] * OUTPUTS] * ROWS, bytearray(48), 3, "out"], ids=str)
    def test_no_array(self, net, X, given):
        with pytest.raises(TypeError, match="out must be a NumPy array of dtype float32; got "):
            net.predict(X, out=given)

    @pytest.mark.parametrize("shape", [(ROWS, OUTPUTS + 1), (ROWS - 1, OUTPUTS), (OUTPUTS, ROWS), (12,), (1, 6, 2), ()])
    def test_wrong_shape(self, net, X, shape):
        out = np.full(shape, 7, np.float32)
        with pytest.raises(ValueError, match=r"out has shape .*; expected \(6, 2\)"):
            net.predict(X, out=out)
        assert (out == 7).all()

    def test_wrong_shape_for_one_row(self, net, X):
        with pytest.raises(ValueError, match=r"out has shape \(1, 2\); expected \(2,\)"):
            net.predict(X[0], out=np.zeros((1, OUTPUTS), np.float32))

    def test_read_only(self, net, X):
        with pytest.raises(ValueError, match="out is read-only"):
            net.predict(X, out=read_only(np.zeros((ROWS, OUTPUTS), np.float32)))

    @pytest.mark.parametrize(
        "lay_out", [np.asfortranarray, misaligned, odd_row_stride, LAYOUTS["columns backwards"]], ids=str
    )
    def test_layouts_that_would_need_a_copy(self, net, X, lay_out):
        with pytest.raises(ValueError, match="out must be aligned and have the outputs of a row side by side"):
            net.predict(X, out=lay_out(np.zeros((ROWS, OUTPUTS), np.float32)))

    @pytest.mark.parametrize("row_stride", [0, 4, -4])
    def test_rows_that_overlap_each_other(self, net, X, row_stride):
        memory = np.zeros(40, np.float32)[20:]
        with pytest.raises(ValueError, match="the rows of out overlap"):
            net.predict(X, out=as_strided(memory, (ROWS, OUTPUTS), (row_stride, 4)))

    def test_overlap_with_the_input(self, net, X):
        memory = np.zeros((ROWS, 8), np.float32)
        memory[:, :FEATURES] = X
        given = memory[:, :FEATURES]
        for out in (memory[:, :OUTPUTS], memory[:, 2:4], memory[::-1, 1:3]):
            with pytest.raises(ValueError, match="out overlaps X"):
                net.predict(given, out=out)
        np.testing.assert_array_equal(given, X)
        # Beside each other in the same memory they do not overlap.
        np.testing.assert_array_equal(net.predict(given, out=memory[:, 4:6]), net.predict(X))

    def test_overlap_of_one_row(self):
        net = Net([2, 2], hidden=[])
        x = np.ones(2, np.float32)
        with pytest.raises(ValueError, match="out overlaps X"):
            net.predict(x, out=x)

    def test_overlap_with_the_parameters(self):
        net = Net([2, 2], hidden=[], bias=False, seed=0)
        before = net.parameters.copy()
        with pytest.raises(ValueError, match="out overlaps the net's parameters"):
            net.predict(np.ones((2, 2)), out=net.weights[0])
        np.testing.assert_array_equal(net.parameters, before)

    def test_errors_in_the_input_leave_it_alone(self, net, X):
        out = np.full((ROWS, OUTPUTS), 7, np.float32)
        with pytest.raises(ValueError, match="finite"):
            net.predict(X * np.nan, out=out)
        assert (out == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("logit", [1000.0, -1000.0])
def test_logits_of_a_thousand_give_exact_losses(dtype, logit):
    """The losses are taken from the logits: 1000 where the net is sure and wrong, 0 where it is right."""
    X = np.ones((1, 1))
    binary = Net([1, 1], hidden=[], loss="log_loss", bias=False, dtype=dtype)
    binary.parameters[:] = logit
    right = float(logit > 0)
    assert binary.predict(X) == right
    assert binary.loss(X, [right]) == 0
    assert binary.loss(X, [1 - right]) == 1000
    assert binary.step(X, [1 - right], SGD(lr=1.0)) == 1000
    assert binary.gradients == (1 if logit > 0 else -1)

    classes = Net([1, 3], hidden=[], output="softmax", loss="cross_entropy", bias=False, dtype=dtype)
    classes.parameters[:] = [logit, 0, -logit]
    right = 0 if logit > 0 else 2
    assert classes.predict(X)[0, right] == 1
    assert classes.predict(X).sum() == 1
    assert classes.loss(X, [right]) == 0
    assert classes.loss(X, [1]) == 1000
    assert classes.loss(X, [2 - right]) == 2000
    assert classes.step(X, [2 - right], SGD(lr=1.0)) == 2000
    assert np.isfinite(classes.gradients).all()


@pytest.mark.parametrize("hidden", ["sigmoid", "tanh", "relu", "identity"])
def test_saturated_hidden_units_stay_finite(hidden):
    net = Net([1, 4, 1], hidden=hidden, output="identity", seed=0)
    net.weights[0][...] = [[1e4, -1e4, 1e20, -1e20]]
    outputs = net.predict(np.array([[1.0], [-1.0]]))
    assert np.isfinite(outputs).all()


class TestDivergence:
    """Training that leaves the finite numbers stops with an error and keeps the last finite parameters."""

    def test_is_both_kinds_of_error(self):
        assert issubclass(DivergenceError, FloatingPointError)
        assert issubclass(DivergenceError, ValueError)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("optimizer", [SGD(lr=1e6), SGD(lr=1e6, momentum=0.9)], ids=str)
    @pytest.mark.parametrize("extra", [{}, {"patience": 3}, {"tol": 1e-3}, {"validation": True, "patience": 3}], ids=str)
    def test_a_learning_rate_far_too_large(self, dtype, optimizer, extra):
        net = build(dtype)
        X, Y, _ = draw(net, 50)
        net.weights[-1][...] *= 1000
        options = {**extra, **({"validation": (X, Y)} if "validation" in extra else {})}
        with pytest.raises(DivergenceError, match=r"epoch \d+, batch \d+"):
            net.fit(X, Y, epochs=1000, batch_size=8, optimizer=optimizer, **options)
        assert np.isfinite(net.parameters).all()
        assert net.history.stopped == "diverged"
        assert len(net.history.loss) == net.history.epochs == net.epochs_trained
        assert np.isfinite(net.history.loss).all()

    def test_the_step_whose_loss_overflows_is_not_applied(self):
        net = Net([1, 1], hidden=[], output="identity", bias=False, seed=0)
        net.parameters[:] = 1e25
        for train in (
            lambda: net.step([[1.0]], [[1.0]], "sgd"),
            lambda: net.fit([[1.0]], [[1.0]], optimizer="adam", epochs=3),
        ):
            with pytest.raises(DivergenceError, match="loss is not finite"):
                train()
            assert net.parameters == np.float32(1e25)
        assert net.history.epochs == 0

    def test_the_batch_named_is_the_one_that_diverged(self):
        net = Net([1, 1], hidden=[], output="identity", bias=False, init="zeros")
        X = np.array([[1.0], [1.0], [1e25]], np.float32)
        with pytest.raises(DivergenceError, match="epoch 1, batch 3: the loss is not finite"):
            net.fit(X, np.ones((3, 1)), batch_size=1, shuffle=False, optimizer=SGD(lr=0.5))
        assert net.parameters == 0.75

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=str)
    def test_a_gradient_that_is_not_finite(self, net, X, Y, bad, optimizer):
        net.step(X, Y, optimizer)
        before, again = net.parameters.copy(), build()
        again.step(X, Y, optimizer)
        net.gradients[3] = bad
        with pytest.raises(DivergenceError, match="gradient is not finite"):
            net.update(optimizer)
        np.testing.assert_array_equal(net.parameters, before)
        # Nor has the state of the optimizer changed.
        net.step(X, Y, optimizer)
        again.step(X, Y, optimizer)
        np.testing.assert_array_equal(net.parameters, again.parameters)

    @pytest.mark.parametrize(
        ("optimizer", "gradient"),
        [
            (SGD(lr=1e10), 1e30),
            (SGD(lr=1e300), 1.0),
            (SGD(lr=1e-10, momentum=0.99), 3e38),
            (Adam(lr=1e300), 1.0),
            (Adam(), 1e30),
        ],
        ids=str,
    )
    def test_an_update_that_overflows(self, net, X, Y, optimizer, gradient):
        with pytest.raises(DivergenceError, match="update overflows"):
            for _ in range(3):
                net.gradients[:] = 0
                net.gradients[3] = gradient
                net.update(optimizer)
        assert np.isfinite(net.parameters).all()
        # The net can be trained on: no infinite moment stays behind.
        kind = Adam() if isinstance(optimizer, Adam) else SGD(momentum=0.9)
        before = net.loss(X, Y)
        for _ in range(20):
            net.step(X, Y, kind)
        assert net.loss(X, Y) < before

    def test_an_l2_penalty_that_overflows(self, net, X, Y):
        before = net.parameters.copy()
        with pytest.raises(DivergenceError, match="gradient is not finite"):
            net.fit(X, Y, l2=1e300)
        np.testing.assert_array_equal(net.parameters, before)

    def test_parameters_that_are_not_finite(self, net, X, Y):
        net.parameters[0] = np.nan
        with pytest.raises(DivergenceError, match="epoch 1, batch 1"):
            net.fit(X, Y)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"epochs": -1}, ValueError, ["epochs", "-1"]),
        ({"epochs": 1.5}, TypeError, ["epochs", "1.5"]),
        ({"epochs": None}, TypeError, ["epochs", "None"]),
        ({"batch_size": 0}, ValueError, ["batch_size", "0"]),
        ({"batch_size": "all"}, TypeError, ["batch_size", "all"]),
        ({"optimizer": "adamw"}, ValueError, ["optimizer", "adamw", "sgd", "adam"]),
        ({"optimizer": 0.1}, TypeError, ["optimizer", "0.1"]),
        ({"optimizer": SGD}, TypeError, ["optimizer", "SGD"]),
        ({"validation": 3}, TypeError, ["validation", "(X, Y)"]),
        ({"validation": ()}, TypeError, ["validation", "(X, Y)"]),
        ({"patience": 0}, ValueError, ["patience", "0"]),
        ({"patience": 1.0}, TypeError, ["patience", "1.0"]),
        ({"tol": -1.0}, ValueError, ["tol", "-1.0"]),
        ({"tol": np.nan}, ValueError, ["tol", "nan"]),
        ({"l2": -1e-9}, ValueError, ["l2", "-1e-09"]),
        ({"l2": np.inf}, ValueError, ["l2", "inf"]),
        ({"l2": "big"}, TypeError, ["l2", "big"]),
        ({"callback": 3}, TypeError, ["callback", "3"]),
    ],
    ids=str,
)
def test_fit_refuses_arguments_before_training(net, X, Y, arguments, error, words):
    before = net.parameters.copy()
    with pytest.raises(error) as caught:
        net.fit(X, Y, **{"epochs": 1, **arguments})
    for word in words:
        assert word in str(caught.value)
    np.testing.assert_array_equal(net.parameters, before)
    assert net.history is None


def test_counts_beyond_the_machine_are_as_good_as_all(net, X, Y):
    net.fit(X, Y, epochs=2, batch_size=10**30, patience=10**30)
    again = build()
    again.fit(X, Y, epochs=2, batch_size=None)
    np.testing.assert_array_equal(net.parameters, again.parameters)


@pytest.mark.parametrize("optimizer", ["momentum", 3, None, SGD])
def test_update_and_step_refuse_an_unknown_optimizer(net, X, Y, optimizer):
    net.forward(X)
    net.backward(Y)
    for call in (lambda: net.update(optimizer), lambda: net.step(X, Y, optimizer)):
        with pytest.raises((TypeError, ValueError), match="optimizer"):
            call()


def test_more_than_two_to_the_31_elements():
    script = """
import numpy as np
from chainrule import Net
rows, features = 2**20 + 1, 2048
X = np.zeros((rows, features), np.uint8)  # never touched, so it takes no memory
X[-1] = 1
net = Net([features, 1], hidden=[], output="identity", bias=False)
net.parameters[:] = 1
y = net.predict(X)
assert y[-1] == features and not y[:-1].any()
"""
    run_python(script)


def test_many_calls_leak_neither_references_nor_memory():
    script = """
import resource, sys
import numpy as np
from chainrule import Net
net, X, Y, w = Net([3, 4, 1]), np.ones((5, 3)), np.ones((5, 1)), np.ones(5)
out = np.empty((5, 1), np.float32)
def work(times):
    for _ in range(times):
        net.predict(X, out=out); net.forward(X); net.backward(Y, w); net.step(X, Y, "adam"); net.loss(X, Y, w)
        net.parameters; net.fit(X, Y, epochs=1, sample_weight=w)
        try:
            net.predict(X[:, :2])
        except ValueError:
            pass
work(2000)
counts, peak = [sys.getrefcount(a) for a in (X, Y, w, out, net)], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(20000)
assert [sys.getrefcount(a) for a in (X, Y, w, out, net)] == counts
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 1024, "KiB"
"""
    run_python(script)
