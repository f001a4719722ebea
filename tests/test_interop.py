"""Other libraries' arrays are viewed, never copied."""

import array
import ctypes
import importlib.util
import mmap

import numpy as np
import pytest

import fastnn


def address(x):
    return x.__array_interface__["data"][0]


def test_numpy_arrays_are_themselves():
    x = np.ones((2, 3))[:, ::2]
    assert fastnn.asarray(x) is x


@pytest.mark.parametrize("kind", ["f", "d"])
def test_the_buffer_protocol(kind):
    x = array.array(kind, [1, 2, 3])
    y = fastnn.asarray(x)
    y[1] = 7
    assert y.dtype.char == kind and x[1] == 7
    assert address(fastnn.asarray(memoryview(x))) == x.buffer_info()[0]
    z = (ctypes.c_float * 4)()
    fastnn.kernels.scale(fastnn.asarray(z), 2.0)
    assert address(fastnn.asarray(z)) == ctypes.addressof(z)
    assert not fastnn.asarray(memoryview(x).toreadonly()).flags.writeable


def test_memory_maps():
    with mmap.mmap(-1, 64) as memory:
        x = fastnn.asarray(memory).view(np.float32)
        x[:] = 3
        assert memory[:4] == np.float32(3).tobytes()
        del x


def test_the_array_interface():
    class Owner:
        def __init__(self):
            self.kept = np.arange(6, dtype=np.float32).reshape(2, 3)
            self.__array_interface__ = self.kept.__array_interface__

    owner = Owner()
    assert address(fastnn.asarray(owner)) == address(owner.kept)


def test_dlpack():
    class Owner:
        def __init__(self, device):
            self.kept, self.device = np.arange(6.0), device

        def __dlpack__(self, **options):
            return self.kept.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.device

    owner = Owner((1, 0))
    assert address(fastnn.asarray(owner)) == address(owner.kept)
    with pytest.raises(TypeError, match="this Owner is on another device"):
        fastnn.asarray(Owner((2, 0)))


class DLTensor(ctypes.Structure):
    """dlpack.h: the tensor, its manager and its deleter."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4),  # kind, bits, lanes
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


@pytest.mark.parametrize(("kind", "bits"), [(4, 16), (10, 8)])
def test_a_type_that_numpy_does_not_have(kind, bits):
    """bfloat16 and an 8-bit float, as PyTorch and JAX hand them out."""
    data, shape = (ctypes.c_uint8 * 8)(), (ctypes.c_int64 * 1)(4)
    tensor = DLTensor(
        ctypes.addressof(data), (1, 0), 1, (kind, bits, 1, 0), shape, None, 0, None, None
    )
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = (
        ctypes.py_object,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
    )

    class Tensor:
        dtype = "torch.bfloat16"

        def __dlpack__(self, **_):
            return new(ctypes.addressof(tensor), b"dltensor", None)

        def __dlpack_device__(self):
            return (1, 0)

    if kind == 4 and importlib.util.find_spec("ml_dtypes"):
        data[2:4] = 0x80, 0x3F
        x = fastnn.asarray(Tensor())
        assert x.dtype.name == "bfloat16" and x.astype(np.float32).tolist() == [0, 1, 0, 0]
        assert address(x.view(np.uint16)) == ctypes.addressof(data)
        return
    with pytest.raises(
        TypeError, match=r"type torch\.bfloat16 of this Tensor: convert it to float32"
    ):
        fastnn.asarray(Tensor())


def test_pytorch():
    torch = pytest.importorskip("torch")
    x = torch.ones(3, 4)
    fastnn.asarray(x)[0, 0] = 5
    assert x[0, 0] == 5
    with pytest.raises((BufferError, RuntimeError)):
        fastnn.asarray(torch.ones(3, requires_grad=True))


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    x = pa.array(np.arange(5, dtype=np.float32))
    y = fastnn.asarray(x)
    assert address(y) == x.buffers()[1].address
    np.testing.assert_array_equal(y, np.arange(5))


@pytest.mark.parametrize("wrong", [[1.0, 2.0], 3.0, None, {"a": 1}])
def test_what_has_no_memory_to_view(wrong):
    with pytest.raises(TypeError, match=f"{type(wrong).__name__} offers no memory to view"):
        fastnn.asarray(wrong)
