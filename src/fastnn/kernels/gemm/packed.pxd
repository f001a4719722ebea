"""A packed weight, used by arrays.pyx."""
from libc.stdint cimport int64_t


cdef class PackedMatrix:
    cdef void *data     # what pack_whole (loops.pxd) or low_pack (low.pxd) wrote
    cdef int typenum, layout
    cdef int64_t k, n
    cdef readonly int64_t nbytes
    cdef object __weakref__
