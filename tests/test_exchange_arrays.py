"""Arrays of other libraries are read where they are, or refused with a TypeError that says why."""

from __future__ import annotations

import array
import ctypes

import numpy as np
import pytest

from helpers import (
    FEATURES,
    OUTPUTS,
    ROWS,
    check_backward_reads_again,
    check_fit_reads_each_epoch,
    draw,
    small_net,
)


class WithArray:
    """Hands out its memory as an ndarray."""

    def __init__(self, memory):
        self.memory = memory

    def __array__(self, dtype=None, copy=None):
        return self.memory


class WithInterface:
    """Says where its memory is."""

    def __init__(self, memory):
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__


class WithDLPack:
    """Offers its memory by the array API's protocol alone."""

    device = 1, 0

    def __init__(self, memory):
        self.memory = memory

    def __dlpack__(self, **options):
        return self.memory.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


class OnGraphicsCard(WithDLPack):
    device = 2, 0

    def __dlpack__(self, **options):
        raise AssertionError("nothing is to be copied from there unasked")

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("nor by this way")


def python_array(memory):
    """An array.array as a matrix, and an ndarray over the same memory."""
    numbers = array.array("f", memory.ravel().tolist())
    given = memoryview(numbers).cast("B").cast("f", memory.shape)
    return given, np.frombuffer(numbers, np.float32).reshape(memory.shape)


def ctypes_array(memory):
    rows, columns = memory.shape
    given = (ctypes.c_float * columns * rows).from_buffer_copy(memory)
    return given, np.frombuffer(given, np.float32).reshape(memory.shape)


def torch_tensor(memory):
    tensor = pytest.importorskip("torch").tensor(memory)
    return tensor, tensor.numpy()


def jax_array(memory):
    given = pytest.importorskip("jax").numpy.array(memory)
    address = ctypes.cast(given.unsafe_buffer_pointer(), ctypes.POINTER(ctypes.c_float))
    return given, np.ctypeslib.as_array(address, memory.shape)


#: Makes of a matrix of float32 another kind of array, and an ndarray over its memory.
KINDS = {
    "__array__": lambda memory: (WithArray(memory), memory),
    "__array_interface__": lambda memory: (WithInterface(memory), memory),
    "__dlpack__": lambda memory: (WithDLPack(memory), memory),
    "memoryview": lambda memory: (memoryview(memory), memory),
    "array.array": python_array,
    "ctypes": ctypes_array,
    "torch": torch_tensor,
    "jax": jax_array,
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_every_method_reads_them(kind):
    net, other = small_net(), small_net()
    X, Y, weights = draw(net, ROWS)
    given_X, given_Y = kind(X.copy())[0], kind(Y.copy())[0]
    np.testing.assert_array_equal(net.predict(given_X), other.predict(X))
    np.testing.assert_array_equal(net.forward(given_X), other.forward(X))
    assert net.backward(given_Y, memoryview(weights)) == other.backward(Y, weights)
    assert net.step(given_X, given_Y, "adam") == other.step(X, Y, "adam")
    assert net.loss(given_X, given_Y) == other.loss(X, Y)
    np.testing.assert_array_equal(net.input_gradient(given_X, given_Y), other.input_gradient(X, Y))
    net.fit(given_X, given_Y, epochs=2, validation=(given_X, given_Y), sample_weight=memoryview(weights))
    other.fit(X, Y, epochs=2, validation=(X, Y), sample_weight=weights)
    np.testing.assert_array_equal(net.parameters, other.parameters)


def test_they_are_read_in_place(kind):
    check_backward_reads_again(*kind(np.random.default_rng(0).standard_normal((ROWS, FEATURES)).astype(np.float32)))


def test_fit_reads_them_in_place(kind):
    check_fit_reads_each_epoch(*kind(np.random.default_rng(0).standard_normal((ROWS, FEATURES)).astype(np.float32)))


def test_a_python_array_is_a_row():
    net = small_net()
    row = array.array("d", [0.5, -1.0, 2.0])
    np.testing.assert_array_equal(net.predict(row), net.predict(np.array(row)))


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "object", "str"])
def test_numbers_that_are_not_real_are_refused(dtype):
    given = WithArray(np.ones((ROWS, FEATURES), dtype))
    with pytest.raises(TypeError, match=r"^X has dtype .*; allowed are bool, integers, float16, float32 and float64"):
        small_net().predict(given)


@pytest.mark.parametrize("spoil", ["complex", "bfloat16", "sparse", "meta"])
def test_tensors_of_other_kinds_are_refused(spoil):
    torch = pytest.importorskip("torch")
    tensor = torch.ones(ROWS, FEATURES)
    given = {
        "complex": lambda: torch.complex(tensor, tensor),
        "bfloat16": tensor.bfloat16,
        "sparse": tensor.to_sparse,
        "meta": lambda: tensor.to("meta"),
    }[spoil]()
    with pytest.raises(TypeError, match="^X (has dtype complex64|cannot be read as an array of numbers)"):
        small_net().predict(given)
    with pytest.raises(TypeError, match="^Y (has dtype complex64|cannot be read as an array of numbers)"):
        small_net().loss(np.ones((ROWS, FEATURES)), given[:, :OUTPUTS] if spoil == "complex" else given)


def test_arrays_on_other_devices_are_refused_with_a_way_out():
    words = r"cannot be read as an array of numbers: it is not in the processor's memory \(DLPack device 2\); copy it"
    given, X = OnGraphicsCard(np.ones((ROWS, FEATURES))), np.ones((ROWS, FEATURES))
    with pytest.raises(TypeError, match=f"^X {words}"):
        small_net().predict(given)
    with pytest.raises(TypeError, match=f"^validation X {words}"):
        small_net().fit(X, X[:, :OUTPUTS], validation=(given, X))


def test_memory_that_is_not_handed_out_is_refused():
    class Locked(WithDLPack):
        def __dlpack__(self, **options):
            raise BufferError("it is locked")

    with pytest.raises(TypeError, match="^X cannot be read as an array of numbers: it is locked"):
        small_net().predict(Locked(np.ones((ROWS, FEATURES))))


def test_reasons_of_the_other_library_are_passed_on():
    with pytest.raises(ValueError, match="^X cannot be read as an array of numbers: .*inhomogeneous"):
        small_net().predict([[1, 2, 3], [1, 2]])
