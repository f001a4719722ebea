"""C := act(alpha x B + beta C + bias) for one row x: B is read once, in place, at the speed of memory. Rows of B or columns of B are contiguous."""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport NO_MEMORY, OK
from ..ground.dispatch cimport add_run, gemv_columns, gemv_finish, gemv_rows, real
from .loops cimport Product, balanced, ceil_div
from ..ground.memory cimport give, take
from ..ground.sums cimport FOLD
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    GEMV_GRAIN = 100_000        # elements of the matrix likewise. 128 x 512: 2.3 us by one thread, 5.8 by two; 128 x 1,024: 4.6 and 4.9
    GEMV_STRIP = 4096           # columns whose sums stay in the L1 cache meanwhile
    CACHED = 16 << 20           # bytes that a last-level cache is taken to hold
    LINE = 16                   # columns in a cache line: threads do not write to the same one


cdef void sum_rows(int64_t k, int64_t n, const real *x, const real *b, int64_t ldb, real *y,
                   real *part) noexcept nogil:
    """y = x B, rows of B contiguous. After the first FOLD rows, each FOLD are summed in part."""
    cdef int64_t p, block = balanced(k, FOLD, 1)
    gemv_rows(min(block, k), n, x, b, ldb, y)
    p = block
    while p < k:
        gemv_rows(min(block, k - p), n, x + p, b + p * ldb, ldb, part)
        add_run(n, part, y)
        p += block


cdef void row_share(int team, int thread, const Product *g, const real *x, real *y) noexcept nogil:
    """This thread's columns of the row C = x B, in strips whose sums stay in the L1 cache. A column is summed alike wherever it is cut."""
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
                    NULL if g.bias is NULL else <const real*>g.bias + j * g.incbias, g.incbias, g.activation,
                    NULL if g.preact is NULL else <real*>g.preact + j * g.csc)
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
