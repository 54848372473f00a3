"""Every instruction set that this processor has, against the NumPy reference in float64.

The instruction set is chosen once, at import, so each is tried in a process of its own, by the `check_` functions
of this file.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule
from chainrule import SGD, Adam, AdamW, Net, RMSprop, reference
from chainrule.config import HIDDEN_ACTIVATIONS
from chainrule.optimizers import OPTIMIZERS
from helpers import OUTPUTS_AND_LOSSES, draw, relative_error, run_python

ISAS = chainrule.build_info()["available_isas"]

#: Around the edges of register tiles and vectors, and primes.
SIZES = [1, 2, 3, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 97, 129]

#: Largest error of a norm. In float64 what rounding allows; float32 is held against float64 results.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def pair(sizes, **arguments):
    """The net, and its reference in float64 with the same parameters."""
    net = Net(sizes, seed=1, **arguments)
    twin = reference.Net(sizes, seed=1, **{**arguments, "dtype": "float64"})
    if net.biases:
        net.parameters[-sum(sizes[1:]) :] = np.random.default_rng(0).standard_normal(sum(sizes[1:])) / 4
    twin.parameters[:] = net.parameters
    return net, twin


def check_pass(sizes, rows, dtype, weighted=False, slack=1, **arguments):
    net, twin = pair(sizes, dtype=dtype, **arguments)
    X, Y, weights = draw(net, rows, seed=rows)
    weights = weights if weighted else None
    case = f"{sizes} {rows} {dtype} {arguments}"
    twin.forward(X)
    loss = twin.backward(Y, weights)
    tolerance = slack * TOLERANCE[dtype]
    assert relative_error(net.forward(X), twin.predict(X)) < tolerance, case
    assert relative_error(net.predict(X), twin.predict(X)) < tolerance, case
    assert relative_error(net.backward(Y, weights), loss) < tolerance, case
    assert relative_error(net.loss(X, Y, weights), loss) < tolerance, case
    for gradient, expected in zip(
        (*net.weight_gradients, *net.bias_gradients), (*twin.weight_gradients, *twin.bias_gradients), strict=True
    ):
        assert relative_error(gradient, expected) < 20 * tolerance, case


def check_shapes():
    """Each size as rows, features, hidden units and outputs, the others drawn."""
    random = np.random.default_rng(0)
    shapes = [[int(n) for n in random.choice(SIZES, 4)] for _ in range(60)]
    for position, size in itertools.product(range(4), SIZES):
        shape = [int(n) for n in random.choice(SIZES, 4)]
        shape[position] = size
        shapes.append(shape)
    for number, (rows, *sizes) in enumerate(shapes):
        for dtype in TOLERANCE:
            check_pass(sizes, rows, dtype, weighted=number % 2 == 0, bias=number % 3 != 0, hidden="tanh")


def check_activations_and_losses():
    for hidden, (output, loss) in itertools.product(HIDDEN_ACTIVATIONS, OUTPUTS_AND_LOSSES):
        for dtype, reduction in itertools.product(TOLERANCE, ("mean", "sum")):
            # Exponentials of exponentials amplify every rounding.
            sizes, slack = ([5, 17, 6], 20) if hidden == "exp" else ([5, 9, 17, 6], 1)
            options = {"hidden": hidden, "output": output, "loss": loss, "reduction": reduction, "slack": slack}
            check_pass(sizes, 37, dtype, **options)


def check_more_rows_than_a_chunk():
    for rows in (255, 256, 257, 512, 1000):
        for dtype in TOLERANCE:
            check_pass([7, 19, 3], rows, dtype, weighted=True)


def check_fits():
    rules = [SGD(lr=0.1, momentum=0.9), SGD(lr=0.1, momentum=0.9, nesterov=True), *OPTIMIZERS]
    rules += [Adam(lr=0.01, beta1=0.8, beta2=0.99, epsilon=1e-3), RMSprop(momentum=0.5), AdamW(decay_biases=True)]
    limits = {"l1": 0.003, "l2": 0.01, "clip_value": 0.02, "clip_norm": 0.1, "max_norm": 0.9}
    for optimizer, dtype in itertools.product(rules, TOLERANCE):
        net, twin = pair([11, 17, 33, 3], dtype=dtype, hidden="tanh", output="softmax", loss="cross_entropy")
        X, Y, weights = draw(net, 70)
        full = optimizer == "rprop"
        options = {"epochs": 4, "batch_size": None if full else 16, "optimizer": optimizer, "sample_weight": weights}
        options |= {name: limits[name] for name in limits if (len(str(optimizer)) + len(name)) % 3}
        history, expected = (n.fit(X, Y, validation=(X, Y), **options) for n in (net, twin))
        # A bias whose gradient nearly vanishes moves by rounding under Adam: many steps are a loose test in float32.
        tolerance = {"float32": 1e-3, "float64": 1e-11}[dtype]
        assert relative_error(net.parameters, twin.parameters) < tolerance, f"{optimizer} {dtype}"
        assert relative_error(history.loss, expected.loss) < tolerance
        assert relative_error(history.validation_loss, expected.validation_loss) < tolerance


def check_tiny_fits():
    """Nets of a few units: rows in the lanes of vectors, and one row a step."""
    shapes = [
        [3, 4, 1],
        [1, 1],
        [16, 8, 7, 2],
        [5, 3],
        [2, 6, 5, 4, 3],
        [4, 8, 8, 8, 8, 3],
        [7, 1, 8],
        [9, 32, 17, 3],
        [2, 20, 1],
        [1, 20, 1],
        [8, 32, 1],
        [5, 16, 1],
        [31, 65, 1],
        [9, 14, 3],
        [17, 3],
        [31, 5, 2],
    ]
    cases = itertools.product(shapes, (1, 2, 16, 33, 300), itertools.product(HIDDEN_ACTIVATIONS, OUTPUTS_AND_LOSSES))
    for number, (sizes, batch_size, (hidden, (output, loss))) in enumerate(itertools.islice(cases, 0, None, 29)):
        if sizes[-1] % 2 and (output == "softmax" or "quantile" in loss):
            continue  # too few outputs
        magnifies = "exp" in (hidden, output)
        if magnifies and len(sizes) > 2:
            continue  # exponentials of exponentials amplify every rounding
        arguments = {"hidden": hidden, "output": output, "loss": loss, "bias": number % 3 != 0}
        arguments["reduction"] = ("mean", "sum")[number % 5 == 0]
        # A sum over rows has a gradient as many times as large.
        rows = batch_size if arguments["reduction"] == "sum" else 1
        rules = [SGD(lr=2e-3 / rows), "adam", SGD(lr=2e-3 / rows, momentum=0.9)]
        for dtype in TOLERANCE:
            net, twin = pair(sizes, dtype=dtype, **arguments)
            X, Y, weights = draw(net, 37 if batch_size < 100 else 620, seed=number)
            options = {
                "epochs": 2,
                "batch_size": batch_size,
                "optimizer": rules[number % 3] if number % 2 else SGD(lr=5e-3 / rows),
            }
            options |= {"optimizer": "adam"} if magnifies else {}  # whose steps are no longer than its rate
            options |= {"sample_weight": weights if number % 4 else None, "l2": 0.01 * (number % 7 == 0)}
            history, expected = (n.fit(X, Y, **options) for n in (net, twin))
            tolerance = {"float32": 2e-3, "float64": 1e-10}[dtype]
            case = f"{sizes} {arguments} {options} {dtype}"
            assert relative_error(net.parameters, twin.parameters) < tolerance, case
            assert relative_error(history.loss, expected.loss) < tolerance, case


def check_draws():
    """Dropout and noise: the same units are dropped, and the same numbers added, rows in lanes or layer by layer."""
    for sizes, batch_size, dtype in itertools.product(([3, 9, 7, 2], [40, 37, 20, 2]), (1, 16, 300), TOLERANCE):
        net, twin = pair(sizes, dtype=dtype, hidden=["tanh", "gelu"], dropout=[0.5, 0.25], input_noise=0.2)
        X, Y, weights = draw(net, 37 if batch_size < 100 else 620)
        options = {"epochs": 2, "batch_size": batch_size, "optimizer": SGD(lr=0.05), "sample_weight": weights}
        history, expected = (n.fit(X, Y, **options) for n in (net, twin))
        tolerance = {"float32": 2e-4, "float64": 1e-11}[dtype]
        assert relative_error(net.parameters, twin.parameters) < tolerance, f"{sizes} {batch_size} {dtype}"
        assert relative_error(history.loss, expected.loss) < tolerance


def check_digits():
    """Nothing but the order of a sum depends on the instruction set: print what others may be compared with."""
    for dtype in TOLERANCE:
        net, _ = pair([11, 17, 3], dtype=dtype, hidden="tanh")
        X, Y, _ = draw(net, 70)
        net.fit(X, Y, epochs=3)
        print(net.parameters.tobytes().hex())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "check",
    [
        "check_shapes",
        "check_activations_and_losses",
        "check_more_rows_than_a_chunk",
        "check_fits",
        "check_draws",
        "check_tiny_fits",
    ],
)
def test_every_instruction_set_agrees_with_the_reference(isa, check):
    script = f"""
import chainrule, test_kernels
assert chainrule.build_info()["isa"] == {isa!r}
test_kernels.{check}()
"""
    run_python(script, CHAINRULE_ISA=isa)


@pytest.mark.parametrize("isa", ISAS)
def test_results_are_the_same_in_every_run(isa):
    script = "import test_kernels; test_kernels.check_digits()"
    first, second = (run_python(script, CHAINRULE_ISA=isa).stdout for _ in range(2))
    assert first == second != ""


@pytest.mark.parametrize("name", ["avx2", "x86-64-v9", "X86-64-V3", " "])
def test_an_unknown_instruction_set_is_an_error_of_the_import(name):
    finished = run_python("import chainrule", check=False, CHAINRULE_ISA=name)
    assert finished.returncode == 1
    message = finished.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: CHAINRULE_ISA must be one of ")
    assert all(isa in message for isa in ISAS)
    assert f"'{name}'" in message


def test_the_default_is_the_best():
    script = "import chainrule; print(chainrule.build_info()['isa'])"
    assert run_python(script, CHAINRULE_ISA="").stdout.split() == ISAS[:1]


PROTECTED = """
import ctypes, mmap
import numpy as np
from chainrule.optimizers import OPTIMIZERS, SGD, Adam, AdamW, RMSprop
from chainrule import Net
from test_kernels import SIZES

def at_the_end_of_memory(array):
    size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    view = np.frombuffer(memory, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
    view[...] = array
    return view
"""


@pytest.mark.parametrize("isa", ISAS)
def test_kernels_read_nothing_beyond_the_users_rows(isa):
    """Inputs, targets, weights and outputs end where an unreadable page begins."""
    script = f"""{PROTECTED}
for dtype in ("float32", "float64"):
    for columns in SIZES:
        net, plain = (Net([columns, 5, columns], dtype=dtype, seed=0) for _ in range(2))
        data = np.random.default_rng(0).random((13, columns)).astype(dtype)
        X, Y, weights = (at_the_end_of_memory(a) for a in (data, data, data[:, 0]))
        out = at_the_end_of_memory(np.zeros_like(data))
        np.testing.assert_array_equal(net.predict(X, out=out), net.predict(data))
        assert net.step(X, Y, "sgd", weights) == plain.step(data, data, "sgd", data[:, 0])
        for one, arrays in ((net, (X, Y, weights)), (plain, (data, data, data[:, 0]))):
            one.fit(*arrays[:2], epochs=1, batch_size=3, sample_weight=arrays[2], shuffle=False)
        np.testing.assert_array_equal(net.parameters, plain.parameters)
"""
    run_python(script, CHAINRULE_ISA=isa)


def test_the_page_beyond_is_unreadable():
    """The test above can fail."""
    script = f"{PROTECTED}\nctypes.string_at(at_the_end_of_memory(np.zeros(100)).ctypes.data, 801)"
    assert run_python(script, check=False).returncode != 0
