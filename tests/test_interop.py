"""Other libraries' arrays are viewed, never copied."""

import array
import ctypes
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
