"""Packed weights, kept for many products: the panels of loops.pyx, or 16 and 8 bits (low.pyx)."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport call_typed, real_type, stride
from ..ground.dispatch cimport FASTNN_BF16
from ..ground.memory cimport give, take
from ..ground.scalars cimport choice
from .loops cimport PANELS, pack_whole, packed_size
from .strips cimport FORMATS, low_bytes, low_pack

cnp.import_array()


cdef class PackedMatrix:
    """A matrix (k, n) packed into panels, which `matmul` takes as b.

    `pack` makes one; it never changes.

    Attributes
    ----------
    shape : (int, int)
    dtype : numpy.dtype
        Of the arrays that it is multiplied with.
    format : str
        That of the weights: "float32", "float64", "bf16", "int8" or "int8_g32".
    nbytes : int
        Memory used. It is a little more than that of the weights: columns are padded to whole
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

    @property
    def format(self):
        return self.dtype.name if self.layout == PANELS else FORMATS[self.layout - FASTNN_BF16]

    def __reduce__(self):
        raise TypeError("a PackedMatrix cannot be pickled or copied: it is laid out for this "
                        "process; pickle the matrix and pack it again")

    def __repr__(self):
        form = "" if self.layout == PANELS else f", format={self.format!r}"
        return f"PackedMatrix(shape={self.shape}, dtype={self.dtype}{form})"


cdef int take_for(PackedMatrix packed) except -1:
    packed.data = take(packed.nbytes)
    if packed.data is NULL:
        raise MemoryError(f"pack: no memory for {packed.nbytes} bytes")
    return 0


def pack(b, format=None):
    """Pack a matrix once for many products: ``matmul(a, pack(b))`` packs nothing.

    Parameters
    ----------
    b : ndarray of float32 or float64, shape (k, n), any strides
        Copied; later changes to b do not affect the packed matrix.
    format : str, optional
        How to store a float32 b; by default as it is. "bf16" rounds it to bfloat16, half the bytes.
        "int8" rounds each column to integers from -127 to 127 times a scale, a quarter of the
        bytes; more than four rows of a are then rounded to 8 bits, too. "int8_g32" has a scale for
        each 32 rows of a column and rounds nothing else. See docs/low-precision.md.

    Returns
    -------
    PackedMatrix
        Laid out for this process's instruction set; it cannot be pickled.

    Raises
    ------
    TypeError
        If b is not an array of float32 or float64, or not of float32 with a format.
    ValueError
        If b is not 2-D, or the format is unknown.

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
    cdef int code = 0 if format is None else FASTNN_BF16 + choice(format, FORMATS, "pack", "format")
    packed.typenum, packed.k, packed.n, packed.layout = typenum, k, n, code if code else PANELS
    if code and typenum != cnp.NPY_FLOAT:
        raise TypeError(f"pack: format {format!r} needs a b of float32, got {x.dtype}")
    if code:
        packed.nbytes = low_bytes(code, k, n)
        take_for(packed)
        with nogil:
            low_pack(code, k, n, <const float*>data, rs, cs, packed.data)
        return packed
    packed.nbytes = cnp.PyArray_ITEMSIZE(x) * call_typed(
        typenum, False, packed_size[float], packed_size[double], k, n, NULL
    )
    take_for(packed)
    call_typed(
        typenum, True, pack_whole[float], pack_whole[double], k, n, data, rs, cs, packed.data
    )
    return packed
