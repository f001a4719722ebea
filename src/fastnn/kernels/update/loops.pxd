"""Loops over flat arrays with threads, for the optimizer steps."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport fastnn_step, real

cdef int update_flat(
    int64_t n, real *p, const real *g, real *m, real *v, real *c, const fastnn_step *step,
    int64_t n_stops, const int64_t *stops
) noexcept nogil
cdef int scale_real(int64_t n, double factor, real *x) noexcept nogil
