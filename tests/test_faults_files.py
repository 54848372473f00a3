"""The list of 32 faults, rows 18 to 21: model files that are hostile, half written, or of another locale."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from apart import run_apart
from chainrule import ModelFormatError, Net, cli
from helpers import assemble, draw, header_and_data, run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and signals are those of POSIX")


def trained(**arguments):
    """A net whose file has every part: moments, text with decimal points, an epoch number."""
    net = Net([3, 5, 2], loss="huber(0.25)", dropout=0.125, seed=7, **arguments)
    X, Y, _ = draw(net, 20)
    net.fit(X, Y, epochs=2, batch_size=8)
    return net


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.safetensors"
    trained().save(path)
    return path


def check_corrupt_files(path):
    """Whatever became of a file, loading it is an error, or gives a net of the sizes that it had."""
    memory = 2**30
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    original = Path(path).read_bytes()
    random = np.random.default_rng(0)
    refused = []
    for trial in range(1500):
        content = bytearray(original)
        for _ in range(random.integers(1, 4)):
            position = int(random.choice([random.integers(8), random.integers(400), random.integers(len(content))]))
            if trial % 3 == 0:
                content[position] ^= 1 << int(random.integers(8))
            elif trial % 3 == 1:
                content[position] = int(random.choice(list(b'\0\xff"{}[],:-0919e')))
            else:
                content[position : position + int(random.integers(20))] = random.bytes(int(random.integers(20)))
        Path(path).write_bytes(content)
        try:
            net = Net.load(path)
        except ModelFormatError as error:
            refused.append(str(error))
        else:
            net.predict(np.zeros((2, net.config.features)))
    assert 700 < len(refused) < 1500
    assert all(path in message for message in refused)


def test_fault_18_corrupt_files_are_refused(path):
    run_apart(check_corrupt_files, str(path))


class Touch:
    """Creates a file where a pickle of it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def hostile_files(path, proof):
    header, data = header_and_data(path.read_bytes())
    deep = json.loads(json.dumps(header))
    deep["__metadata__"]["chainrule"] = "[" * 200_000
    return {
        "nothing": b"",
        "text": b"not a model",
        "pickle": pickle.dumps(Touch(str(proof))),
        "header beyond memory": struct.pack("<Q", 2**62) + b"{}",
        "header beyond the file": struct.pack("<Q", 2**40) + b"{}",
        "truncated": path.read_bytes()[:-1],
        "longer": path.read_bytes() + b"\0",
        "nested": assemble(deep, data),
        "nested header": struct.pack("<Q", 10**6) + b"[" * 10**6,
        "zeros": bytes(1000),
    }


HOSTILE = ["nothing", "text", "pickle", "header beyond memory", "header beyond the file", "truncated", "longer"]
HOSTILE += ["nested", "nested header", "zeros"]


def check_refused(path):
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    with pytest.raises(ModelFormatError) as caught:
        Net.load(path)
    assert isinstance(caught.value, ValueError)
    assert path in str(caught.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_fault_18_hostile_files_are_refused_and_nothing_in_them_is_run(path, kind, capsys):
    proof = path.parent / "proof"
    path.write_bytes(hostile_files(path, proof)[kind])
    run_apart(check_refused, str(path))
    for command in (["inspect", str(path)], ["predict", str(path), str(path)]):
        assert cli.main(command) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert not proof.exists()


def test_fault_18_an_estimator_refuses_them_too(path):
    estimators = pytest.importorskip("chainrule.estimators", exc_type=ImportError)
    with pytest.raises(ModelFormatError, match="a net, and no estimator"):
        estimators.MLPRegressor.load(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ModelFormatError, match="not a safetensors file"):
        estimators.MLPRegressor.load(path)


# Of weights.0, 15 numbers of 4 bytes. Sums and products of some of these are right once they wrap.
DISAGREEING = [
    {"data_offsets": [2**64 - 60, 2**64]},
    {"data_offsets": [2**63, 2**63 + 60]},
    {"data_offsets": [0, 2**64 - 1]},
    {"data_offsets": [60, 0]},
    {"data_offsets": [-60, 0]},
    {"data_offsets": [1, 61]},
    {"data_offsets": [0, 2**32 + 60]},
    {"shape": [2**62 + 15]},
    {"shape": [2**32, 2**32]},
    {"shape": [2**64 - 3, 2**64 - 5]},
    {"shape": [-3, -5]},
    {"shape": [3, 5, 2**62, 4]},
    {"shape": [15]},
    {"shape": [5, 3]},
    {"shape": [3, 6]},
    {"shape": [3.0, 5.0]},
    {"shape": []},
    {"dtype": "F64"},
    {"dtype": "I32"},
    {"dtype": "F31"},
]


@pytest.mark.parametrize("change", DISAGREEING, ids=str)
def test_fault_19_offsets_that_wrap_and_shapes_that_disagree_are_refused(path, change):
    header, data = header_and_data(path.read_bytes())
    assert header["weights.0"]["shape"] == [3, 5]
    header["weights.0"] |= change
    path.write_bytes(assemble(header, data))
    check_refused_in_place(path)


@pytest.mark.parametrize("sizes", [[3, 5, 3], [2**32, 2**32, 2], [3, 2**64 + 5, 2], [-3, -5, 2], [3, 5]], ids=str)
def test_fault_19_sizes_that_disagree_with_the_tensors_are_refused(path, sizes):
    header, data = header_and_data(path.read_bytes())
    description = json.loads(header["__metadata__"]["chainrule"]) | {"sizes": sizes}
    header["__metadata__"]["chainrule"] = json.dumps(description)
    path.write_bytes(assemble(header, data))
    check_refused_in_place(path)


def test_fault_19_tensors_that_share_bytes_are_refused(path):
    header, data = header_and_data(path.read_bytes())
    slots = [name for name in header if name.startswith("optimizer")]
    header[slots[0]]["data_offsets"] = header[slots[1]]["data_offsets"]
    path.write_bytes(assemble(header, data))
    check_refused_in_place(path)


def check_refused_in_place(path):
    with pytest.raises(ModelFormatError, match="net.safetensors"):
        Net.load(path)


def save_until(path, moment):
    """Replace the file by that of a large net, and be killed at this call of the system."""
    if moment == "write":
        # The limit's signal ends the process in the middle of the bytes.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    else:
        setattr(os, moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    Net([300, 300], seed=0).save(path)


@pytest.mark.parametrize("moment", ["write", "fsync", "chmod", "replace"])
def test_fault_20_a_save_that_is_killed_leaves_the_old_file(path, moment):
    before = path.read_bytes()
    script = f"import sys, test_faults_files as tests; tests.save_until(sys.argv[1], {moment!r})"
    assert run_python(script, path, check=False).returncode < 0
    assert path.read_bytes() == before
    # The temporary file lay in the same folder, and is in nobody's way.
    assert len(os.listdir(path.parent)) == 2
    Net([300, 300], seed=0).save(path)
    assert Net.load(path).config.sizes == (300, 300)


def test_fault_20_the_new_file_is_on_disk_before_it_replaces_the_old_one(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append((name, a)), real(*a)))
    Net([2, 1]).save(path)
    assert [name for name, _ in calls][:2] == ["fsync", "replace"]
    temporary, final = map(str, calls[1][1])
    assert os.path.dirname(temporary) == os.path.dirname(final)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_fault_20_a_save_that_fails_leaves_the_old_file_alone(path, monkeypatch, function):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space left"):
        Net([2, 1]).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def write_comma_locale(folder):
    """Write glibc's compiled form of a locale, "comma", of which only LC_NUMERIC is there."""
    texts = [b",\0", b".\0", b"\3\3\0", struct.pack("<I", ord(",")), struct.pack("<I", ord(".")), b"UTF-8\0"]
    offsets, content, start = [], b"", 8 + 4 * len(texts)
    for text in texts:
        content += bytes(-len(content) % 4)
        offsets.append(start + len(content))
        content += text
    magic = 0x20031115 ^ 1  # 1 is LC_NUMERIC
    (folder / "comma").mkdir()
    numeric = struct.pack(f"<{2 + len(texts)}I", magic, len(texts), *offsets) + content
    (folder / "comma" / "LC_NUMERIC").write_bytes(numeric)


LOCALE = """
import ctypes, locale, sys
import numpy as np
import chainrule, test_faults_files as tests
from chainrule import cli
if sys.argv[2] == "comma":
    try:
        locale.setlocale(locale.LC_NUMERIC, "comma")
    except locale.Error:
        print("no such locale")
        sys.exit()
    text = ctypes.create_string_buffer(10)
    ctypes.CDLL(None).snprintf(text, 10, b"%.1f", ctypes.c_double(0.5))
    assert text.value == b"0,5" and locale.localeconv()["decimal_point"] == ","
folder = sys.argv[1] + "/"
net = tests.trained()
net.save(folder + "net")
loaded = chainrule.Net.load(folder + "net")
assert loaded.config == net.config and (loaded.parameters == net.parameters).all()
net.to_c(folder + "net.c", name="net")
open(folder + "derivation", "w").write(net.derivation() + repr(net) + net.summary())
with open(folder + "data.csv", "w") as file:
    file.write("a,b,y\\n" + "".join(f"{i / 8},{-i / 16},{i / 4}\\n" for i in range(20)))
train = ["train", folder + "data.csv", "--target", "y", "--epochs", "3", "--seed", "0", "--output", folder + "model"]
assert cli.main(train) == 0
assert cli.main(["predict", folder + "model", folder + "data.csv", "--output", folder + "predicted.csv"]) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="makes a locale of glibc")
def test_fault_21_a_locale_with_a_decimal_comma_gives_identical_files(tmp_path):
    write_comma_locale(tmp_path)
    folders = {name: tmp_path / f"files of {name}" for name in ("C", "comma")}
    for name, folder in folders.items():
        folder.mkdir()
        finished = run_python(LOCALE, folder, name, LOCPATH=str(tmp_path))
        if "no such locale" in finished.stdout:
            pytest.skip("the C library reads no locale of ours")
    names = sorted(os.listdir(folders["C"]))
    assert {"net", "net.c", "derivation", "model", "predicted.csv"} <= set(names) == set(os.listdir(folders["comma"]))
    for name in names:
        comma, point = ((folders[which] / name).read_bytes() for which in ("comma", "C"))
        if name in ("net", "model"):  # safetensors writes the entries of its header in any order
            comma, point = (header_and_numbers(content) for content in (comma, point))
        assert comma == point, name


def header_and_numbers(content):
    """Return the header of a safetensors file, read, and the bytes behind it."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]
