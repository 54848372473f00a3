"""Other ways to lay out the same numbers in memory."""

from __future__ import annotations

import numpy as np


def misaligned(array):
    """The same numbers, one byte behind an aligned address, as in a memory map behind an odd header."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


def odd_row_stride(array):
    """The same numbers in rows of a structure whose size is no multiple of theirs."""
    record = np.dtype({"names": ["a"], "formats": [(array.dtype, array.shape[1])], "itemsize": array[0].nbytes + 3})
    view = np.zeros(len(array), record)["a"]
    view[...] = array
    assert view.strides[0] % array.itemsize != 0
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def memory_mapped(array, tmp_path):
    path = tmp_path / f"{array.shape}.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


#: Other ways to lay out the same matrix.
LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "some columns of a wider matrix": lambda a: np.hstack([a, a, a])[:, a.shape[1] : 2 * a.shape[1]],
    "rows backwards": lambda a: a[::-1].copy()[::-1],
    "columns backwards": lambda a: a[:, ::-1].copy()[:, ::-1],
    "both backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "transposed view": lambda a: a.T.copy().T,
    "misaligned": misaligned,
    "odd row stride": odd_row_stride,
    "read-only": read_only,
    "list of lists": lambda a: a.tolist(),
    "matrix subclass": lambda a: a.view(type("Subclass", (np.ndarray,), {})),
}
