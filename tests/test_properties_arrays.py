"""Whatever takes an array makes the same of it wherever and however it lies in memory, or refuses it, unharmed."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import assume, given
from hypothesis import strategies as st

from chainrule import SGD, Net, check_gradients, reference
from chainrule.plots.confusion import confusion_matrix, predicted_labels
from helpers import INTEGERS, relative_error
from strategies import (
    ACCEPTED,
    REFUSED,
    SEEDS,
    assert_same_bits,
    contiguous,
    layouts,
    memory_of,
    net_arguments,
    numbers,
    row_weights,
    share_of_examples,
    targets,
)


def fitted(net, X, Y, w, **options):
    """All that a fit tells and leaves."""
    options |= {"epochs": 2, "batch_size": 7, "optimizer": SGD(lr=1e-4), "l2": 0.01, "clip_norm": 1.0}
    history = net.fit(X, Y, sample_weight=w, **options)
    return [history.loss, *([] if history.validation_loss is None else [history.validation_loss])]


def passes(net, X, Y, w):
    return [net.forward(X), net.backward(Y, w), net.gradients]


def predictions_of_rows(net, X, Y, w):
    return [net.predict(x) for x in X[:5]]


def into_memory_of_the_user(net, X, Y, w):
    out = np.empty((len(X), net.config.outputs), net.config.dtype)
    return [net.predict(X, out=out)]


def traced(net, X, Y, w):
    return list(net.trace(X, Y, w).values())


def gradients_checked(net, X, Y, w):
    return [check_gradients(net, X[:2], Y[:2], None if w is None else w[:2]), net.gradients]


def class_weighted(net, X, Y, w):
    return fitted(net, X, Y, w, class_weight="balanced" if net.config.loss.name == "cross_entropy" else None)


#: Whatever of a net takes arrays of rows, as results of (net, X, Y, w); and which of these arrays it reads.
OF_ROWS = {
    "predict": lambda net, X, Y, w: [net.predict(X)],
    "predict one row": predictions_of_rows,
    "predict out": into_memory_of_the_user,
    "forward": lambda net, X, Y, w: [net.forward(X)],
    "activations": lambda net, X, Y, w: net.activations(X),
    "jacobian": lambda net, X, Y, w: [net.jacobian(X)],
    "input_gradient of an output": lambda net, X, Y, w: [net.input_gradient(X, output=-1)],
    "backward": passes,
    "loss": lambda net, X, Y, w: [net.loss(X, Y, w)],
    "step": lambda net, X, Y, w: [net.step(X, Y, "adam", w), net.step(X, Y, "adam", w)],
    "trace": traced,
    "input_gradient": lambda net, X, Y, w: [net.input_gradient(X, Y, sample_weight=w)],
    "fit": fitted,
    "fit, judged by the same": lambda net, X, Y, w: fitted(net, X, Y, w, validation=(X, Y, w)),
    "fit, classes weighed": class_weighted,
    "check_gradients": gradients_checked,
}
NAMES = {"X": "X", "Y": "Y", "w": "sample_weight"}
READ_BY = {name: "X" if list(OF_ROWS).index(name) < 7 else "XYw" for name in OF_ROWS}
AT_ROWS = ("predict one row", "predict out", "check_gradients")  # those that index or count them here
IN_REFERENCE = [name for name in OF_ROWS if not re.match("activations|jacobian|input_gradient", name)]


@dataclass
class Problem:
    """Arguments of a net, and the arrays that it is given; weights may be None."""

    arguments: dict[str, Any]
    X: Any
    Y: Any
    w: Any

    def net(self, net_class=Net, **changes):
        net = net_class(**{**self.arguments, **changes})
        for number, bias in enumerate(net.biases):
            bias[:] = 0.1 + 0.1 * number
        return net

    @property
    def arrays(self):
        return self.X, self.Y, self.w


@st.composite
def problems(draw, layout=layouts, **arguments):
    """Random nets with arrays of random dtypes in random layouts."""
    arguments, dtypes = draw(net_arguments(**arguments)), st.sampled_from(ACCEPTED)
    net, random = Net(**arguments), np.random.default_rng(draw(SEEDS))
    rows = draw(st.integers(1, 40) | st.sampled_from([255, 256, 257, 300]))
    X = numbers(random, draw(dtypes), (rows, net.config.features))
    Y = targets(random, draw(dtypes), rows, net.config)
    if Y.ndim == 2 and net.config.target_columns == 1 and draw(st.booleans()):
        Y = Y[:, 0]
    elif Y.ndim == 1 and draw(st.booleans()):
        Y = Y[:, np.newaxis]
    w = row_weights(random, draw(dtypes), rows) if draw(st.booleans()) else None
    return Problem(arguments, draw(layout(X)), draw(layout(Y)), None if w is None else draw(layout(w)))


def results(call, net, arrays):
    """What a call gives and what it leaves in the net."""
    return [*OF_ROWS[call](net, *arrays), net.parameters, net.gradients]


# Layout.


@pytest.mark.parametrize("call", OF_ROWS)
@given(problem=problems())
def test_any_layout_has_the_bits_of_a_plain_copy_and_is_left_alone(call, problem):
    given_arrays = [array for array in problem.arrays if array is not None]
    memory = [memory_of(array).copy() for array in given_arrays]
    assume(call != "check_gradients" or problem.net().parameters.size < 100)
    actual = results(call, problem.net(), problem.arrays)
    assert_same_bits(actual, results(call, problem.net(), map(contiguous, problem.arrays)))
    for array, before in zip(given_arrays, memory, strict=True):
        np.testing.assert_array_equal(memory_of(array), before)


# Dtype.


@pytest.mark.parametrize("call", [name for name in OF_ROWS if name not in ("fit, classes weighed", "check_gradients")])
@given(problem=problems(layout=st.just))
def test_any_real_dtype_is_read_as_its_value_in_that_of_the_net(call, problem):
    dtype = problem.arguments["dtype"]
    labels = problem.arguments["loss"].startswith("cross_entropy") and problem.Y.dtype.kind != "f"
    X, Y, w = problem.arrays
    cast = X.astype(dtype), Y if labels else Y.astype(dtype), None if w is None else w.astype(dtype)
    assert_same_bits(results(call, problem.net(), problem.arrays), results(call, problem.net(), cast))


@st.composite
def spoilt_problems(draw, spoil, **arguments):
    """Problems, and the name of an array of theirs that was spoilt."""
    problem = draw(problems(**arguments))
    name = draw(st.sampled_from("XYw"))
    if problem.w is None:
        problem.w = np.ones(len(problem.X))
    setattr(problem, name, draw(spoil(getattr(problem, name))))
    return name, problem


def of_another_dtype(values):
    """The same numbers as no numbers, or with their bytes swapped."""
    swapped = values.dtype.itemsize > 1
    others = [np.zeros(values.shape, dtype) for dtype in REFUSED]
    laid_out = st.sampled_from(others + [values.astype(values.dtype.newbyteorder("S"))] * swapped).flatmap(layouts)
    return laid_out | st.just(values.astype(object))


@pytest.mark.parametrize("call", [name for name in OF_ROWS if name != "predict one row"])
@given(spoilt=spoilt_problems(of_another_dtype))
def test_other_dtypes_raise_type_error_and_change_nothing(call, spoilt):
    name, problem = spoilt
    assume(name in READ_BY[call])
    net = problem.net()
    before = net.parameters.copy()
    with pytest.raises(TypeError, match=f"^{NAMES[name]} (has dtype|is byte-swapped|must hold integer class indices)"):
        OF_ROWS[call](net, *problem.arrays)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("call", [name for name in IN_REFERENCE if name != "predict one row"])
@share_of_examples(0.3)
@given(spoilt=spoilt_problems(of_another_dtype))
def test_the_reference_refuses_what_are_no_real_numbers(call, spoilt):
    name, problem = spoilt
    assume(name in READ_BY[call] and getattr(problem, name).dtype.kind not in "biuf")
    with pytest.raises(TypeError, match=f"^{NAMES[name]} "):
        OF_ROWS[call](problem.net(reference.Net), *problem.arrays)


# Values and shapes.


@st.composite
def with_a_number_that_is_none(draw, values):
    """The same numbers but one, which is NaN or infinite."""
    spoilt = values.astype(draw(st.sampled_from(["float16", "float32", "float64"])))
    place = tuple(draw(st.integers(0, size - 1)) for size in values.shape)
    spoilt[place] = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    return draw(layouts(spoilt).filter(lambda laid_out: not np.isfinite(laid_out).all()))


@pytest.mark.parametrize("call", [name for name in OF_ROWS if name not in ("predict one row", "check_gradients")])
@given(spoilt=spoilt_problems(with_a_number_that_is_none))
def test_numbers_that_are_not_finite_raise_value_error_and_change_nothing(call, spoilt):
    name, problem = spoilt
    assume(name in READ_BY[call])
    # Labels of a class must be integers.
    is_label = name == "Y" and problem.arguments["loss"].startswith("cross") and problem.Y.size == len(problem.Y)
    net = problem.net()
    before = net.parameters.copy()
    with pytest.raises(TypeError if is_label else ValueError, match=f"^{NAMES[name]} must"):
        OF_ROWS[call](net, *problem.arrays)
    np.testing.assert_array_equal(net.parameters, before)


@st.composite
def of_another_shape(draw, values):
    """Zeros in a shape that does not fit, unless it does by chance."""
    shape = draw(st.lists(st.sampled_from([0, 1, 2, *values.shape]), max_size=3).map(tuple))
    return np.zeros(shape, values.dtype)


@pytest.mark.parametrize("call", [name for name in OF_ROWS if name not in AT_ROWS])
@given(spoilt=spoilt_problems(of_another_shape))
def test_other_shapes_raise_value_error_and_change_nothing(call, spoilt):
    name, problem = spoilt
    net = problem.net()
    rows, config, shape = len(problem.Y if name == "X" else problem.X), net.config, getattr(problem, name).shape
    fits = {
        "X": [(rows, config.features), *([(config.features,)] if call.startswith("predict") else [])],
        "Y": [(rows, config.target_columns), *([(rows,)] if config.target_columns == 1 else [])],
        "w": [(rows,)],
    }
    if config.loss.name == "cross_entropy":
        fits["Y"] += [(rows,), (rows, 1)]
    assume(name in READ_BY[call] and shape not in fits[name])
    # Without targets any number of rows will do.
    assume(not (READ_BY[call] == "X" and len(shape) == 2 and shape[0] > 0 and shape[1] == config.features))
    before = net.parameters.copy()
    with pytest.raises(ValueError, match="shape|features|rows"):
        OF_ROWS[call](net, *problem.arrays)
    np.testing.assert_array_equal(net.parameters, before)


# The reference.


@pytest.mark.parametrize("call", [name for name in IN_REFERENCE if name != "check_gradients"])
@given(problem=problems(smooth=True))
def test_the_reference_gives_the_same_numbers(call, problem):
    ours, theirs = (results(call, problem.net(kind), problem.arrays) for kind in (Net, reference.Net))
    # What the core leaves in the gradients after a fit is its own affair.
    number = len(ours) - call.startswith("fit")
    for one, other in zip(ours[:number], theirs[:number], strict=True):
        assert relative_error(one, other) < (1e-3 if problem.arguments["dtype"] == "float32" else 1e-9)


@given(problem=problems(smooth=True, draws=False, dtype=st.just("float64")))
def test_gradients_by_inputs_are_those_of_the_reference(problem):
    net, trace = problem.net(), problem.net(reference.Net).trace(*problem.arrays)
    for ours, theirs in zip(net.activations(problem.X), trace.activations, strict=True):
        assert relative_error(ours, theirs) < 1e-12
    gradient = net.input_gradient(problem.X, problem.Y, sample_weight=problem.w)
    assert relative_error(gradient, trace.deltas[0] @ net.weights[0].T) < 1e-10
    jacobian = net.jacobian(problem.X)
    for output in range(net.config.outputs):
        assert_same_bits([net.input_gradient(problem.X, output=output)], [jacobian[:, output]])
    # The derivative of |yhat - y|^2 / 2, summed over rows, is (yhat - y) J.
    arguments = {**problem.arguments, "loss": "half_squared_error", "reduction": "sum"}
    squares, Y = Problem(arguments, problem.X, None, None).net(), np.ones((len(problem.X), net.config.outputs))
    by_jacobian = np.einsum("ro,rof->rf", net.predict(problem.X) - Y, jacobian)
    assert np.abs(squares.input_gradient(problem.X, Y) - by_jacobian).max() < 1e-10 * max(1, np.abs(by_jacobian).max())


# The rest.


@given(classes=st.integers(2, 4), rows=st.integers(1, 30), seed=SEEDS, draws=st.data())
def test_plots_count_labels_in_any_layout(classes, rows, seed, draws):
    random = np.random.default_rng(seed)
    dtype = draws.draw(st.sampled_from(INTEGERS))
    y_true, y_pred = (draws.draw(layouts(random.integers(0, classes, rows).astype(dtype))) for _ in range(2))
    matrix = confusion_matrix(y_true, y_pred, labels=np.arange(classes))
    assert_same_bits([matrix], [confusion_matrix(contiguous(y_true), contiguous(y_pred), labels=np.arange(classes))])
    counts = [
        [sum((y_true == true) & (y_pred == predicted)) for predicted in range(classes)] for true in range(classes)
    ]
    np.testing.assert_array_equal(matrix, counts)
    outputs = draws.draw(layouts(random.random((rows, classes))))
    assert_same_bits([predicted_labels(outputs)], [predicted_labels(contiguous(outputs))])


def test_every_method_of_a_net_that_takes_arrays_is_here():
    """A new one has to be added to the table above."""
    of_arrays = {"X", "Y", "sample_weight", "values", "out"}
    methods = {
        name
        for name, method in inspect.getmembers(Net, inspect.isfunction)
        if not name.startswith("_") and of_arrays & set(inspect.signature(method).parameters)
    }
    assert methods == {name.split()[0].strip(",") for name in OF_ROWS} - {"check_gradients"}
