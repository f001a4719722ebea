"""A packed matrix, for matmul.pyx."""
from libc.stdint cimport int64_t


cdef class PackedMatrix:
    cdef void *data     # what pack_whole of loops.pxd wrote
    cdef int typenum
    cdef int64_t k, n
    cdef readonly int64_t nbytes
