"""GEMV: C := act(alpha x B + beta C + bias) for one row x.

The rows or the columns of B are contiguous. B is read once, in place, so memory bounds the speed.
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport NO_MEMORY, OK
from ..ground.dispatch cimport add_run, gemv_columns, gemv_finish, gemv_rows, real
from .loops cimport Product, balanced, ceil_div
from ..ground.memory cimport give, take
from ..ground.sums cimport FOLD
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    GEMV_GRAIN = 100_000        # minimum elements of B per thread (docs/tuning.md)
    GEMV_STRIP = 4096           # columns of a strip; their sums stay in the L1 cache
    CACHED = 16 << 20           # bytes assumed to fit the last-level cache (docs/tuning.md)
    LINE = 16                   # columns of a cache line: no two threads write to the same line


cdef void sum_rows(int64_t k, int64_t n, const real *x, const real *b, int64_t ldb, real *y,
                   real *part) noexcept nogil:
    """Compute y = x B for contiguous rows of B.

    The first block of at most FOLD rows is summed in y. Each later block is summed in `part` and
    added, so that no chain exceeds FOLD terms.
    """
    cdef int64_t p, block = balanced(k, FOLD, 1)
    gemv_rows(min(block, k), n, x, b, ldb, y)
    p = block
    while p < k:
        gemv_rows(min(block, k - p), n, x + p, b + p * ldb, ldb, part)
        add_run(n, part, y)
        p += block


cdef void row_share(int team, int thread, const Product *g, const real *x, real *y) noexcept nogil:
    """Compute this thread's columns of C = x B, a strip at a time.

    The order of a column's sum does not depend on where the columns are divided.
    """
    cdef const real *b = <const real*>g.b
    cdef int64_t j, width, first, last
    cdef bint one_stream = <double>g.n * g.k * sizeof(real) <= CACHED
    share(ceil_div(g.n, LINE), team, thread, &first, &last)
    j = first * LINE
    last = min(g.n, last * LINE)
    while j < last:
        width = min(<int64_t>GEMV_STRIP, last - j)
        if g.csb == 1:
            sum_rows(g.k, width, x, b + j, g.rsb, y + j, y + g.n + j)
        else:
            gemv_columns(g.k, width, one_stream, x, b + j * g.csb, g.csb, y + j)
        gemv_finish(width, <real>g.alpha, y + j, <real>g.beta, <real*>g.c + j * g.csc, g.csc,
                    NULL if g.bias is NULL else <const real*>g.bias + j * g.incbias, g.incbias,
                    g.activation, NULL if g.preact is NULL else <real*>g.preact + j * g.csc)
        j += width


cdef int run_row(const Product *g, const real *t) noexcept nogil:
    cdef int team = threads_for(<double>g.n * g.k, GEMV_GRAIN)
    cdef const real *x = <const real*>g.a
    cdef int64_t p
    cdef real *y = <real*>take((2 * g.n + g.k) * <int64_t>sizeof(real))
    if y is NULL:
        return NO_MEMORY
    if g.csa != 1:
        for p in range(g.k):
            y[2 * g.n + p] = x[p * g.csa]
        x = y + 2 * g.n
    if team == 1:
        row_share(1, 0, g, x, y)
    else:
        with parallel(num_threads=team):
            row_share(team_size(), thread_id(), g, x, y)
    give(y)
    return OK
