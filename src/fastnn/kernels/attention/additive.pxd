"""Additive scores by pointer, without the GIL: s (batch, n_queries, n_keys) from q (batch, n_queries, n), k (batch, n_keys, n) and w (n), all C-ordered.

Backward adds to dq, dk and dw. Both return 0; sizes are not negative, and pointers are there where there are elements.
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
