"""Random nets by way of files: the same to the last bit, and they go on the same."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import assume, given
from hypothesis import strategies as st

from chainrule import DivergenceError, Net
from chainrule.files import read_metadata
from strategies import (
    assert_same_bits,
    data,
    fit_options,
    frozen_layers,
    net_arguments,
    share_of_examples,
)


@contextmanager
def new_path():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "model.safetensors"


def through_a_file(net):
    with new_path() as path:
        net.save(path)
        return Net.load(path)


# Nets.


@st.composite
def trained_nets(draw):
    """A net, trained or not, with what it was trained on and how."""
    net = Net(**draw(net_arguments()))
    *arrays, w, validation = draw(data(net.config))
    options = draw(fit_options(len(arrays[0]), draw(st.integers(1, 6)))) | {
        "sample_weight": w,
        "validation": validation,
    }
    net.freeze(*draw(frozen_layers(len(net.config.layer_shapes))))
    try:
        if draw(st.booleans()):
            net.fit(*arrays, **options)
    except DivergenceError:
        assume(False)
    return net, arrays, options


@share_of_examples(4)
@given(trained_nets())
def test_a_loaded_net_is_the_saved_one_and_goes_on_as_it_does(trained):
    net, arrays, options = trained
    loaded = through_a_file(net)
    assert repr(loaded) == repr(net)
    for name in ("config", "seed", "frozen", "epochs_trained", "schedule_state"):
        assert getattr(loaded, name) == getattr(net, name)
    assert_same_bits([loaded.parameters, loaded.predict(arrays[0])], [net.parameters, net.predict(arrays[0])])
    results = []
    for each in (net, loaded):
        try:
            results.append([each.fit(*arrays, **options).loss, each.step(*arrays, options["optimizer"])])
        except DivergenceError:
            results.append([])
    assert_same_bits(results[1], results[0])
    assert_same_bits([loaded.parameters], [net.parameters])


@share_of_examples(4)
@given(trained_nets(), st.dictionaries(st.text(), st.text()))
def test_files_of_a_loaded_net_are_those_of_the_saved_one(trained, metadata):
    net, *_ = trained
    assume(metadata.keys().isdisjoint({"chainrule", "chainrule.run"}))  # which are the package's own
    with new_path() as path:
        net.save(path, metadata)
        content = path.read_bytes()
        assert {name: text for name, text in read_metadata(path).items() if name != "chainrule"} == metadata
        Net.load(path).save(path, metadata)
        again, ours = (json.loads(text) for text in (read_metadata(path)["chainrule"], described(content)))
        assert again == ours
        # Entries of the metadata are in no order.
        assert len(path.read_bytes()) == len(content)


def described(content):
    """What a file says of its net."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]["chainrule"]


@given(net_arguments(), st.binary(min_size=64, max_size=64))
def test_parameters_of_any_bits_are_kept(arguments, noise):
    net = Net(**arguments)
    net.parameters.view(np.uint8)[:] = np.resize(np.frombuffer(noise, np.uint8), net.parameters.nbytes)
    assert through_a_file(net).parameters.tobytes() == net.parameters.tobytes()
