"""The list of 32 faults, rows 1 to 13, 16 and 17: what is given to a net, and what a net is asked for."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from apart import run_apart
from chainrule import Net, cli, reference
from helpers import FEATURES, OUTPUTS, ROWS, draw, small_net
from layouts import LAYOUTS, memory_mapped, misaligned, odd_row_stride, read_only

BACKWARDS = [name for name in LAYOUTS if "backwards" in name]
STRIDED = ["fortran", "every second row", "every second column", "some columns of a wider matrix", "transposed view"]


def regressor(**settings):
    """An estimator that fits for two epochs, and says nothing about it."""
    estimators = pytest.importorskip("chainrule.estimators", exc_type=ImportError)

    class Quiet(estimators.MLPRegressor):
        def fit(self, *data):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return super().fit(*data)

    return Quiet(hidden_layer_sizes=(4,), max_iter=2, random_state=0, **settings)


def learned(model, X, Y, *weights):
    """What a net or an estimator makes of a data set: predictions after a fit."""
    if isinstance(model, Net):
        model.fit(X, Y, epochs=2, batch_size=7, sample_weight=weights[0] if weights else None)
    else:
        model.fit(X, Y, *weights)
    return model.predict(X)


def check_layout(layout):
    """The same bits as from a plain array, of a net of either dtype."""
    for dtype in ("float32", "float64"):
        X, Y, _ = draw(small_net(dtype), 60)
        expected = learned(small_net(dtype), X, Y)
        np.testing.assert_array_equal(learned(small_net(dtype), LAYOUTS[layout](X), LAYOUTS[layout](Y)), expected)


def check_layout_by_estimator(layout):
    X, Y, _ = draw(small_net(), 60)
    given = LAYOUTS[layout](X), LAYOUTS[layout](Y)
    np.testing.assert_array_equal(learned(regressor(), *given), learned(regressor(), X, Y))


@pytest.mark.parametrize("layout", STRIDED)
def test_fault_01_strided_or_f_order_input_gives_the_same_result(layout):
    check_layout(layout)
    check_layout_by_estimator(layout)


@pytest.mark.parametrize("layout", BACKWARDS)
def test_fault_02_negative_strides_give_the_same_result(layout):
    run_apart(check_layout, layout)
    check_layout_by_estimator(layout)


def check_axis_of_length_one(stride):
    net = small_net()
    row = draw(net, 1)[0]
    np.testing.assert_array_equal(net.predict(as_strided(row, row.shape, (stride, 4))), net.predict(row))
    out = as_strided(np.empty(OUTPUTS, np.float32), (1, OUTPUTS), (stride, 4))
    np.testing.assert_array_equal(net.predict(row, out=out), net.predict(row))
    plain, strange = (Net([1, 3, 1], seed=0) for _ in range(2))
    X, Y, _ = draw(plain, 50)
    given = [as_strided(column, column.shape, (4, stride)) for column in (X, Y)]
    np.testing.assert_array_equal(learned(strange, *given), learned(plain, X, Y))


@pytest.mark.parametrize("stride", [0, 1, 3, -12, 2**62], ids=str)
def test_fault_03_the_stride_of_an_axis_of_length_one_does_not_matter(stride):
    run_apart(check_axis_of_length_one, stride)


@pytest.mark.parametrize("kind", ["f4", "f8", "f2", "i4", "u2"])
def test_fault_04_byte_swapped_arrays_are_converted_by_estimators_and_refused_by_nets(kind):
    X, Y, weights = (np.round(5 * a).astype(kind) for a in draw(small_net(), 30))
    weights += 1
    swapped = [a.astype(a.dtype.newbyteorder("S")) for a in (X, Y, weights)]
    net = small_net()
    before = net.parameters.copy()
    for name, position in {"X": 0, "Y": 1, "sample_weight": 2}.items():
        given = [X, Y, weights]
        given[position] = swapped[position]
        for call in (net.loss, lambda *data: learned(net, *data)):
            with pytest.raises(TypeError, match=f"^{name} is byte-swapped .dtype {swapped[0].dtype.str}.; convert it"):
                call(*given)
    with pytest.raises(TypeError, match="^out must be a NumPy array of dtype float32; got ndarray of dtype [<>]f4"):
        net.predict(X, out=np.zeros((30, OUTPUTS), np.dtype("f4").newbyteorder("S")))
    np.testing.assert_array_equal(net.parameters, before)
    expected = learned(regressor(), X.astype("f8"), Y, weights)  # as scikit-learn, which keeps native float32 alone
    np.testing.assert_array_equal(learned(regressor(), *swapped), expected)


@pytest.mark.parametrize("kind", ["read-only", "memory-mapped"])
def test_fault_05_read_only_and_memory_mapped_inputs_are_accepted(kind, tmp_path):
    arrays = draw(small_net(), 30)
    given = [read_only(a) if kind == "read-only" else memory_mapped(a, tmp_path) for a in arrays]
    assert not any(a.flags.writeable for a in given)
    for model in (small_net, regressor):
        np.testing.assert_array_equal(learned(model(), *given), learned(model(), *arrays))
    with pytest.raises(ValueError, match="^out is read-only"):
        small_net().predict(given[0], out=given[1])
    np.testing.assert_array_equal(given[1], arrays[1])
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(30, OUTPUTS))
    assert small_net().predict(given[0], out=out) is out
    np.testing.assert_array_equal(out, small_net().predict(arrays[0]))


def test_fault_05_an_estimator_whose_weights_are_memory_mapped_predicts_and_trains_on(tmp_path):
    joblib = pytest.importorskip("joblib")
    from chainrule.estimators import MLPRegressor

    X, Y, _ = draw(small_net(), 30)
    model = MLPRegressor(hidden_layer_sizes=(4,), random_state=0).partial_fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    np.testing.assert_array_equal(mapped.predict(X), model.predict(X))
    np.testing.assert_array_equal(mapped.partial_fit(X, Y).predict(X), model.partial_fit(X, Y).predict(X))


def check_misaligned(path):
    for dtype, offset in itertools.product(("float32", "float64", "float16", "int32"), (1, 3, 7)):
        X, Y, weights = (np.abs(np.round(5 * a)).astype(dtype) for a in draw(small_net("float64"), 40))
        weights += 1
        given = []
        for name, array in {"X": X, "Y": Y, "weights": weights}.items():
            with open(path + name, "wb") as file:
                file.write(b"h" * offset + array.tobytes())
            given.append(np.memmap(path + name, dtype, "r", offset, array.shape))
            assert not given[-1].flags.aligned
        for model in (small_net, lambda: small_net("float64"), regressor):
            np.testing.assert_array_equal(learned(model(), *given), learned(model(), X, Y, weights))


def test_fault_06_a_misaligned_memory_map_gives_the_same_result(tmp_path):
    pytest.importorskip("sklearn")
    run_apart(check_misaligned, str(tmp_path / "data"))


def test_fault_07_an_output_that_overlaps_the_input_or_the_parameters_is_refused():
    net = Net([FEATURES, FEATURES], hidden=[], bias=False, seed=0)
    memory = np.zeros((ROWS, 3 * FEATURES), np.float32)
    X = memory[:, :FEATURES]
    X[:] = draw(net, ROWS)[0]
    before, weights = memory.copy(), net.parameters.copy()
    overlapping = [X, X[::-1], memory[:, 1 : 1 + FEATURES], memory[:, FEATURES - 1 : 2 * FEATURES - 1]]
    for out in overlapping:
        with pytest.raises(ValueError, match="^out overlaps X"):
            net.predict(X, out=out)
    with pytest.raises(ValueError, match="^out overlaps X"):
        net.predict(X[0], out=X[0])
    with pytest.raises(ValueError, match="^out overlaps the net's parameters"):
        net.predict(X[:FEATURES], out=net.weights[0])
    np.testing.assert_array_equal(memory, before)
    np.testing.assert_array_equal(net.parameters, weights)
    # Beside each other in the same memory they do not overlap.
    np.testing.assert_array_equal(net.predict(X, out=memory[:, FEATURES : 2 * FEATURES]), net.predict(before[:, :3]))


WRONG_TYPES = [np.zeros((ROWS, OUTPUTS), dtype) for dtype in ("f8", "f2", "i4", "c8", object)]
WRONG_TYPES += [[[0.0] * OUTPUTS] * ROWS, np.ma.zeros((ROWS, OUTPUTS), np.float32), bytearray(4 * ROWS * OUTPUTS), "x"]
WRONG_SHAPES = [(ROWS, OUTPUTS + 1), (ROWS + 1, OUTPUTS), (OUTPUTS, ROWS), (ROWS * OUTPUTS,), (1, ROWS, OUTPUTS), ()]
WRONG_LAYOUTS = [np.asfortranarray, misaligned, odd_row_stride, LAYOUTS["columns backwards"]]


@pytest.mark.parametrize("out", WRONG_TYPES, ids=lambda out: str(getattr(out, "dtype", type(out))))
def test_fault_08_an_output_of_the_wrong_type_is_refused(net, X, out):
    with pytest.raises(TypeError, match="^out must be a NumPy array of dtype float32; got "):
        net.predict(X, out=out)
    assert not isinstance(out, np.ndarray) or not out.any()


@pytest.mark.parametrize("shape", WRONG_SHAPES, ids=str)
def test_fault_08_an_output_of_the_wrong_shape_is_refused(net, X, shape):
    out = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"^out has shape \(.*\); expected \(6, 2\)"):
        net.predict(X, out=out)
    assert not out.any()


@pytest.mark.parametrize("lay_out", WRONG_LAYOUTS, ids=["fortran", "misaligned", "odd row stride", "backwards"])
def test_fault_08_an_output_that_would_need_a_copy_is_refused(net, X, lay_out):
    out = lay_out(np.zeros((ROWS, OUTPUTS), np.float32))
    with pytest.raises(ValueError, match="^out must be aligned and have the outputs of a row side by side"):
        net.predict(X, out=out)
    assert not out.any()


def calls_with_data(net):
    """Every way to give a net rows and targets."""
    return {
        "predict": lambda X, Y: net.predict(X),
        "forward": lambda X, Y: net.forward(X),
        "activations": lambda X, Y: net.activations(X),
        "jacobian": lambda X, Y: net.jacobian(X),
        "input_gradient": lambda X, Y: net.input_gradient(X, Y),
        "loss": net.loss,
        "trace": net.trace,
        "step": lambda X, Y: net.step(X, Y, "sgd"),
        "fit": lambda X, Y: net.fit(X, Y, epochs=1),
        "held out": lambda X, Y: net.fit(X, Y, epochs=1, validation=0.5),
        "weighed": lambda X, Y: net.fit(X, Y, epochs=1, sample_weight=np.ones(len(X))),
        "estimator": lambda X, Y: regressor().fit(X, Y),
    }


CALLS_WITH_DATA = list(calls_with_data(small_net()))
TRAINING = [name for name in CALLS_WITH_DATA if name not in ("predict", "forward", "activations", "jacobian")]


@pytest.mark.parametrize("call", CALLS_WITH_DATA)
@pytest.mark.parametrize("shape", [(0, FEATURES), (ROWS, 0), (0, 0)], ids=str)
def test_fault_09_no_rows_or_no_columns_are_refused(net, call, shape):
    message = "X has no rows|X has 0 features|0 sample|0 feature"
    with pytest.raises(ValueError, match=message):
        calls_with_data(net)[call](np.zeros(shape), np.zeros((shape[0], OUTPUTS)))


@pytest.mark.parametrize("sizes", [[0, 1], [3, 0], [3, 0, 1]], ids=str)
def test_fault_09_a_net_without_units_is_refused(sizes):
    with pytest.raises(ValueError, match=r"^sizes\[\d\] must be at least 1, got 0"):
        Net(sizes)


@pytest.mark.parametrize("text", ["", "a,b\n", "b\n1\n2\n"], ids=["empty", "no rows", "no columns"])
def test_fault_09_a_table_of_nothing_is_one_line_of_error(text, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(text)
    assert cli.main(["train", "data.csv", "--target", "b"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def check_feature_counts(shape):
    net, Y = small_net(), np.zeros((ROWS, OUTPUTS))
    for name, call in calls_with_data(net).items():
        if name != "estimator":
            with pytest.raises(ValueError, match=f"X has {shape[1]} features, but the net takes {FEATURES}"):
                call(np.zeros(shape, np.float32), Y)


@pytest.mark.parametrize("features", [1, 2, 4, 10**6])
def test_fault_10_another_number_of_features_names_both_numbers(features):
    run_apart(check_feature_counts, (ROWS, features))
    model = regressor().fit(*draw(small_net(), ROWS)[:2])
    with pytest.raises(ValueError, match=f"X has {features} features, but Quiet is expecting {FEATURES} features"):
        model.predict(np.zeros((ROWS, features)))


def check_labels(bad):
    net = Net([FEATURES, 5, 4], output="softmax", loss="cross_entropy", seed=0)
    X, Y, _ = draw(net, ROWS)
    net.step(X, Y, "adam")
    before, value = (net.parameters.copy(), net.gradients.copy()), re.escape(repr(float(bad)))
    for position in (0, ROWS - 1):
        labels = np.array(Y, np.int64)
        labels[position] = bad
        calls = {name: call for name, call in calls_with_data(net).items() if name in TRAINING}
        calls["estimator"] = lambda X, Y: (net.forward(X), net.backward(Y))
        calls["validation"] = lambda X, labels: net.fit(X, Y, validation=(X, labels))
        calls["balanced"] = lambda X, labels: net.fit(X, labels, class_weight="balanced")
        for call in calls.values():
            with pytest.raises(
                ValueError, match=f"Y must be class indices from 0 to 3; it is {value} at row {position}"
            ):
                call(X, labels)
        np.testing.assert_array_equal(net.parameters, before[0])
        np.testing.assert_array_equal(net.gradients, before[1])


@pytest.mark.parametrize("bad", [-1, 4, 2**31, -(2**31), 2**32, -(2**63), 2**63 - 1])
def test_fault_11_a_label_out_of_range_is_refused_before_anything_is_written(bad):
    run_apart(check_labels, bad)


def test_fault_11_a_class_that_partial_fit_was_not_told_of_is_refused():
    estimators = pytest.importorskip("chainrule.estimators", exc_type=ImportError)
    model = estimators.MLPClassifier((4,), random_state=0).partial_fit(np.eye(3), [0, 1, 2], classes=[0, 1, 2])
    before = model.net_.parameters.copy()
    for bad in (-1, 3):
        with pytest.raises(ValueError, match="`y` has classes not in `self.classes_`"):
            model.partial_fit(np.eye(3), [0, 1, bad])
    np.testing.assert_array_equal(model.net_.parameters, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spoiled", ["X", "Y", "sample_weight"])
def test_fault_12_what_is_not_finite_is_refused(net, spoiled, bad):
    data = dict(zip(("X", "Y", "sample_weight"), draw(net, ROWS), strict=True))
    data[spoiled][(4, 1)[: data[spoiled].ndim]] = bad
    X, Y, weights = data.values()
    clean = draw(net, ROWS)
    before = net.parameters.copy()
    calls = {
        spoiled: [
            lambda: net.loss(X, Y, weights),
            lambda: net.step(X, Y, "sgd", weights),
            lambda: net.trace(X, Y, weights),
            lambda: net.fit(X, Y, sample_weight=weights),
            lambda: net.fit(X, Y, sample_weight=weights, validation=0.5),
            lambda: net.input_gradient(X, Y, sample_weight=weights),
        ],
        f"validation {spoiled}": [lambda: net.fit(*clean[:2], validation=(X, Y, weights))],
    }
    if spoiled == "X":
        calls["X"] += [lambda: net.predict(X), lambda: net.forward(X), lambda: net.jacobian(X)]
    for name, ways in calls.items():
        for call in ways:
            with pytest.raises(ValueError, match=f"^{name} must be finite as float32; it is {bad} at row 4"):
                call()
    with pytest.raises(ValueError, match="NaN|infinity"):
        regressor().fit(X, Y, weights)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("value", [1e39, -1e300, np.finfo(np.float64).max])
@pytest.mark.parametrize("spoiled", ["X", "Y", "sample_weight"])
def test_fault_13_finite_numbers_that_overflow_float32_are_refused(spoiled, value):
    single, double = small_net("float32"), small_net("float64", output="identity")
    data = dict(zip(("X", "Y", "sample_weight"), draw(double, ROWS), strict=True))
    data[spoiled][(4, 1)[: data[spoiled].ndim]] = abs(value) if spoiled == "sample_weight" else value
    before = single.parameters.copy()
    for call in (
        lambda net: net.loss(*data.values()),
        lambda net: net.fit(data["X"], data["Y"], sample_weight=data["sample_weight"], epochs=1),
    ):
        with pytest.raises(ValueError, match=f"^{spoiled} must be finite as float32; it is .* at row 4"):
            call(single)
    np.testing.assert_array_equal(single.parameters, before)
    # In float64 it is a number like any other, though its square may be none.
    assert np.isfinite(double.predict(data["X"])).all()


def check_wide():
    rows, features = 2**20 + 3, 2048
    X = np.zeros((rows, features), np.uint8)  # never written to, so it takes no memory
    random = np.random.default_rng(0)
    far = [0, 2**20 - 1, 2**20, rows - 1]  # row 2^20 begins at element 2^31
    X[far] = random.integers(0, 255, (len(far), features))
    assert X.size > 2**31
    net = Net([features, 1], hidden=[], output="identity", seed=0)
    predicted = net.predict(X)
    np.testing.assert_array_equal(predicted[far], net.predict(X[far].copy()))
    assert np.count_nonzero(predicted) == len(far)
    # Rows, and columns, that lie 2^31 bytes apart and backwards.
    for view in (X[:: rows - 1], X[:: 1 - rows], X[::-1][:5], X[-1:, ::-1]):
        np.testing.assert_array_equal(net.predict(view), net.predict(view.copy()))


def test_fault_16_more_than_two_to_the_31_elements():
    run_apart(check_wide)


BEYOND_ADDRESSES = [[2**40, 2**40], [2**62, 2], [10**30, 1], [3, 2**63, 1], [2**32] * 8]
BEYOND_MEMORY = [[10**6, 10**7], [3, 10**12, 1], [10**5] * 200]


def check_absurd_sizes():
    kinds, dtypes = (Net, reference.Net), ("float32", "float64")
    for (error, nets), kind, dtype in itertools.product(
        ((OverflowError, BEYOND_ADDRESSES), (MemoryError, BEYOND_MEMORY)), kinds, dtypes
    ):
        for sizes in nets:
            with pytest.raises(error, match="^sizes "):
                kind(sizes, dtype=dtype)
    assert small_net().predict(np.zeros((1, FEATURES))).shape == (1, OUTPUTS)


def test_fault_17_absurd_layer_sizes_are_an_overflow_or_a_memory_error():
    run_apart(check_absurd_sizes)


def test_fault_17_absurd_sizes_of_an_estimator_and_of_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--hidden", "1000000,10000000"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    model = regressor()
    model.hidden_layer_sizes = (10**6, 10**7)
    with pytest.raises((MemoryError, OverflowError)):
        model.fit(*draw(small_net(), ROWS)[:2])
