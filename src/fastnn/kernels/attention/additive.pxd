"""Additive scores by pointer, without the GIL: s (batch, n_queries, n_keys) from q (batch, n_queries, n), k (batch, n_keys, n) and w (n), all C-ordered.

Backward adds to dq, dk and dw. Both return 0; sizes are not negative, and pointers are there where there are elements.
"""
from libc.stdint cimport int64_t

cdef int additive_scores_f32(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const float *q, const float *k, const float *w,
                             float *s) noexcept nogil
cdef int additive_scores_f64(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const double *q, const double *k, const double *w,
                             double *s) noexcept nogil
cdef int additive_scores_backward_f32(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const float *ds, const float *q, const float *k,
                                      const float *w, float *dq, float *dk, float *dw) noexcept nogil
cdef int additive_scores_backward_f64(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const double *ds, const double *q,
                                      const double *k, const double *w, double *dq, double *dk, double *dw) noexcept nogil
