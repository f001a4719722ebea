"""The pointer API of additive scores, without the GIL.

q (batch, n_queries, n), k (batch, n_keys, n), w (n,), s (batch, n_queries, n_keys), all
C-contiguous. Backward adds to dq, dk and dw. Both functions return 0 and check nothing: sizes must
not be negative, and only an empty array may be NULL.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

cdef int additive_scores_real(
    int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const real *q, const real *k,
    const real *w, real *s
) noexcept nogil
cdef int additive_scores_backward_real(
    int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const real *ds, const real *q,
    const real *k, const real *w, real *dq, real *dk, real *dw
) noexcept nogil
