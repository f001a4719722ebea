"""Overlap of two matrices in memory, for the pointer API, which cannot trust its callers.

Disjoint extents settle it almost always, and interleaved column ranges of one wider matrix are
recognized. If neither decides, the matrices count as disjoint.
"""
from libc.stdint cimport int64_t, intptr_t, uintptr_t

from .dispatch cimport real

cdef struct Extent:
    uintptr_t low, high     # addresses of the first byte and past the last


cdef inline Extent extent_of(
    const real *x, int64_t rows, int64_t cols, int64_t rs, int64_t cs
) noexcept nogil:
    cdef int64_t by_rows = (rows - 1) * rs, by_cols = (cols - 1) * cs
    cdef int64_t low = min(<int64_t>0, by_rows) + min(<int64_t>0, by_cols)
    cdef int64_t high = max(<int64_t>0, by_rows) + max(<int64_t>0, by_cols) + 1
    return Extent(
        <uintptr_t>x + <uintptr_t>(low * <int64_t>sizeof(real)),
        <uintptr_t>x + <uintptr_t>(high * <int64_t>sizeof(real))
    )


cdef inline bint overlap(
    const real *c, int64_t m, int64_t n, int64_t rsc, int64_t csc, const real *x,
    int64_t rows, int64_t cols, int64_t rsx, int64_t csx
) noexcept nogil:
    """True if c (m, n) and x (rows, cols) certainly overlap."""
    cdef Extent a, b
    cdef int64_t size = sizeof(real), offset
    if x is NULL or m <= 0 or n <= 0 or rows <= 0 or cols <= 0:
        return False
    a, b = extent_of(c, m, n, rsc, csc), extent_of(x, rows, cols, rsx, csx)
    if a.high <= b.low or b.high <= a.low:
        return False
    if (
        <int64_t>(a.high - a.low) == m * n * size
        and <int64_t>(b.high - b.low) == rows * cols * size
    ):
        return True         # neither has gaps
    if csc != 1 or csx != 1 or rsc != rsx or rsc < n or rsc < cols:
        return False
    offset = (<intptr_t>x - <intptr_t>c) // size % rsc
    # The column of c's matrix at which x begins.
    offset = offset + rsc if offset < 0 else offset
    return offset < n or offset + cols > rsc


cdef inline bint elements_collide(int64_t m, int64_t n, int64_t rs, int64_t cs) noexcept nogil:
    """True if two elements of an (m, n) matrix with strides rs and cs share memory.

    That is, i rs = j cs for some i < m and j < n that are not both 0.
    """
    cdef int64_t a = -rs if rs < 0 else rs, b = -cs if cs < 0 else cs, u = a, v = b
    if m <= 0 or n <= 0:
        return False
    while v != 0:
        u, v = v, u % v
    if u == 0:
        return m > 1 or n > 1
    return b // u < m and a // u < n


cdef inline bint run_overlaps(const real *run, int64_t n, const real *x, int64_t rows, int64_t cols,
                              int64_t rs, int64_t cs) noexcept nogil:
    """True if one of n contiguous reals is an element of x (rows, cols); either may be NULL."""
    cdef Extent a, b
    cdef int64_t i, j, at, size = sizeof(real), step = -cs if cs < 0 else cs
    if run is NULL or x is NULL or n <= 0 or rows <= 0 or cols <= 0:
        return False
    a, b = extent_of(run, 1, n, n, 1), extent_of(x, rows, cols, rs, cs)
    if a.high <= b.low or b.high <= a.low:
        return False
    for i in range(rows):
        # The start of the row relative to the run, and its first element not before the run.
        at = (<intptr_t>x - <intptr_t>run) // size + i * rs + min(<int64_t>0, (cols - 1) * cs)
        j = 0 if at >= 0 or step == 0 else (step - 1 - at) // step
        if j < cols and 0 <= at + j * step < n:
            return True
    return False
