"""64-byte-aligned blocks: scratch for kernels, and recycled storage for large results.

A block returns to the pool when the last array that views it dies, so the arrays of a training step
reuse the blocks of the step before, without page faults or mmap. The pool (pool.h) keeps at most
512 MiB of free blocks and takes no locks.
"""
import numpy as np

cimport numpy as cnp

from .scalars cimport integer
from .scalars import value_of

cnp.import_array()

cdef extern from "pool.h" nogil:
    void *pool_take(int64_t) noexcept
    void pool_give(void *) noexcept
    int64_t pool_trim() noexcept
    int64_t pool_bytes_kept() noexcept

cdef enum:
    # Buffers of at least this size come from the pool (docs/tuning.md): a fresh allocation would
    # page-fault on first touch.
    RECYCLED_FROM = 16384


cdef void *take(int64_t bytes) noexcept nogil:
    return pool_take(bytes)


cdef void give(void *block) noexcept nogil:
    pool_give(block)


cdef class Block:
    """Owner of one block of the pool, kept alive by the arrays that view it."""
    cdef void *start

    def __dealloc__(self):
        pool_give(self.start)


cdef cnp.ndarray new_array(int ndim, cnp.npy_intp *shape, int typenum):
    """Return an uninitialized C-ordered array, from the pool if it is large."""
    cdef int64_t size = 8 if typenum == cnp.NPY_DOUBLE else 4
    cdef int i
    if typenum != cnp.NPY_DOUBLE and typenum != cnp.NPY_FLOAT:
        raise TypeError("fastnn: a new array must be of float32 or float64")
    for i in range(ndim):
        size *= shape[i]
    if size < RECYCLED_FROM:
        return cnp.PyArray_EMPTY(ndim, shape, typenum, 0)
    cdef Block block = Block.__new__(Block)
    block.start = pool_take(size)
    if block.start is NULL:
        raise MemoryError(f"fastnn: no memory for {size} bytes")
    cdef cnp.ndarray array = cnp.PyArray_SimpleNewFromData(ndim, shape, typenum, block.start)
    cnp.set_array_base(array, block)
    return array


def empty(shape, dtype=np.float32):
    """Return an uninitialized C-ordered array from the recycling pool.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : float32 (default) or float64

    Raises
    ------
    TypeError
        If dtype is another type.
    ValueError
        If a dimension is negative, there are more than 32, or the size in bytes overflows.
    MemoryError
        If there is no memory for it.
    """
    cdef cnp.npy_intp dims[32]
    if isinstance(shape, np.ndarray) and np.ndim(shape) == 1:
        shape = shape.tolist()
    shape = shape if isinstance(shape, (tuple, list)) else (shape,)
    sizes = tuple([integer(n, "empty", "shape") for n in shape])
    text = f"({', '.join(map(value_of, sizes))})"
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError("empty: dtype must be float32 or float64, "
                        f"got {value_of(dtype)}") from None
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"empty: dtype must be float32 or float64, got {kind}")
    if len(sizes) > 32 or min(sizes, default=0) < 0:
        raise ValueError(f"empty: {text} is not the shape of an array")
    total = kind.itemsize
    for d in sizes:
        total *= max(d, 1)
    if total >= 2**62:
        raise ValueError(f"empty: an array of shape {text} is too large")
    for i, d in enumerate(sizes):
        dims[i] = d
    return new_array(<int>len(sizes), dims, kind.num)


def pool_bytes():
    """Return the bytes of the free blocks that the pool keeps."""
    return pool_bytes_kept()


def trim():
    """Release the pool's free blocks to the system and return their bytes."""
    return pool_trim()
