"""Attention of a few queries to many keys, on the record of attention_parts.pxd; attention_forward takes it where it is the faster."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from .parts cimport Attention
cdef bint is_few(const Attention *a) noexcept nogil
cdef int attention_few(const Attention *a, real *out, const int64_t *os, real *lse,
                       real *normalizer) noexcept nogil
