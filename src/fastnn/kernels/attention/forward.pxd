"""The forward pass of softmax attention, on the record of parts.pxd.

out (batch, heads, n_queries, dv) has the strides os. lse (batch, heads, n_queries) and normalizer
(2, batch, heads, n_queries) are C-contiguous or NULL. The normalizer is a shift and a factor for
each query, P = factor 2^(score log2(e) - shift), which stay accurate where a large lse does not.
weights (batch, heads, n_queries, n_keys) is C-contiguous. The functions return 0 or 1 (no memory).
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from .parts cimport Attention, Blocks

cdef int attention_forward(const Attention *a, real *out, const int64_t *os, real *lse,
                           real *normalizer) noexcept nogil
cdef int attention_weights(const Attention *a, const real *normalizer,
                           real *weights) noexcept nogil
cdef void score_tile(
    const Attention *a, const Blocks *s, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t k0,
    int64_t keys, const real *k, const int64_t *limit, real *scores
) noexcept nogil
