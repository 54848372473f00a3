"""What several test files share: problems that suit a net, norms of errors, scripts in a fresh interpreter."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

import chainrule

HERE = Path(__file__).parent

INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]

#: Rows, features and outputs of the problem that the tests of arrays share.
ROWS, FEATURES, OUTPUTS = 6, 3, 2

#: Activations and losses of the five documents, which every peer and the oracle of plain Python know.
CLASSIC_ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu")
CLASSIC_OUTPUTS_AND_LOSSES = [
    *(
        (output, loss)
        for output in (*CLASSIC_ACTIVATIONS, "softmax")
        for loss in ("squared_error", "half_squared_error")
    ),
    ("sigmoid", "log_loss"),
    ("softmax", "cross_entropy"),
]

#: Every output activation, and every loss on some that it may have; the nets have an even number of outputs.
LOSSES_OF_ANY_OUTPUT = ("squared_error", "absolute_error", "huber(0.3)", "quantile(0.2, 0.7)", "log_cosh", "hinge")
OUTPUTS_AND_LOSSES = [
    *((output, "half_squared_error") for output in chainrule.config.ACTIVATIONS),
    *((output, loss) for output in ("identity", "tanh", "softmax") for loss in LOSSES_OF_ANY_OUTPUT),
    *((output, loss) for loss, output in chainrule.config.OUTPUT_OF_LOSS.items()),
    ("softmax", "cross_entropy(0.1)"),
]


def small_net(dtype="float32", **arguments):
    return chainrule.Net([FEATURES, 4, OUTPUTS], dtype=dtype, **{"output": "identity", "seed": 2, **arguments})


def draw(net, rows, seed=0):
    """Inputs, targets that suit the loss of the net, and weights of the rows, in the dtype of the net."""
    random = np.random.default_rng(seed)
    config = net.config
    X = random.standard_normal((rows, config.features)).astype(config.dtype)
    if config.loss.name == "cross_entropy":
        Y = random.integers(0, config.outputs, rows)
    else:
        Y = random.random((rows, config.target_columns)).astype(config.dtype)
        Y = np.sign(Y - 0.5) if config.loss.name == "hinge" else Y
    return X, Y, random.random(rows).astype(config.dtype)


def check_backward_reads_again(given, memory, dtype="float32"):
    """Backward reads the inputs anew, so it sees a change of their memory, which it would not see of a copy's.

    `given` is what the net takes, (rows, features), and `memory` an ndarray over it that may be written to.
    """
    net = chainrule.Net([memory.shape[1], 2], hidden=[], output="identity", seed=0, dtype=dtype)
    _, Y, _ = draw(net, len(memory))
    net.forward(given)
    net.backward(Y)
    first = net.weight_gradients[0].copy()
    memory *= 2
    net.backward(Y)
    np.testing.assert_array_equal(net.weight_gradients[0], 2 * first)


def check_fit_reads_each_epoch(given, memory):
    """Rows are read anew in each epoch: a callback that clears them leaves nothing to learn; arguments as above."""
    net = chainrule.Net([memory.shape[1], 1], hidden=[], output="identity", seed=0)

    def clear(state):
        memory[...] = 0
        net.biases[0][:] = 0

    history = net.fit(given, np.zeros((len(memory), 1), np.float32), epochs=2, callback=clear)
    assert history.loss[0] > 0
    assert history.loss[1] == 0


def name_of(value):
    """Return a short name for a test's parameter, the same in every process: without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60]


def relative_error(actual, expected):
    """The norm of the difference over the norm of what is expected."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    scale = np.linalg.norm(expected.ravel())
    return np.linalg.norm((actual - expected).ravel()) / (scale if scale > 0 else 1.0)


def run_python(script, *arguments, emulator=(), timeout=300, check=True, **environment):
    """Run a script in a fresh interpreter that can import the test files; return the finished process."""
    finished = subprocess.run(
        [*emulator, sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(HERE), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert finished.returncode == 0 or not check, f"ended with {finished.returncode}: {finished.stderr}"
    return finished


def header_and_data(content):
    """Take the bytes of a model file apart, and its checksum out: a changed file is to be refused for the change."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    if description := header["__metadata__"].get("chainrule"):
        header["__metadata__"]["chainrule"] = without_checksum(description)
    return header, content[8 + length :]


def without_checksum(description):
    """Leave the checksum out of the text ``chainrule`` of a file's metadata."""
    description = json.loads(description)
    description.pop("checksum", None)
    return json.dumps(description)


def assemble(header, data):
    """Put the bytes of a safetensors file together."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
