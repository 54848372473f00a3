"""The extension is built with the linker's usual hardening (SECURITY.md): what its ELF headers say of it."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule._core

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the extension is an ELF file on Linux")

PT_LOAD, PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 0x6474E551, 0x6474E552
EXECUTABLE, WRITABLE = 1, 2
DT_TEXTREL, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1 = 22, 24, 30, 0x6FFFFFFB
DF_BIND_NOW, DF_1_NOW = 0x8, 0x1
EXTENSION = chainrule._core.__file__


def read_segments(content):
    """Type, flags and contents of the segments of a 64-bit ELF file, in the byte order of both our processors."""
    assert content[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for i in range(count):
        kind, flags, begin, _, _, length = struct.unpack_from("<IIQQQQ", content, offset + i * size)
        yield kind, flags, content[begin : begin + length]


def read_hardening(content):
    """Which of the properties below an ELF file has."""
    segments = list(read_segments(content))
    kinds = [kind for kind, _, _ in segments]
    dynamic = dict(struct.iter_unpack("<QQ", next(each for kind, _, each in segments if kind == PT_DYNAMIC)))
    stack = [flags for kind, flags, _ in segments if kind == PT_GNU_STACK]
    return {
        "the linker's tables are read-only": PT_GNU_RELRO in kinds,
        "all symbols are bound when it is loaded": DT_BIND_NOW in dynamic
        or bool(dynamic.get(DT_FLAGS, 0) & DF_BIND_NOW or dynamic.get(DT_FLAGS_1, 0) & DF_1_NOW),
        "the stack is not executable": bool(stack) and not any(flags & EXECUTABLE for flags in stack),
        "no memory is writable and executable": all(
            flags & (WRITABLE | EXECUTABLE) != WRITABLE | EXECUTABLE for kind, flags, _ in segments if kind == PT_LOAD
        ),
        "code is not relocated": DT_TEXTREL not in dynamic,
    }


@pytest.fixture(scope="module")
def content():
    return Path(EXTENSION).read_bytes()


PROPERTIES = list(read_hardening(Path(EXTENSION).read_bytes())) if sys.platform.startswith("linux") else []


@pytest.mark.parametrize("what", PROPERTIES)
def test_the_extension_is_hardened(content, what):
    assert read_hardening(content)[what]


def test_functions_with_buffers_look_after_their_stack(content):
    if any(name in content for name in (b"__asan_init", b"__tsan_init", b"__gcov_exit")):
        pytest.skip("builds to find faults or to count lines have other checks")
    assert b"__stack_chk_fail" in content


def test_only_the_entry_of_the_module_is_visible():
    try:
        symbols = ["nm", "--dynamic", "--defined-only", "--format=just-symbols", EXTENSION]
        found = subprocess.run(symbols, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs nm of the binutils, 2.38 or newer")
    assert [name for name in found if "chainrule" in name] == []
    assert "PyInit__core" in found


def test_an_executable_stack_would_be_seen(content):
    """The flags of a copy's stack are changed, and the reader sees it."""
    changed = bytearray(content)
    (offset,) = struct.unpack_from("<Q", content, 32)
    place = next(offset + i * 56 for i, (kind, _, _) in enumerate(read_segments(content)) if kind == PT_GNU_STACK)
    struct.pack_into("<I", changed, place + 4, 7)
    assert not read_hardening(bytes(changed))["the stack is not executable"]
