"""Nets as ONNX models and as C compute what predict does, whatever their activations and dtype."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from chainrule import Net
from chainrule.cli import main
from chainrule.config import ACTIVATIONS, DTYPES, HIDDEN_ACTIVATIONS

COMPILER = shutil.which("cc")
WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wmissing-prototypes", "-Werror"]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
every_activation = pytest.mark.parametrize(
    ("hidden", "output"),
    [*((name, "identity") for name in HIDDEN_ACTIVATIONS), *(("tanh", name) for name in ACTIVATIONS)],
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def draw_net(sizes=(3, 8, 7, 6, 4), seed=0, **options):
    """A net with biases, and rows that reach the tails of its activations."""
    net = Net(sizes, seed=seed, **options)
    random = np.random.default_rng(seed)
    for bias in net.biases:
        bias[...] = random.standard_normal(bias.shape)
    X = random.standard_normal((50, sizes[0])) * np.logspace(-2, 0.5, 50)[:, np.newaxis]
    return net, X.astype(net.config.dtype)


def tails(activation, dtype):
    """A net that is its output activation alone, of two units, and inputs from -1000 to 1000."""
    net = Net([1, 2], hidden=[], output=activation, dtype=dtype, seed=0)
    net.weights[0][...] = [[1, 0]]
    largest = 80 if activation == "exp" else 1000
    X = np.concatenate([np.linspace(-1000, largest, 2001), [-1e-6, 1e-6, 0]])
    return net, X[:, np.newaxis].astype(dtype)


def assert_equal(actual, expected, tolerance=1e-6):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert np.isfinite(actual).all()
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


def run_onnx(path, X):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


def compile_c(source, *options, language="c"):
    library = source.with_suffix(".so")
    flags = ["-std=c99", *WARNINGS] if language == "c" else [w for w in WARNINGS if "prototypes" not in w]
    command = [COMPILER, "-x", language, *flags, "-O2", "-shared", "-fPIC", source, *options, "-lm", "-o", library]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return ctypes.CDLL(str(library))


def run_c(library, net, X, name="net"):
    predict = getattr(library, f"{name}_predict")
    number = np.ctypeslib.ndpointer(net.config.dtype, flags="C_CONTIGUOUS")
    predict.argtypes, predict.restype = [number, number], None
    Y = np.full((len(X), net.config.outputs), np.nan, net.config.dtype)
    for x, y in zip(X, Y, strict=True):
        predict(np.ascontiguousarray(x), y)
    return Y


@every_dtype
@every_activation
def test_onnxruntime_predicts_the_same(tmp_path, hidden, output, dtype):
    onnx = pytest.importorskip("onnx")
    net, X = draw_net(hidden=[hidden, "tanh", hidden], output=output, dtype=dtype)
    net.to_onnx(tmp_path / "net.onnx")
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    # onnxruntime has the error function in float32 alone.
    tolerance = 1e-14 if dtype == "float64" and "gelu" not in (hidden, output) else 1e-6
    for rows in (X, X[:1]):
        assert_equal(run_onnx(tmp_path / "net.onnx", rows), net.predict(rows), tolerance)


@every_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnx_models_are_stable_in_the_tails(tmp_path, activation, dtype):
    pytest.importorskip("onnx")
    net, X = tails(activation, dtype)
    net.to_onnx(tmp_path / "net.onnx")
    assert_equal(run_onnx(tmp_path / "net.onnx", X), net.predict(X))


def test_an_onnx_model_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx")
    net, _ = draw_net(hidden="relu", output="softmax", loss="cross_entropy", dropout=0.5, input_noise=1.0)
    net.to_onnx(tmp_path / "net.onnx", metadata={"author": "me"})
    model = onnx.load(tmp_path / "net.onnx")
    assert model.producer_name == "chainrule"
    assert [node.op_type for node in model.graph.node] == [*["Gemm", "Relu"] * 3, "Gemm", "Softmax"]
    assert [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == ["rows", 3]
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert entries["author"] == "me"
    assert json.loads(entries["chainrule"])["loss"] == "cross_entropy"
    weights = {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
    np.testing.assert_array_equal(weights["weights.1"], net.weights[1])


def test_without_the_package_onnx_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"^to_onnx needs the package onnx: pip install 'chainrule\[onnx\]'"):
        Net([2, 1]).to_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@every_dtype
def test_a_net_without_biases_is_exported(tmp_path, dtype):
    pytest.importorskip("onnx")
    net, X = draw_net(hidden="selu", output="identity", dtype=dtype, bias=False)
    net.to_onnx(tmp_path / "net.onnx")
    assert_equal(run_onnx(tmp_path / "net.onnx", X), net.predict(X))


@needs_compiler
@every_dtype
@every_activation
def test_compiled_c_predicts_the_same(tmp_path, hidden, output, dtype):
    net, X = draw_net(hidden=[hidden, "tanh", hidden], output=output, dtype=dtype)
    net.to_c(tmp_path / "net.c")
    library = compile_c(tmp_path / "net.c")
    assert_equal(run_c(library, net, X), net.predict(X), 1e-6 if dtype == "float32" else 1e-14)


@needs_compiler
@every_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_c_is_stable_in_the_tails(tmp_path, activation, dtype):
    net, X = tails(activation, dtype)
    net.to_c(tmp_path / "net.c")
    library = compile_c(tmp_path / "net.c")
    assert_equal(run_c(library, net, X), net.predict(X), 1e-5 if dtype == "float32" else 1e-13)


@needs_compiler
@pytest.mark.parametrize("sizes", [(3, 4), (1, 1), (5, 1, 1), (2, 9, 3, 5, 4, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_c_of_any_depth_and_without_biases(tmp_path, sizes, bias):
    net, X = draw_net(sizes, hidden="tanh", output="identity", bias=bias, dtype="float64")
    net.to_c(tmp_path / "net.c")
    assert_equal(run_c(compile_c(tmp_path / "net.c"), net, X), net.predict(X), 1e-14)


@needs_compiler
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
@every_dtype
def test_the_file_of_c_is_c_plus_plus_too(tmp_path, dtype):
    net, X = draw_net((4, 20, 20, 3), hidden=["gelu_tanh", "mish"], output="softmax", dtype=dtype)
    net.to_c(tmp_path / "net.c")
    assert_equal(run_c(compile_c(tmp_path / "net.c", language="c++"), net, X), net.predict(X))


@needs_compiler
def test_two_nets_live_in_one_file_and_sizes_are_defined(tmp_path):
    first, X = draw_net((3, 5, 2), hidden="silu")
    second, _ = draw_net((3, 4, 1), hidden="silu", seed=1)
    first.to_c(tmp_path / "first.c", name="first")
    second.to_c(tmp_path / "second.c", name="Second_2")
    both = tmp_path / "both.c"
    both.write_text(
        '#include "first.c"\n#include "second.c"\n'
        "int sizes(void);\nint sizes(void) { return 1000 * FIRST_FEATURES + 100 * FIRST_OUTPUTS + SECOND_2_OUTPUTS; }\n"
    )
    library = compile_c(both)
    assert library.sizes() == 3201
    assert_equal(run_c(library, first, X, "first"), first.predict(X))
    assert_equal(run_c(library, second, X, "Second_2"), second.predict(X))


@needs_compiler
@every_dtype
def test_weights_in_c_are_exact(tmp_path, dtype):
    net = Net([1, 200], hidden=[], output="identity", dtype=dtype, seed=0)
    random, info = np.random.default_rng(0), np.finfo(dtype)
    numbers = random.standard_normal(194) * 10.0 ** random.integers(-30, 30, 194)
    net.weights[0][...] = [*numbers, 0.0, 1.0, -3e6, info.max, info.tiny, info.smallest_subnormal]
    net.to_c(tmp_path / "net.c")
    y = run_c(compile_c(tmp_path / "net.c"), net, np.ones((1, 1), dtype))
    np.testing.assert_array_equal(y, net.weights[0])


@pytest.mark.parametrize("name", ["", "2net", "my net", "net;", "_net", "nét", "net\n", "a-b"])
def test_names_that_c_does_not_take_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="^name must be letters, digits and underscores, a letter first"):
        Net([2, 1]).to_c(tmp_path / "net.c", name=name)
    with pytest.raises(TypeError, match="^name must be a string, got 3"):
        Net([2, 1]).to_c(tmp_path / "net.c", name=3)
    assert not list(tmp_path.iterdir())


def test_a_number_that_c_cannot_write_is_refused_and_the_old_file_stays(tmp_path):
    net = Net([2, 1], hidden=[])
    net.to_c(tmp_path / "net.c")
    before = (tmp_path / "net.c").read_text()
    net.biases[0][0] = np.nan
    with pytest.raises(ValueError, match=r"^biases\[0\] must be finite"):
        net.to_c(tmp_path / "net.c")
    assert (tmp_path / "net.c").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["net.c"]


def test_a_model_file_becomes_onnx_with_its_metadata(tmp_path):
    onnx = pytest.importorskip("onnx")
    net, X = draw_net(hidden="gelu", output="softmax")
    net.save(tmp_path / "model", metadata={"table": "columns"})
    assert main(["export", f"{tmp_path}/model", "--to", "onnx", f"{tmp_path}/exported"]) == 0
    entries = {entry.key: entry.value for entry in onnx.load(tmp_path / "exported").metadata_props}
    assert entries["table"] == "columns"
    assert_equal(run_onnx(tmp_path / "exported", X), net.predict(X))


def test_a_model_file_becomes_c_by_the_ending_of_the_output(tmp_path, capsys):
    net, _ = draw_net()
    net.save(tmp_path / "model", metadata={"table": "columns"})
    assert main(["export", f"{tmp_path}/model", f"{tmp_path}/a.c", "--name", "penguins"]) == 0
    assert "encoding a table is not part of it" in capsys.readouterr().err
    net.to_c(tmp_path / "b.c", name="penguins")
    assert (tmp_path / "a.c").read_text() == (tmp_path / "b.c").read_text()


def test_an_export_tells_what_it_wrote_as_json(tmp_path, capsys):
    net, _ = draw_net()
    net.save(tmp_path / "model")
    assert main(["export", f"{tmp_path}/model", f"{tmp_path}/a.c", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["inputs"], told["outputs"]) == ("c", net.config.features, net.config.outputs)
    assert told["bytes"] == len((tmp_path / "a.c").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["model", "out"], 2, "give --to, one of onnx, c: out ends with none of .onnx, .c"),
        (["model", "out.onnx", "--name", "net"], 2, "--name is for files of C"),
        (["model", "--to", "java", "out"], 2, "invalid choice: 'java'"),
        (["model", "out.c", "--name", "1"], 2, "--name: name must be letters"),
        (["model", "model", "--to", "c"], 1, "would be overwritten"),
        (["model", "old.c"], 1, "old.c exists; give --force"),
        (["missing", "out.c"], 1, "missing: No such file"),
        (["old.c", "out.c"], 1, "not a safetensors file"),
    ],
)
def test_wrong_exports_say_why_and_write_nothing(tmp_path, monkeypatch, capsys, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    Net([2, 1]).save("model")
    (tmp_path / "old.c").write_text("old")
    assert main(["export", *arguments]) == code
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "old.c"]
