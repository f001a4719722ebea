"""Recycled storage: alignment, reuse, ownership, limits."""

import gc
import threading

import numpy as np
import pytest

import fastnn
from fastnn.kernels.ground import memory


@pytest.fixture(autouse=True)
def empty_pool():
    memory.trim()
    yield
    memory.trim()


@pytest.mark.parametrize(
    "shape", [(), 0, 5, (3, 4), (100, 100), (0, 7), (2, 3, 4, 5), (5_000_000,)]
)
def test_empty(shape, real):
    x = memory.empty(shape, real)
    want = np.empty(shape, real)
    assert x.shape == want.shape and x.dtype == real and x.flags.c_contiguous and x.flags.writeable
    x[...] = 3
    assert (x == 3).all()


def test_large_arrays_are_aligned_and_recycled():
    for n in (16384, 100_000, 3_000_000):
        x = memory.empty(n)
        address = x.ctypes.data
        assert address % 64 == 0
        del x
        assert memory.pool_bytes() >= 4 * n
        again = memory.empty(n - 5)
        assert again.ctypes.data == address
        assert memory.trim() == 0
        del again
        assert memory.trim() >= 4 * n
        assert memory.pool_bytes() == 0


def test_a_view_keeps_its_block():
    x = memory.empty((1000, 1000))
    x[...] = 7
    view = x[500:, 3]
    del x
    gc.collect()
    other = memory.empty((1000, 1000))
    other[...] = 1
    assert (view == 7).all()


def test_results_of_kernels_are_recycled():
    a = np.ones((500, 500), np.float32)
    address = fastnn.relu(a).ctypes.data
    assert fastnn.relu(a).ctypes.data == address


def test_the_pool_is_bounded():
    blocks = [memory.empty(2**25) for _ in range(8)]  # 128 MiB each
    del blocks
    assert 0 < memory.pool_bytes() <= 512 * 2**20


def test_too_large():
    with pytest.raises(MemoryError, match="no memory for"):
        memory.empty(2**46)
    with pytest.raises(ValueError, match="too large"):
        memory.empty((2**40, 2**40))
    a = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (2**26, 1), (0, 0))
    with pytest.raises(MemoryError):
        fastnn.matmul(a, a.T)


@pytest.mark.parametrize("dtype", [int, np.float16, object, "S3", ">f4"])
def test_wrong_types(dtype):
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        memory.empty(3, dtype)


def test_wrong_shapes():
    with pytest.raises(ValueError, match="is not the shape"):
        memory.empty((3, -1))
    with pytest.raises(ValueError, match="is not the shape"):
        memory.empty((1,) * 40)
    with pytest.raises(TypeError):
        memory.empty(2.5)


def test_many_threads_share_the_pool():
    wrong = []

    def work(mark):
        for size in range(20_000, 60_000, 400):
            x = memory.empty(size, np.float32)
            x[...] = mark
            if not (x == mark).all():
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
