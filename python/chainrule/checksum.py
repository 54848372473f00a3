"""The checksum of a model file: a bit that has changed since, on a disk or on the way, makes no wrong number.

It ends the JSON text ``chainrule`` of the metadata, and is the CRC-32 of zlib over each entry of the metadata (its
name, a zero byte, its text with zeros for the eight digits of the checksum, a zero byte), then over each tensor (its
name, a zero byte, its bytes), both in the order of their names. It is no entry of its own, for entries are written in
any order, and one net would make different files. Files of other programs, and of older versions, have none.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_CHECKSUM", "check_checksum", "with_checksum"]

#: Stands for the checksum until it is known.
NO_CHECKSUM = "00000000"

#: Where the text has it.
PLACE = re.compile(r'(?<="checksum": ")[0-9a-f]{8}(?="\}\Z)')

Tensors = dict[str, NDArray[Any]]


def with_checksum(tensors: Tensors, metadata: dict[str, str]) -> dict[str, str]:
    """Return metadata whose text ``chainrule`` has the checksum in place of `NO_CHECKSUM`."""
    return _put(metadata, _compute(tensors, metadata))


def check_checksum(tensors: Tensors, metadata: dict[str, str]) -> None:
    """Raise ValueError if there is a checksum, and it is that of other contents."""
    found = PLACE.search(metadata.get("chainrule", ""))
    if found is None:
        return
    expected = _compute(tensors, _put(metadata, NO_CHECKSUM))
    if found[0] != expected:
        raise ValueError(
            f"the checksum of its contents is {expected}, and it says {found[0]}: it is damaged, or was changed by "
            f"another program, which has to leave the 'checksum' of 'chainrule' out"
        )


def _put(metadata: dict[str, str], digits: str) -> dict[str, str]:
    return metadata | {"chainrule": PLACE.sub(digits, metadata["chainrule"])}


def _compute(tensors: Tensors, metadata: dict[str, str]) -> str:
    crc = 0
    for name in sorted(metadata):
        crc = zlib.crc32(_encode(f"{name}\0{metadata[name]}\0"), crc)
    for name in sorted(tensors):
        crc = zlib.crc32(_encode(f"{name}\0"), crc)
        # As bytes, for there are dtypes of files that have no buffer of their own.
        crc = zlib.crc32(np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # which JSON may hold
