"""Limit the length of sums: a chain has at most about FOLD additions, longer sums are nested.

The partition depends on the number of terms alone, not on threads or on the rows of a product.
"""
from libc.stdint cimport int64_t

from .dispatch cimport add_run, real

cdef enum:
    FOLD = 1024         # terms; FOLD of gemm/gemv.h limits sums within a vector


cdef inline void add_rows(int64_t count, int64_t n, real *rows, int64_t ld, real *y) noexcept nogil:
    """Add `count` rows of n to y, in order; after the first FOLD, each FOLD are summed in place."""
    cdef int64_t i, start = FOLD
    for i in range(min(count, start)):
        add_run(n, rows + i * ld, y)
    while start < count:
        for i in range(start + 1, min(count, start + FOLD)):
            add_run(n, rows + i * ld, rows + start * ld)
        add_run(n, rows + start * ld, y)
        start += FOLD
