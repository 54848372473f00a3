"""Saved nets: exact, whole or not at all, and nothing that is not a model is taken for one."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from chainrule import SGD, Adam, ModelFormatError, Net
from chainrule.files import read_metadata
from helpers import assemble, draw, header_and_data, name_of, run_python, without_checksum


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def trained(optimizer="adam", dtype="float32", epochs=3, **arguments):
    net = Net([3, 5, 2], dtype=dtype, seed=2**63 - 1, **arguments)
    X, Y, _ = draw(net, 20)
    net.fit(X, Y, epochs=epochs, batch_size=8, optimizer=optimizer)
    return net


OPTIMIZERS = ["sgd", "adam", SGD(lr=0.1, momentum=0.9), Adam(lr=0.1, beta1=0.5)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_loaded_net_is_the_saved_one(path, optimizer, dtype, bias):
    net = trained(optimizer, dtype, bias=bias)
    net.save(path)
    loaded = Net.load(path)
    assert loaded.config == net.config
    assert (loaded.seed, loaded.epochs_trained) == (net.seed, 3)
    np.testing.assert_array_equal(loaded.parameters, net.parameters)
    X, Y, _ = draw(net, 20)
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    # Continuing after a load is not having saved, to the last bit.
    histories = [n.fit(X, Y, epochs=4, batch_size=8, optimizer=optimizer) for n in (net, loaded)]
    np.testing.assert_array_equal(loaded.parameters, net.parameters)
    np.testing.assert_array_equal(histories[0].loss, histories[1].loss)
    assert loaded.epochs_trained == 7


@pytest.mark.parametrize(
    "arguments",
    [
        {"sizes": [1, 1]},
        {"sizes": [4, 3, 2, 3], "hidden": ["relu", "tanh"], "output": "softmax", "loss": "cross_entropy"},
        {"sizes": [2, 2], "loss": "log_loss", "reduction": "sum", "bias": False, "dtype": "float64"},
        {"sizes": [2, 2], "output": "identity", "loss": "squared_error"},
    ],
    ids=str,
)
def test_every_part_of_the_configuration_is_kept(path, arguments):
    net = Net(**arguments)
    net.save(path)
    loaded = Net.load(path)
    assert loaded.config == net.config
    assert repr(loaded) == repr(net)
    np.testing.assert_array_equal(loaded.parameters, net.parameters)


def test_special_numbers_are_kept_to_the_bit(path):
    net = Net([2, 3], hidden=[])
    net.parameters[:] = [0.0, -0.0, 1e-45, np.nan, np.inf, -np.inf, np.finfo(np.float32).max, 1.1, -1.1]
    net.save(path)
    np.testing.assert_array_equal(Net.load(path).parameters.view(np.uint32), net.parameters.view(np.uint32))


def test_the_file_is_an_ordinary_safetensors_file(path):
    net = trained()
    net.save(path, metadata={"scaling": "none"})
    tensors = safetensors.numpy.load_file(path)
    expected = {"weights.0", "weights.1", "biases.0", "biases.1", "optimizer.0", "optimizer.1"}
    assert set(tensors) == expected
    np.testing.assert_array_equal(tensors["weights.1"], net.weights[1])
    np.testing.assert_array_equal(tensors["biases.0"], net.biases[0])
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert metadata["scaling"] == "none"
    assert json.loads(metadata["chainrule"])["sizes"] == [3, 5, 2]
    assert read_metadata(path) == metadata


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, "abc"], ids=str)
def test_metadata_that_is_no_text(path, metadata):
    with pytest.raises(TypeError, match="metadata must be a dict of str to str; got"):
        Net([2, 1]).save(path, metadata=metadata)
    assert os.listdir(path.parent) == []


def test_the_path_may_be_text(path):
    Net([2, 1]).save(str(path))
    assert Net.load(str(path)).config.sizes == (2, 1)


class TestWriting:
    """The old file or the new one, never half."""

    def test_an_older_file_is_replaced(self, path):
        trained().save(path)
        net = Net([2, 1], seed=1)
        net.save(path)
        np.testing.assert_array_equal(Net.load(path).parameters, net.parameters)
        assert os.listdir(path.parent) == [path.name]

    @pytest.mark.parametrize("function", ["fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()], ids=repr)
    def test_a_failure_leaves_the_old_file_and_nothing_else(self, path, monkeypatch, function, error):
        trained().save(path)
        before = path.read_bytes()

        def fail(*_):
            raise error

        monkeypatch.setattr(os, function, fail)
        with pytest.raises(type(error)):
            Net([2, 1]).save(path)
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]

    def test_a_process_killed_while_saving_leaves_the_old_file(self, path):
        net = trained()
        net.save(path)
        script = """
import os, signal, sys
import chainrule
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
chainrule.Net([300, 300]).save(sys.argv[1])
"""
        assert run_python(script, path, check=False).returncode == -9
        np.testing.assert_array_equal(Net.load(path).parameters, net.parameters)

    def test_errors_of_the_system_pass_through(self, path):
        with pytest.raises(FileNotFoundError):
            Net([2, 1]).save(path.parent / "missing" / "net")
        path.mkdir()
        with pytest.raises(OSError, match=r"net.safetensors"):
            Net([2, 1]).save(path)
        assert os.listdir(path.parent) == [path.name]

    @pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
    def test_permissions_are_those_of_any_file(self, path):
        mask = os.umask(0o027)
        try:
            Net([2, 1]).save(path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
            path.chmod(0o604)
            Net([2, 1]).save(path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o604
        finally:
            os.umask(mask)


#: Stands for an entry that is not there.
DELETED = object()


def refuse(path, content, match=None):
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=match) as caught:
        Net.load(path)
    assert str(path) in str(caught.value)


class TestReading:
    """A file that is not a model of this package."""

    def test_missing(self, path):
        for read in (Net.load, read_metadata):
            with pytest.raises(FileNotFoundError):
                read(path)

    def test_folder(self, path):
        path.mkdir()
        with pytest.raises(OSError, match=r"net.safetensors"):
            Net.load(path)

    def test_truncated_anywhere(self, path):
        trained().save(path)
        content = path.read_bytes()
        for length in [*range(0, 40), *range(40, len(content), 37), len(content) - 1]:
            refuse(path, content[:length])

    def test_with_bytes_behind_its_end(self, path):
        trained().save(path)
        refuse(path, path.read_bytes() + b"\0")

    @pytest.mark.parametrize("bit", range(8))
    def test_a_bit_of_each_byte(self, path, bit):
        """A flipped bit is refused, or where it falls on something without meaning gives the same net."""
        net = trained()
        net.save(path, {"note": "mine"})
        content = bytearray(path.read_bytes())
        refused = 0
        for position in range(len(content)):
            content[position] ^= 1 << bit
            path.write_bytes(content)
            try:
                loaded = Net.load(path)
            except ModelFormatError:
                refused += 1
            else:
                assert (loaded.config, loaded.seed, loaded.epochs_trained) == (net.config, net.seed, 3)
                states = [pickle.dumps(each._core.read_state()) for each in (loaded, net)]
                assert states[0] == states[1]
                assert read_metadata(path)["note"] == "mine"
            content[position] ^= 1 << bit
        # The name of the checksum's entry, without which nothing is compared, and what JSON allows.
        assert refused >= len(content) - 40

    def test_numbers_that_another_program_changed(self, path):
        """What damage does is what others do on purpose; they leave the checksum out."""
        trained().save(path)
        tensors, metadata = safetensors.numpy.load_file(path), read_metadata(path)
        tensors["weights.0"][1, 2] = 3.0
        match = r"net\.safetensors: the checksum of its contents is \w{8}, and it says \w{8}: it is damaged"
        refuse(path, safetensors.numpy.save(tensors, metadata), match)
        metadata["chainrule"] = without_checksum(metadata["chainrule"])
        path.write_bytes(safetensors.numpy.save(tensors, metadata))
        assert Net.load(path).weights[0][1, 2] == 3.0

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not a model",
            b"\x89HDF\r\n\x1a\n" + bytes(100),
            b"PK\x03\x04" + bytes(100),
            b"\xff" * 64,
            struct.pack("<Q", 2**64 - 1) + b"{}",
            struct.pack("<Q", 2**62) + b"{}",
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 2) + b"{}",
            struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        ],
        ids=lambda content: repr(content[:12]),
    )
    def test_foreign(self, path, content):
        refuse(path, content)

    @pytest.mark.parametrize("dtype", ["F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "C64"])
    def test_tensors_of_another_dtype(self, path, dtype):
        Net([1, 64], hidden=[], bias=False).save(path)
        header, data = header_and_data(path.read_bytes())
        size = {"F64": 8, "F16": 2, "BF16": 2, "I32": 4, "C64": 8}.get(dtype, 1)
        header["weights.0"] = {"dtype": dtype, "shape": [1, 64], "data_offsets": [0, 64 * size]}
        refuse(path, assemble(header, (data * 2)[: 64 * size]))

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": [5, 3]},
            {"shape": [15]},
            {"shape": [3, 6]},
            {"shape": [2**62, 2**62]},
            {"shape": [-3, -5]},
            {"shape": []},
            {"data_offsets": [0, 2**64 - 1]},
            {"data_offsets": [2**63, 2**63 + 60]},
            {"data_offsets": [60, 0]},
            {"data_offsets": [-60, 0]},
            {"data_offsets": [4, 64]},
            {"dtype": "F31"},
        ],
        ids=str,
    )
    def test_hostile_tensors(self, path, change):
        trained("sgd").save(path)
        header, data = header_and_data(path.read_bytes())
        header["weights.0"] |= change
        refuse(path, assemble(header, data))

    @pytest.mark.parametrize("name", ["weights.0", "biases.1", "optimizer.1"])
    def test_tensors_missing_or_of_another_name(self, path, name):
        trained().save(path)
        tensors = safetensors.numpy.load_file(path)
        metadata = read_metadata(path)
        metadata["chainrule"] = without_checksum(metadata["chainrule"])
        renamed = {("other" if key == name else key): value for key, value in tensors.items()}
        refuse(path, safetensors.numpy.save(renamed, metadata), match="expected the tensors")
        del tensors[name]
        refuse(path, safetensors.numpy.save(tensors, metadata), match="expected the tensors")

    def test_without_the_description(self, path):
        refuse(
            path, safetensors.numpy.save({"weights.0": np.zeros((2, 1), np.float32)}), match="'chainrule' is missing"
        )
        refuse(path, safetensors.numpy.save({}, {"other": "text"}), match="'chainrule' is missing")

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "3", "null", '"text"', "[" * 100_000, '{"format": 1' + "0" * 5000 + "}", "\u0000"],
        ids=lambda text: repr(text[:10]),
    )
    def test_a_description_that_is_no_description(self, path, text):
        trained().save(path)
        header, data = header_and_data(path.read_bytes())
        header["__metadata__"]["chainrule"] = text
        refuse(path, assemble(header, data))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(
                (key, DELETED)
                for key in ("format", "sizes", "activations", "loss", "bias", "dtype", "seed", "optimizer")
            ),
            ("format", 0),
            ("format", 2),
            ("format", "1"),
            ("sizes", [3, 5]),
            ("sizes", [3, -5, 2]),
            ("sizes", [5, 3, 2]),
            ("sizes", [10**6, 10**6, 10**6]),
            ("sizes", [10**30, 2]),
            ("sizes", "352"),
            ("sizes", [3.0, 5.0, 2.0]),
            ("sizes", None),
            ("activations", ["sigmoid"]),
            ("activations", "sigmoid"),
            ("activations", []),
            ("activations", ["softmax", "sigmoid"]),
            ("activations", ["sigmoid", "wrong"]),
            ("activations", {"a": 1}),
            ("activations", [None, None]),
            ("loss", "mse"),
            ("loss", "cross_entropy"),
            ("loss", None),
            ("reduction", "max"),
            ("bias", False),
            ("bias", 1),
            ("dtype", "float64"),
            ("dtype", "float16"),
            ("seed", -1),
            ("seed", 2**63),
            ("seed", 10**400),
            ("seed", 1.5),
            ("seed", None),
            ("seed", True),
            ("seed", "7"),
            ("epochs_trained", -1),
            ("epochs_trained", 2**64),
            ("epochs_trained", 0.5),
            ("epochs_trained", None),
            ("optimizer", None),
            ("optimizer", "adam"),
            ("optimizer", []),
            ("optimizer", {"rule": "adam", "steps": 9, "slots": 3}),
            ("optimizer", {"rule": "adam", "steps": 9, "slots": 1}),
            ("optimizer", {"rule": "adam", "steps": 9, "slots": 0}),
            ("optimizer", {"rule": "adam", "steps": 9, "slots": -1}),
            ("optimizer", {"rule": "adam", "steps": 9, "slots": 10**12}),
            ("optimizer", {"rule": "adam", "steps": 9, "slots": 2.0}),
            ("optimizer", {"rule": "adam", "steps": -9, "slots": 2}),
            ("optimizer", {"rule": "adam", "steps": 2**64, "slots": 2}),
            ("optimizer", {"rule": "adam", "steps": 1.5, "slots": 2}),
            ("optimizer", {"rule": "sgd", "steps": 9, "slots": 2}),
            ("optimizer", {"rule": "wrong", "steps": 9, "slots": 2}),
            ("optimizer", {"rule": ["adam"], "steps": 9, "slots": 2}),
            ("dropout", [1.5]),
            ("dropout", "half"),
            ("dropout", [0.1, 0.2]),
            ("dropout", None),
            ("input_noise", -1),
            ("input_noise", "1"),
            ("frozen", [2]),
            ("frozen", [0.5]),
            ("frozen", "0"),
            ("frozen", 1),
            ("epoch_in_progress", []),
            ("epoch_in_progress", [4, 1.0, 4.0, 10, 2]),
            ("epoch_in_progress", [0, 1.0, 4.0, 10, 2, True]),
            ("epoch_in_progress", [11, 1.0, 4.0, 10, 2, True]),
            ("epoch_in_progress", [4, "1", 4.0, 10, 2, True]),
            ("epoch_in_progress", [4, 1.0, 4.0, 2**64, 2, True]),
            ("schedule", 3),
            ("schedule", ["plateau"]),
            ("schedule", {"wrong": 1}),
        ],
        ids=name_of,
    )
    def test_hostile_descriptions(self, path, key, value):
        trained().save(path)
        header, data = header_and_data(path.read_bytes())
        description = json.loads(header["__metadata__"]["chainrule"])
        if value is DELETED:
            del description[key]
        else:
            description[key] = value
        header["__metadata__"]["chainrule"] = json.dumps(description)
        refuse(path, assemble(header, data))

    @pytest.mark.parametrize("optimizer", ["adam", "nadam"])
    def test_the_largest_counts_are_read(self, path, optimizer):
        trained(optimizer).save(path)
        header, data = header_and_data(path.read_bytes())
        description = json.loads(header["__metadata__"]["chainrule"])
        description["epochs_trained"] = 2**63
        description["optimizer"]["steps"] = 2**63
        header["__metadata__"]["chainrule"] = json.dumps(description)
        path.write_bytes(assemble(header, data))
        net = Net.load(path)
        X, Y, _ = draw(net, 20)
        assert np.isfinite(net.fit(X, Y, epochs=1, optimizer=optimizer).loss).all()
        assert net.epochs_trained == 2**63 + 1
