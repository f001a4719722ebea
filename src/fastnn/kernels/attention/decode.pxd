"""Decode: attention of few queries to many keys, on the record of parts.pxd.

attention_forward calls it if is_few, since it is then faster.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from .parts cimport Attention, Blocks

# Rows of keys and values may be bfloat16 (FASTNN_BF16), or integers to 127 and, behind them, a
# float, their scale (FASTNN_INT8); or 0: reals.
# Bytes of so many numbers of so many heads.
cdef int64_t kept_bytes(int format, int64_t numbers, int64_t heads, int64_t size) noexcept nogil
cdef void keep_row(int format, int64_t n, int64_t size, const void *x, char *y) noexcept nogil
cdef void widen_rows(int format, int64_t rows, int64_t n, const char *x, float *y) noexcept nogil

# True if a key/value head has so few queries that packing K and V does not pay.
cdef bint is_few(const Attention *a) noexcept nogil
# The arguments and the result are those of attention_forward; s has the size of a block of keys.
cdef int attention_few(const Attention *a, const Blocks *s, real *out, const int64_t *os, real *lse,
                       real *normalizer) noexcept nogil
