"""What arrays the net takes, exactly as they are; and what it refuses, saying what was given and what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from chainrule import Net
from helpers import FEATURES, INTEGERS, OUTPUTS, ROWS, draw, run_python, small_net
from layouts import LAYOUTS, memory_mapped


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
    plain, laid_out = small_net(dtype), small_net(dtype)
    X, Y, weights = draw(plain, 300)
    lay_out = LAYOUTS[layout]
    other_weights = lay_out(weights[:, np.newaxis])
    other_weights = [w for (w,) in other_weights] if isinstance(other_weights, list) else other_weights[:, 0]
    assert_same(results(laid_out, lay_out(X), lay_out(Y), other_weights), results(plain, X, Y, weights))


def test_memory_maps_give_the_same_bits(tmp_path):
    plain, mapped = small_net(), small_net()
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
    one_row = small_net()
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


@pytest.mark.parametrize("given", ["bool", *INTEGERS, "float16", "float32", "float64"])
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
    converted, cast = small_net(dtype), small_net(dtype)
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
    with pytest.raises(ValueError, match=r"X must be finite as float32; it is .* at row 1, column 2"):
        small_net("float32").predict(X)
    assert np.isfinite(small_net("float64").predict(X)).all()


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
    with pytest.raises(ValueError, match=r"^X cannot be read as an array") as caught:
        net.predict([[1, 2, 3], [1, 2]])
    assert "inhomogeneous" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match=r"^validation Y cannot be read as an array"):
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
