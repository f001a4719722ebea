"""A packed weight, used by arrays.pyx."""
from libc.stdint cimport int64_t


cdef class PackedMatrix:
    cdef void *data     # the panels that pack_whole (loops.pxd) wrote
    cdef int typenum
    cdef int64_t k, n
    cdef readonly int64_t nbytes
    cdef object __weakref__
