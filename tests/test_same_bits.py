"""The same bits for any number of threads, and of lanes: after fits, steps and predictions, of nets of every size."""

from __future__ import annotations

import json

import pytest

import chainrule
from helpers import run_python

#: Around the ranges that threads share: lines of the cache, panels of 64 columns, chunks of 256 rows.
SHAPES = [
    ([3, 4, 1], 32, 100),
    ([16, 64, 64, 1], 64, 200),
    ([64, 128, 128, 10], 128, 300),
    ([100, 257, 129, 33], 300, 640),
    ([784, 256, 128, 10], 128, 256),
    ([400, 520, 500, 1], 256, 512),
    ([7, 700, 1], 96, 200),
    ([3, 4, 1], 1, 50),
    ([8, 32, 1], 33, 100),
    ([5, 8, 7, 3], 300, 500),
]

SCRIPT = """
import hashlib, json, sys
import numpy as np
from chainrule import Net, _core, threads

shapes, count = json.loads(sys.argv[1]), int(sys.argv[2])
_core.thread_limit = lambda: count  # more than this machine has, too
digests = []
for sizes, batch_size, rows in shapes:
    for dtype in ("float32", "float64"):
        random = np.random.default_rng(0)
        X, Y = random.standard_normal((rows, sizes[0])), random.random((rows, sizes[-1]))
        net = Net(sizes, hidden="tanh", output="sigmoid", loss="log_loss", dtype=dtype, seed=1, threads=count)
        history = net.fit(X, Y, epochs=2, batch_size=batch_size, l2=0.01, validation=(X, Y))
        step = net.step(X, Y, "adam")
        outputs = net.forward(X)
        loss = net.backward(Y)
        parts = (net.parameters, net.gradients, outputs, net.predict(X), history.loss, history.validation_loss)
        other = Net(sizes, hidden="gelu", output="identity", loss="log_cosh", dtype=dtype, seed=1, threads=count,
                    dropout=0.2, input_noise=0.1)
        other.fit(X, Y, epochs=2, batch_size=batch_size, optimizer="nadam", l1=0.01, clip_norm=0.5, max_norm=2.0)
        parts += (other.parameters, other.input_gradient(X, Y))
        digest = hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in (*parts, step, loss)))
        digests.append(digest.hexdigest())
print(json.dumps([digests, threads.resolve(count)]))
"""


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_results_have_the_bits_of_one_thread(threads):
    one, several = (json.loads(run_python(SCRIPT, json.dumps(SHAPES), count).stdout) for count in (1, threads))
    assert (one[1], several[1]) == (1, threads)
    assert one[0] == several[0]


def test_results_have_the_same_bits_on_v3_and_v4():
    """v2 has no fused multiply-add, and differs."""
    isas = {"x86-64-v3", "x86-64-v4"}
    if not isas <= set(chainrule.build_info()["available_isas"]):
        pytest.skip("needs a processor that runs both x86-64-v3 and x86-64-v4, to compare them")
    digests = [run_python(SCRIPT, json.dumps(SHAPES), 1, CHAINRULE_ISA=isa).stdout for isa in sorted(isas)]
    assert digests[0] == digests[1]
