"""The array API of the elementwise losses; the pointer API is in elementwise.pxd."""
cimport numpy as cnp
from libc.stdint cimport int64_t

# Shared with cross entropy.
cdef int refuse_total(double total, cnp.ndarray like, str op) except -1
cdef bint is_mean(object reduction, str op) except -1
cdef cnp.ndarray weight_array(
    object weight, int64_t n, cnp.ndarray like, str op, str name, str as_name
)

cdef inline bint is_none(object reduction):
    return reduction == "none"
