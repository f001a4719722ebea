"""C := act(alpha A B + beta C + bias) for one row of A, or a few if columns of B are contiguous.

B is read once, so memory bounds the speed: in place, or as packed panels. The sums are those of the
five loops (loops.pyx): chains of KC terms over k, added to C one after the other.
"""
from libc.stdint cimport int64_t, uintptr_t

from ..ground.arrays cimport NO_MEMORY, OK
from ..ground.dispatch cimport (FASTNN_ACT_NONE, gemv_few, gemv_finish, gemv_panels, gemv_rows,
                                real, vector_lanes)
from .loops cimport PANELS, Product, block_k, block_n, ceil_div, panel_count, panel_start
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport run_team, share

cdef enum:
    LINE = 16                   # columns of a cache line: no two threads write to the same line
    FEW_STRIP = 128             # bytes of the sums of a strip of columns contiguous along k
    SMALL = 4096                # bytes of scratch that a call takes from the stack


cdef void finish(const Product *g, int64_t i, int64_t j, int64_t n, bint first, bint last,
                 real *y) noexcept nogil:
    """Add the sums y of a block of k to columns j..j+n-1 of row i of C."""
    cdef int64_t offset = i * g.rsc + j * g.csc
    cdef const real *bias = NULL
    cdef real *preact = NULL
    if last and g.bias is not NULL:
        bias = <const real*>g.bias + (j if g.incbias else i)
    if last and g.preact is not NULL:
        preact = <real*>g.preact + offset
    gemv_finish(n, <real>g.alpha, y, <real>(g.beta if first else 1), <real*>g.c + offset, g.csc,
                bias, g.incbias, g.activation if last else FASTNN_ACT_NONE, preact)


cdef int64_t row_scratch(const Product *g) noexcept nogil:
    return g.m * g.n + (g.m * g.k if g.csa != 1 else 0)


cdef const real *contiguous_rows(const Product *g, real *scratch) noexcept nogil:
    """Return the rows of A, copied to scratch, k apart, unless they are contiguous."""
    cdef const real *x = <const real*>g.a
    cdef int64_t i, p
    if g.csa == 1:
        return x
    for i in range(g.m):
        for p in range(g.k):
            scratch[i * g.k + p] = x[i * g.rsa + p * g.csa]
    return scratch


cdef void row_share(int team, int thread, const Product *g, const real *x, real *y) noexcept nogil:
    """Compute this thread's columns of C = X B, a strip at a time; y has room for m x n sums."""
    cdef const real *b = <const real*>g.b
    cdef int64_t ldx = g.rsa if g.csa == 1 else g.k, kc = block_k(g.k)
    cdef int64_t strip = machine.strip_of_row // <int64_t>sizeof(real) // LINE * LINE
    cdef int64_t i, j, width, p, kb, first, last
    cdef bint by_rows = g.csb == 1 and g.m == 1
    cdef bint ahead = <double>g.n * g.k * sizeof(real) > machine.fetched_from
    if not by_rows and g.k > kc:    # all blocks of a column in turn: memory is read in order
        strip = FEW_STRIP // <int64_t>sizeof(real)
    share(ceil_div(g.n, LINE), team, thread, &first, &last)
    j = first * LINE
    last = min(g.n, last * LINE)
    while j < last:
        width = min(strip, last - j)
        p = 0
        while p < g.k:
            kb = min(kc, g.k - p)
            if by_rows:
                gemv_rows(kb, width, x + p, b + p * g.rsb + j, g.rsb, y + j)
            else:
                gemv_few(g.m, width, kb, x + p, ldx, b + j * g.csb + p, g.csb, ahead, y + j, g.n)
            for i in range(g.m):
                finish(g, i, j, width, p == 0, p + kb == g.k, y + i * g.n + j)
            p += kb
        j += width


cdef void packed_row_share(int team, int thread, const Product *g, const real *x,
                           real *y) noexcept nogil:
    """Compute this thread's panels of every block of C = x B."""
    cdef int64_t nc = block_n(g.n, x), kc = block_k(g.k), lanes = vector_lanes(x)
    cdef int64_t jc = 0, nb, j, end, p, kb, first, last
    while jc < g.n:
        nb = min(nc, g.n - jc)
        share(panel_count(nb, x), team, thread, &first, &last)
        j, end = panel_start(first, nb, x), min(nb, panel_start(last, nb, x))
        p = 0
        while p < g.k and j < end:
            kb = min(kc, g.k - p)
            gemv_panels(end - j, nb - j, kb, x + p,
                        <const real*>g.b + jc * g.k + p * ceil_div(nb, lanes) * lanes + j * kb,
                        y + jc + j)
            finish(g, 0, jc + j, end - j, p == 0, p + kb == g.k, y + jc + j)
            p += kb
        jc += nb


cdef void one_row(int team, int thread, const Product *g, const real *x, real *y) noexcept nogil:
    if g.format == PANELS:
        packed_row_share(team, thread, g, x, y)
    else:
        row_share(team, thread, g, x, y)


cdef int run_row(const Product *g, int team, const real *t) noexcept nogil:
    """Compute the rows; sums are padded to whole vectors."""
    cdef char[SMALL + 64] stack
    cdef int64_t sums = g.m * g.n + vector_lanes(t)
    cdef int64_t bytes = (row_scratch(g) + vector_lanes(t)) * <int64_t>sizeof(real)
    cdef void *taken = NULL
    cdef real *y = <real*>((<uintptr_t>&stack[0] + 63) // 64 * 64)
    cdef const real *x
    if bytes > SMALL:
        taken = take(bytes)
        if taken is NULL:
            return NO_MEMORY
        y = <real*>taken
    x = contiguous_rows(g, y + sums)
    run_team(team, one_row[real], g, x, y)
    if taken is not NULL:
        give(taken)
    return OK
