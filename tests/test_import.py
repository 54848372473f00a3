"""What `import chainrule` costs: NumPy and the core, nothing else."""

from __future__ import annotations

import importlib.metadata

from helpers import run_python


def test_heavy_libraries_are_not_imported():
    script = """
import sys
import chainrule
chainrule.Net([2, 3, 1], seed=0).fit([[0.0, 1.0]], [[1.0]], epochs=2, validation=([[1.0, 1.0]], [[0.0]]))
heavy = {"safetensors", "rich", "matplotlib", "sklearn", "scipy", "pandas", "torch", "jax", "csv", "json", "argparse"}
print(*sorted(heavy & set(sys.modules)))
"""
    assert run_python(script).stdout.split() == []


def test_required_are_numpy_and_safetensors_alone():
    required = [line for line in importlib.metadata.requires("chainrule") or [] if "extra ==" not in line]
    names = sorted(line.split(">")[0].split("=")[0].strip() for line in required)
    assert names == ["numpy", "safetensors"]


def test_version_is_that_of_the_distribution():
    script = "import chainrule; print(chainrule.__version__, chainrule.build_info()['version'])"
    assert run_python(script).stdout.split() == 2 * [importlib.metadata.version("chainrule")]


def test_every_public_name_can_be_had():
    script = """
import chainrule
for name in chainrule.__all__:
    assert getattr(chainrule, name) is not None
assert set(chainrule.__all__) <= set(dir(chainrule))
try:
    chainrule.nothing
except AttributeError as error:
    print(error)
"""
    assert "nothing" in run_python(script).stdout


def test_import_leaves_floating_point_and_signals_alone():
    """No flush-to-zero of subnormals, no signal handlers, no threads, no warnings."""
    script = """
import signal, threading, warnings
import numpy as np
warnings.simplefilter("error")
handlers = [signal.getsignal(number) for number in signal.valid_signals()]
import chainrule
chainrule.Net([2, 300, 1], seed=0).fit(np.ones((2000, 2)), np.ones((2000, 1)), epochs=2)
assert handlers == [signal.getsignal(number) for number in signal.valid_signals()]
tiny = np.float64(5e-324)
assert tiny != 0 and np.float32(1e-45) * np.float32(1) != 0 and tiny * 1 == 5e-324
assert threading.active_count() == 1
"""
    run_python(script)


def test_import_takes_little_longer_than_numpy():
    """At most 15 ms, the best of several runs; where NumPy itself takes long, a quarter of that."""
    script = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import chainrule
print(time.perf_counter() - middle, middle - start)
"""
    runs = [tuple(map(float, run_python(script).stdout.split())) for _ in range(5)]
    ours, numpy = (min(times) for times in zip(*runs, strict=True))
    assert ours < max(0.015, numpy / 4), f"{1000 * ours:.1f} ms, where NumPy takes {1000 * numpy:.1f} ms"
