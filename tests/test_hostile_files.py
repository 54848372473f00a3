"""What a hostile file may cost (SECURITY.md): memory and processor time in proportion to its size, and an error."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import struct
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from apart import run_apart
from chainrule import Net
from chainrule.tables import read_table

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read as Linux tells it")

#: What reading may cost: so much, and so much for each byte of the file. Generous: text becomes Python's objects.
MEMORY, MEMORY_PER_BYTE = 50e6, 150
SECONDS, SECONDS_PER_BYTE = 20, 20e-6

#: Bytes of the larger files.
LARGE = 1_000_000


def model(sizes=(3, 2), description=(), entries=(), tensors=(), metadata=()):
    """A file as `Net.save` writes it for a net without hidden layers, with changes; zeros are its parameters."""
    layers = list(itertools.pairwise(sizes))
    shapes = {f"weights.{i}": [fan_in, fan_out] for i, (fan_in, fan_out) in enumerate(layers)}
    shapes |= {f"biases.{i}": [fan_out] for i, (_, fan_out) in enumerate(layers)} | dict(tensors)
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    described = {
        "format": 1,
        "sizes": sizes,
        "activations": ["identity"] * len(layers),
        "loss": "half_squared_error",
        "reduction": "mean",
        "bias": True,
        "dtype": "float32",
        "seed": 0,
        "epochs_trained": 0,
        "optimizer": {"rule": "sgd", "steps": 0, "slots": 0},
        **dict(description),
    }
    header["__metadata__"] = {"chainrule": json.dumps(described), **dict(metadata)}
    return with_header(json.dumps(header | dict(entries)), bytes(end))


def with_header(text, data=b"", length=None):
    encoded = text.encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def with_metadata(text):
    return with_header(json.dumps({"__metadata__": {"chainrule": text}}))


def claiming(shape, end):
    return with_header(json.dumps({"weights.0": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}))


MODELS = {
    "a header of an exabyte": lambda: with_header("{}", length=2**60),
    "a header beyond the file": lambda: with_header("{}" + " " * LARGE, length=2**40),
    "terabytes of numbers": lambda: claiming([2**20, 2**20], 2**42),
    "a shape that wraps to nothing": lambda: claiming([2**32, 2**32], 0),
    "a million names": lambda: with_header(
        json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(LARGE // 60)})
    ),
    "thousands of layers": lambda: model(sizes=[1] * (LARGE // 250)),
    "thousands of entries of metadata": lambda: model(metadata={str(i): "" for i in range(LARGE // 10)}),
    "a header of nested lists": lambda: with_header("[" * LARGE),
    "a description of nested lists": lambda: with_metadata("[" * LARGE),
    "a description of nested objects": lambda: with_metadata('{"a":' * (LARGE // 5)),
    "a number of a million digits": lambda: with_metadata('{"format": ' + "9" * LARGE + "}"),
    "layers of terabytes": lambda: model(description={"sizes": [2**20, 2**20]}),
    "layers beyond any address": lambda: model(description={"sizes": [2**62, 2**62, 2**62]}),
    "a net of a million layers in its description only": lambda: model(
        description={"sizes": [1] * (LARGE // 3), "activations": ["exp"] * (LARGE // 3 - 1)}
    ),
    "optimizer slots without end": lambda: model(
        description={"optimizer": {"rule": "adam", "steps": 0, "slots": 2**62}}
    ),
    "a million activations": lambda: model(description={"activations": ["relu"] * (LARGE // 8)}),
    "a name of an activation of a megabyte": lambda: model(description={"activations": ["r" * LARGE]}),
    "a million quantiles": lambda: model(description={"loss": f"quantile({','.join(['0.5'] * (LARGE // 4))})"}),
    "a loss of blanks": lambda: model(description={"loss": " " * LARGE + "!"}),
    "a loss of blanks in two places": lambda: model(
        description={"loss": "quantile" + " " * (LARGE // 2) + "(" + " " * (LARGE // 2)}
    ),
    "layers frozen that are not there": lambda: model(description={"frozen": list(range(LARGE // 8))}),
    "a schedule of a million fields": lambda: model(description={"schedule": {str(i): 0 for i in range(LARGE // 12)}}),
}


def array_file(descr, shape, data=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


TABLES = {
    "quotes that never end.csv": lambda: b'a,b\n"' + b"1,\n" * (LARGE // 3),
    "quotes and more quotes.csv": lambda: b'"' * LARGE,
    "one field of a megabyte.csv": lambda: b"a,b\n" + b"x" * LARGE,
    "blank lines.csv": lambda: b"\n" * LARGE,
    "a row that is too long.csv": lambda: b"a,b\n" + b"1," * (LARGE // 2),
    "zeros.csv": lambda: bytes(LARGE),
    "columns without end, the last one twice.csv": lambda: (
        ",".join(map(str, [*range(LARGE // 7), 0])).encode() + b"\n1"
    ),
    "an array of terabytes.npy": lambda: array_file("<f8", (2**40, 3)),
    "an array that wraps.npy": lambda: array_file("<f8", (2**62, 2**62)),
    "objects.npy": lambda: array_file("|O", (3,), b"\x80\x04."),
    "a header of nested tuples.npy": lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", LARGE) + b"(" * LARGE,
    "an array of terabytes in an archive.npz": lambda: zipped({"x.npy": array_file("<f8", (2**40,))}),
    "thousands of empty arrays.npz": lambda: zipped({f"{i}.npy": array_file("<f8", (0,)) for i in range(3000)}),
    "a directory that is cut.npz": lambda: zipped({"x.npy": bytes(LARGE)})[:-30],
}


#: Those that are no error: what they hold too much of, a net may have.
TAKEN = {"thousands of entries of metadata", "thousands of layers"}


def memory(field):
    """Bytes that the process has in memory (VmRSS), or the most that it had (VmHWM); getrusage tells of its parents."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def measure_costs(folder):
    """Read every file of a folder; print its size, the error, and what it cost in bytes and in seconds."""
    Net([1, 1]).predict([1.0])  # what is loaded at a first use is no cost of a file
    costs = {}
    for path in sorted(Path(folder).iterdir()):
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the most from here on
        before, started, error = memory("VmRSS"), time.process_time(), None
        try:
            (Net.load if path.suffix == ".safetensors" else read_table)(path)
        except Exception as caught:
            error = type(caught).__name__
        seconds = time.process_time() - started
        costs[path.name] = [path.stat().st_size, error, memory("VmHWM") - before, seconds]
    print(json.dumps(costs))


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, make in MODELS.items():
        (folder / f"{name}.safetensors").write_bytes(make())
    for name, make in TABLES.items():
        (folder / name).write_bytes(make())
    return json.loads(run_apart(measure_costs, str(folder)))


@pytest.mark.parametrize("name", [*(f"{name}.safetensors" for name in MODELS), *TABLES])
def test_a_hostile_file_is_an_error_and_costs_no_more_than_its_size(costs, name):
    size, error, taken, seconds = costs[name]
    print(f"{size} bytes: {error}, {taken / 1e6:.1f} MB, {seconds:.3f} s")
    if name.endswith(".safetensors"):
        assert error == (None if name.removesuffix(".safetensors") in TAKEN else "ModelFormatError")
    else:
        assert error in ("ValueError", "MemoryError")
    assert taken <= MEMORY + MEMORY_PER_BYTE * size
    assert seconds <= SECONDS + SECONDS_PER_BYTE * size


def test_the_files_would_be_models_without_what_is_hostile(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(model(metadata={"mine": "kept"}))
    assert Net.load(path).config.sizes == (3, 2)


def load_hostile_estimators(path):
    """Read an estimator with each of several parameters; print the error, and what it cost in bytes and in seconds."""
    from chainrule import MLPClassifier
    from chainrule.files import load_with_metadata

    net, metadata = load_with_metadata(path)
    sound = json.loads(metadata["chainrule.estimator"])
    collisions = [(2**61 - 1) * number for number in range(LARGE // 50)]  # all of one hash
    costs = {}
    for name, parameter in {
        "long beside empty, of no width": {"array": ["x" * 20_000] + [""] * 10_000, "dtype": "U"},
        "nested texts": {"array": [[""] * 15_000], "dtype": "<U100000"},
        "keys of one hash": {"dict": [[number, 0] for number in collisions]},
        "objects of one hash": {"array": collisions, "dtype": "|O"},
        "keys of tuples": {"dict": [[{"tuple": [0, number]}, 0] for number in range(10)]},
    }.items():
        description = sound | {"parameters": sound["parameters"] | {"class_weight": parameter}}
        net.save(path, {"chainrule.estimator": json.dumps(description)})
        before, started, error = memory("VmHWM"), time.process_time(), None
        try:
            MLPClassifier.load(path)
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
        costs[name] = [error, memory("VmHWM") - before, time.process_time() - started]
    print(json.dumps(costs))


def test_parameters_of_an_estimator_cost_no_more_than_their_size(tmp_path):
    pytest.importorskip("sklearn")
    from chainrule import MLPClassifier

    path = tmp_path / "model.safetensors"
    MLPClassifier((2,), random_state=0).partial_fit(np.eye(3), [0, 1, 1], classes=[0, 1]).save(path)
    for name, (error, taken, seconds) in json.loads(run_apart(load_hostile_estimators, str(path))).items():
        print(f"{name}: {error}, {taken / 1e6:.1f} MB, {seconds:.3f} s")
        assert error is not None, name
        assert error.startswith("ModelFormatError"), name
        assert taken <= MEMORY + MEMORY_PER_BYTE * path.stat().st_size, name
        assert seconds < 1, name
