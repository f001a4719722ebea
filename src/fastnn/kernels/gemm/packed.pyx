"""Packed weights: the panels of loops.pyx, packed once and kept for many products."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport call_typed, real_type, stride
from .loops cimport pack_whole, packed_size
from ..ground.memory cimport give, take

cnp.import_array()


cdef class PackedMatrix:
    """A matrix (k, n) packed into panels, which `matmul` takes as b.

    `pack` makes one; it never changes.

    Attributes
    ----------
    shape : (int, int)
    dtype : numpy.dtype
    nbytes : int
        Memory used. It is a little more than that of the matrix: columns are padded to whole
        vectors.

    Examples
    --------
    >>> packed = fastnn.pack(np.eye(3, dtype=np.float32))
    >>> packed.shape, packed.dtype
    ((3, 3), dtype('float32'))
    >>> fastnn.matmul(np.float32([[1, 2, 3]]), packed)
    array([[1., 2., 3.]], dtype=float32)
    """
    def __dealloc__(self):
        give(self.data)

    @property
    def shape(self):
        return self.k, self.n

    @property
    def dtype(self):
        return cnp.PyArray_DescrFromType(self.typenum)

    def __reduce__(self):
        raise TypeError("a PackedMatrix cannot be pickled or copied: it is laid out for this "
                        "process; pickle the matrix and pack it again")

    def __repr__(self):
        return f"PackedMatrix(shape={self.shape}, dtype={self.dtype})"


def pack(b):
    """Pack a matrix once for many products: ``matmul(a, pack(b))`` packs nothing.

    Parameters
    ----------
    b : ndarray of float32 or float64, shape (k, n), any strides
        Copied; later changes to b do not affect the packed matrix.

    Returns
    -------
    PackedMatrix
        Laid out for this process's instruction set; it cannot be pickled.

    Raises
    ------
    TypeError
        If b is not an array of float32 or float64.
    ValueError
        If b is not 2-D.

    Examples
    --------
    >>> packed = fastnn.pack(np.float32([[1, 2], [3, 4]]))
    >>> fastnn.matmul(np.float32([[1, 1]]), packed)
    array([[4., 6.]], dtype=float32)
    """
    cdef int typenum = real_type(b, "pack", "b")
    cdef cnp.ndarray x = <cnp.ndarray>b
    if cnp.PyArray_NDIM(x) != 2:
        raise ValueError(f"pack: b must be 2-D, not of shape {np.shape(x)}")
    cdef PackedMatrix packed = PackedMatrix.__new__(PackedMatrix)
    cdef int64_t k = cnp.PyArray_DIM(x, 0), n = cnp.PyArray_DIM(x, 1)
    cdef int64_t rs = stride(x, 0), cs = stride(x, 1)
    cdef void *data = cnp.PyArray_DATA(x)
    packed.typenum, packed.k, packed.n = typenum, k, n
    packed.nbytes = cnp.PyArray_ITEMSIZE(x) * call_typed(
        typenum, False, packed_size[float], packed_size[double], k, n, NULL
    )
    packed.data = take(packed.nbytes)
    if packed.data is NULL:
        raise MemoryError(f"pack: no memory for {packed.nbytes} bytes")
    call_typed(
        typenum, True, pack_whole[float], pack_whole[double], k, n, data, rs, cs, packed.data
    )
    return packed
