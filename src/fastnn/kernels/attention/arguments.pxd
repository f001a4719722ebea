"""Check the array arguments of attention and fill in the record of parts.pxd.

Their error messages are written here alone.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

from .parts cimport Attention

cdef class Arguments:
    # The record, and the arrays that own the memory it points to.
    cdef Attention a
    cdef int typenum
    cdef cnp.ndarray q, k, v, lengths, mask

cdef Arguments read_arguments(str op, object q, object k, object v, object causal, object lengths,
                              object mask, object scale, object dropout_p, object seed,
                              object step, object window)
cdef void *bias_gradient(Arguments args, object dbias) except? NULL
cdef cnp.ndarray contiguous_last(cnp.ndarray x)
cdef void strides_of(cnp.ndarray x, int64_t *strides) noexcept
