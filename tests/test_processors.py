"""Older processors, emulated: an instruction that they lack would end the interpreter."""

from __future__ import annotations

import shutil

import pytest

from helpers import run_python
from test_kernels import ISAS

QEMU = shutil.which("qemu-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None or "x86-64-v2" not in ISAS, reason="needs qemu-user, and x86-64")


@pytest.mark.parametrize(("processor", "isa"), [("Nehalem", "x86-64-v2"), ("Haswell", "x86-64-v3")])
def test_the_kernels_are_those_of_the_processor(processor, isa):
    script = f"""
import chainrule, test_kernels
assert chainrule.build_info()["isa"] == chainrule.build_info()["available_isas"][0] == {isa!r}
test_kernels.check_fits()
"""
    run_python(script, emulator=[QEMU, "-cpu", processor], timeout=600, CHAINRULE_ISA="")
