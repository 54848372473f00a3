"""What both targets share: coverage of chainrule where atheris is, limits of memory, and the loop of libFuzzer."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable

__all__ = ["instrumented", "run"]

#: Memory that one input may take: so much, and so many bytes for each of its own.
FREE_BYTES = 64 << 20
BYTES_PER_BYTE = 2000

#: The process's address space, so that a mistake ends the process and not the machine.
ADDRESS_SPACE = 6 << 30


def instrumented() -> contextlib.AbstractContextManager[object]:
    """Count branches of what is imported inside; do nothing where there is no atheris, as in the tests."""
    try:
        import atheris
    except ImportError:
        return contextlib.nullcontext()
    return atheris.instrument_imports(include=["chainrule"])


def run(
    test_one_input: Callable[[bytes], object], custom_mutator: Callable[[bytes, int, int], bytes] | None = None
) -> None:
    """Fuzz until time is up or something is found; the arguments are libFuzzer's."""
    import atheris

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))

    def bounded(content: bytes) -> None:
        before = _peak_bytes()
        test_one_input(content)
        taken = _peak_bytes() - before
        if taken > FREE_BYTES + BYTES_PER_BYTE * len(content):
            raise AssertionError(f"{len(content)} bytes of input took {taken >> 20} MB of memory")

    options = {} if custom_mutator is None else {"custom_mutator": custom_mutator}
    atheris.Setup([*sys.argv, "-timeout=300"], bounded, **options)
    atheris.Fuzz()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
