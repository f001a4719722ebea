"""Decode: attention of few queries to many keys, on the record of parts.pxd.

attention_forward calls it if is_few, since it is then faster.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from .parts cimport Attention, Blocks

# True if a key/value head has so few queries that packing K and V does not pay.
cdef bint is_few(const Attention *a) noexcept nogil
# The arguments and the result are those of attention_forward; s has the size of a block of keys.
cdef int attention_few(const Attention *a, const Blocks *s, real *out, const int64_t *os, real *lse,
                       real *normalizer) noexcept nogil
