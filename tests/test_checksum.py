"""The checksum of a file: what it is made of, as docs/FORMAT.md says, and what has none."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import safetensors.numpy

from chainrule import ModelFormatError, Net
from chainrule.files import read, read_metadata
from helpers import draw, without_checksum


@pytest.fixture
def path(tmp_path):
    net = Net([3, 5, 2], seed=1)
    X, Y, _ = draw(net, 20)
    net.fit(X, Y, epochs=1, optimizer="adam")
    net.save(tmp_path / "net.safetensors", {"café": "\0", "a": ""})
    return tmp_path / "net.safetensors"


def test_it_is_that_of_the_documented_bytes(path):
    tensors, metadata = read(path)
    checksum = json.loads(metadata["chainrule"])["checksum"]
    assert metadata["chainrule"].endswith(f', "checksum": "{checksum}"}}')
    metadata["chainrule"] = metadata["chainrule"][:-10] + '00000000"}'
    described = b"".join(f"{name}\0{metadata[name]}\0".encode() for name in sorted(metadata))
    described += b"".join(name.encode() + b"\0" + tensors[name].tobytes() for name in sorted(tensors))
    assert checksum == f"{zlib.crc32(described):08x}"


def test_the_bytes_of_a_file_are_those_of_its_net(path):
    contents = []
    for _ in range(20):
        Net.load(path).save(path)
        contents.append(path.read_bytes())
    assert len(set(contents)) == 1


def test_a_file_without_one_is_read(path):
    net = Net.load(path)
    tensors, metadata = read(path)
    metadata["chainrule"] = without_checksum(metadata["chainrule"])
    path.write_bytes(safetensors.numpy.save(tensors, metadata))
    assert "checksum" not in read_metadata(path)["chainrule"]
    np.testing.assert_array_equal(Net.load(path).parameters, net.parameters)


@pytest.mark.parametrize("key", ["café", "chainrule", "other"])
def test_changed_metadata_are_refused(path, key):
    tensors, metadata = read(path)
    metadata[key] = metadata.get(key, "").replace('"seed": 1', '"seed": 2') + " " * (key != "chainrule")
    path.write_bytes(safetensors.numpy.save(tensors, metadata))
    for function in (Net.load, read_metadata):
        with pytest.raises(ModelFormatError, match=r"net\.safetensors: the checksum of its contents"):
            function(path)
