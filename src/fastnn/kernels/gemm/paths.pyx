"""The matrix product C := act(alpha A B + beta C + bias), and which path computes it.

C is m x n, A m x k and B k x n, each with any row and column stride. `choose_path` selects:

- One row or one column reads the matrix once, in place (row.pyx), and so do a few rows or columns
  if the matrix is contiguous along k.
- A small C with a long k is divided over k.
- If C has fewer columns than a vector has lanes, C^T may be computed instead.
- Weights of 16 and 8 bits have products of their own (low.pyx).
- Everything else takes the five loops of loops.pyx.

On every path an element of C is the same sum: chains of multiply-adds over block_k(k) terms, which
are added to beta C one after the other. Its bits depend on its row of A, its column of B and k: not
on m, n, strides, packing, caches or the number of threads. Accuracy, elementwise, as for any order
of summation (Higham 2002, section 3.5): |C - C_exact| <= (k + 3) eps (|A| |B| + |bias|).
"""
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from ..ground.dispatch cimport (FASTNN_ACT_NONE, FASTNN_ACT_LAST, add_run, few_rows, gemv_finish,
                                real, tile_columns, tile_rows, vector_lanes)
from .row cimport contiguous_rows, row_scratch, row_share, run_row
from .low cimport multiply_low
from .loops cimport (CHAIN, PANELS, STRIDED, Blocks, Product, balanced, block_k, ceil_div,
                     choose_blocks, panel_count, worker)
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.overlap cimport elements_collide, overlap
from ..ground.sums cimport FOLD
from ..ground.threads cimport run_team, share, threads_for

cdef enum:
    # Thresholds are measured in docs/tuning.md.
    LONGEST = FOLD * CHAIN      # longest k of one product: FOLD sums of CHAIN terms
    SPLIT_TERMS = 2048          # from this k on
    SPLIT_ROUND = 64            # chains whose sums are held at a time
    TAIL_COLUMNS = 128          # up to this many columns, a narrow last vector is cut off

cdef enum Path:
    LOOPS
    LOOPS_TRANSPOSED
    ROW         # a row, or a few rows, times B
    COLUMN      # A times a column, or a few columns
    OVER_K      # k divided into parts


cdef Path choose_path(const Product *g, const real *t) noexcept nogil:
    """Choose the path from the shape and the strides. The choice changes no bit."""
    cdef int64_t lanes = vector_lanes(t), tiles = ceil_div(g.m, tile_rows(t)) * panel_count(g.n, t)
    # C fills at most 5/7 of one or two vectors, such as 10 of 16 lanes or 17 of 32.
    cdef bint narrow = g.n <= 2 * lanes and 7 * g.n <= 5 * ceil_div(g.n, lanes) * lanes
    if g.k == 0:
        return LOOPS
    if g.m == 1 and (g.csb == 1 or g.rsb == 1):
        return ROW
    if g.n == 1 and (g.rsa == 1 or g.csa == 1):
        return COLUMN
    if (g.m <= few_rows(t) or (g.m <= 2 * few_rows(t) and g.n <= lanes)) and (
            g.rsb == 1 and g.csb != 1):
        return ROW
    if g.n <= few_rows(t) and 2 * g.n <= lanes and g.csa == 1 and g.rsa != 1:
        return COLUMN
    if g.k >= SPLIT_TERMS and tiles < machine.split_tiles:
        return OVER_K
    if g.csc != 1 and g.rsc == 1 and g.bias is NULL:        # column-major C
        return LOOPS_TRANSPOSED
    if narrow and g.rsa == 1 and g.m >= tile_columns(t) and g.bias is NULL:
        return LOOPS_TRANSPOSED
    return LOOPS


cdef Product transposed(const Product *g) noexcept nogil:
    """Return the product C^T := B^T A^T.

    A bias then runs along the rows of C^T, which only row.pyx supports (incbias = 0).
    """
    cdef Product t = g[0]
    t.m, t.n, t.a, t.b = g.n, g.m, g.b, g.a
    t.rsa, t.csa, t.rsb, t.csb, t.rsc, t.csc = g.csb, g.rsb, g.csa, g.rsa, g.csc, g.rsc
    t.incbias = 0
    return t


cdef bint cut_tail(const Product *g, Product *head, Product *tail, const real *t) noexcept nogil:
    """True if the last vector of columns is at most a quarter full and should be a product itself.

    Sets head and tail to the two products.
    """
    cdef int64_t lanes = vector_lanes(t), rest = g.n % lanes, cut = g.n - rest
    if rest == 0 or cut == 0 or 4 * rest > lanes or g.n > TAIL_COLUMNS or g.format != STRIDED:
        return False
    if g.k == 0:        # row.pyx would not store C
        return False
    if (not (g.csa == 1 and rest <= few_rows(t))
            and not (g.rsa == 1 and g.m >= tile_columns(t) and g.bias is NULL)):
        return False
    head[0] = tail[0] = g[0]
    head.n, tail.n = cut, rest
    tail.b = <const real*>g.b + cut * g.csb
    tail.c = <real*>g.c + cut * g.csc
    tail.bias = NULL if g.bias is NULL else <const real*>g.bias + cut * g.incbias
    tail.preact = NULL if g.preact is NULL else <real*>g.preact + cut * g.csc
    return True


cdef void head_and_tail(
    int team, int thread, const Product *head, const Blocks *s, real *scratch, const Product *tail,
    const real *x, const Blocks *s_tail, real *scratch_tail
) noexcept nogil:
    """Compute this thread's share of both products; the tail is transposed.

    x has the rows of the tail for row.pyx, or is NULL: the tail takes the five loops.
    """
    worker(team, thread, head, s, scratch)
    if x is not NULL:
        row_share(team, thread, tail, x, scratch_tail)
    else:
        worker(team, thread, tail, s_tail, scratch_tail)


cdef int run_with_tail(const Product *head, const Product *tail, const real *t) noexcept nogil:
    """Compute head and tail in one parallel region."""
    cdef Blocks s, s_tail
    cdef Product other = transposed(tail)
    cdef bint by_rows = tail.csa == 1
    cdef int team = threads_for(2.0 * head.m * head.n * head.k, machine.flops_grain)
    cdef int64_t size, size_tail
    cdef real *scratch
    cdef const real *x = NULL
    choose_blocks(head, &s, t)
    size = s.size_b + team * s.size_a
    if by_rows:
        size_tail = row_scratch(&other)
    else:
        choose_blocks(&other, &s_tail, t)
        size_tail = s_tail.size_b + team * s_tail.size_a
    scratch = <real*>take((size + size_tail) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    if by_rows:
        x = contiguous_rows(&other, scratch + size + other.m * other.n)
    run_team(team, head_and_tail[real], head, &s, scratch, &other, x, &s_tail, scratch + size)
    give(scratch)
    return OK


cdef int run_loops(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product head, tail
    cdef int team = (
        threads_for_packed(g.m, <double>g.k * g.n) if g.format == PANELS
        else threads_for(2.0 * g.m * g.n * g.k, machine.flops_grain)
    )
    cdef real *scratch = NULL
    if g.format == PANELS and g.m == 1 and g.k > 0:
        return run_row(g, team, t)
    if cut_tail(g, &head, &tail, t):
        return run_with_tail(&head, &tail, t)
    choose_blocks(g, &s, t)
    if s.size_a + s.size_b > 0:
        scratch = <real*>take((s.size_b + team * s.size_a) * <int64_t>sizeof(real))
        if scratch is NULL:
            return NO_MEMORY
    run_team(team, worker[real], g, &s, scratch)
    give(scratch)
    return OK


cdef void over_k_share(
    int team, int thread, const Product *g, const Blocks *s, int64_t start, int64_t count,
    real *sums, real *scratch
) noexcept nogil:
    """Compute this thread's chains: sums[i] = A(:, block i) B(block i, :), each m x n.

    i counts from the block of k that begins at `start`.
    """
    cdef Product g_i = g[0]
    cdef int64_t i, first, last, p
    scratch += thread * (s.size_a + s.size_b)
    share(count, team, thread, &first, &last)
    g_i.alpha, g_i.beta, g_i.bias, g_i.preact, g_i.activation = 1, 0, NULL, NULL, FASTNN_ACT_NONE
    g_i.rsc, g_i.csc = g.n, 1
    for i in range(first, last):
        p = start + i * s.kc
        g_i.k = min(s.kc, g.k - p)
        g_i.a = <const real*>g.a + p * g.csa
        g_i.b = <const real*>g.b + p * g.rsb
        g_i.c = sums + i * g.m * g.n
        worker(1, 0, &g_i, s, scratch)


cdef void finish_rows(const Product *g, bint first, bint last, real *sums) noexcept nogil:
    """Add sums (m, n) to C as the last store of a tile does; sums are overwritten."""
    cdef int64_t i
    for i in range(g.m):
        gemv_finish(g.n, <real>g.alpha, sums + i * g.n, <real>(g.beta if first else 1),
                    <real*>g.c + i * g.rsc, g.csc, <const real*>g.bias if last else NULL, 1,
                    g.activation if last else FASTNN_ACT_NONE,
                    <real*>g.preact + i * g.rsc if last and g.preact is not NULL else NULL)


cdef int run_over_k(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product first = g[0]
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, machine.flops_grain)
    cdef int64_t i, kc = block_k(g.k), blocks = ceil_div(g.k, kc), block = 0, count, size
    cdef real *sums
    size = g.m * g.n
    first.k = kc
    choose_blocks(&first, &s, t)
    sums = <real*>take((min(<int64_t>SPLIT_ROUND, blocks) * size + team * (s.size_a + s.size_b))
                       * <int64_t>sizeof(real))
    if sums is NULL:
        return NO_MEMORY
    while block < blocks:
        count = min(<int64_t>SPLIT_ROUND, blocks - block)
        run_team(team, over_k_share[real], g, &s, block * kc, count, sums, sums + count * size)
        for i in range(count):
            finish_rows(g, block + i == 0, block + i == blocks - 1, sums + i * size)
        block += count
    give(sums)
    return OK


cdef int run_long(const Product *g, const real *t) noexcept nogil:
    """Compute a product with k > LONGEST as a sum of shorter products.

    As one product, its sums of CHAIN terms would form a chain of more than FOLD.
    """
    cdef Product part = g[0]
    cdef int64_t i, k = balanced(g.k, LONGEST, 1), size = g.m * g.n
    cdef int status = OK
    cdef real *sums = <real*>take(2 * size * <int64_t>sizeof(real))
    if sums is NULL:
        return NO_MEMORY
    part.alpha, part.beta, part.rsc, part.csc = 1, 0, g.n, 1
    part.bias, part.preact, part.activation = NULL, NULL, FASTNN_ACT_NONE
    for i in range(ceil_div(g.k, k)):
        part.k = min(k, g.k - i * k)
        part.a = <const real*>g.a + i * k * g.csa
        part.b = <const real*>g.b + i * k * g.rsb
        part.c = sums if i == 0 else sums + size
        status = multiply(&part, t)
        if status != OK:
            break
        if i > 0:
            add_run(size, sums + size, sums)
    if status == OK:
        finish_rows(g, True, True, sums)
    give(sums)
    return status


cdef int multiply(const Product *g, const real *t) noexcept nogil:
    cdef Product other
    cdef Path path
    if (g.m < 0 or g.n < 0 or g.k < 0
            or g.activation < FASTNN_ACT_NONE or g.activation > FASTNN_ACT_LAST):
        return BAD_ARGUMENT
    if g.m == 0 or g.n == 0:
        return OK
    if g.alpha == 0 and g.k > 0:        # A and B are not read, as in BLAS
        other = g[0]
        other.k = 0
        return multiply(&other, t)
    if g.c is NULL or (g.k > 0 and (g.a is NULL or g.b is NULL)):
        return BAD_ARGUMENT
    if g.format == PANELS:
        return run_loops(g, t)
    if g.format != STRIDED:
        return multiply_low(g, t)
    if g.k > LONGEST:
        return run_long(g, t)
    path = choose_path(g, t)
    if path == ROW:
        return run_row(g, threads_for(<double>g.n * g.k, machine.read_grain), t)
    if path == OVER_K:
        return run_over_k(g, t)
    if path == LOOPS:
        return run_loops(g, t)
    other = transposed(g)
    if path == COLUMN:
        return run_row(&other, threads_for(<double>other.n * other.k, machine.read_grain), t)
    return run_loops(&other, t)


cdef bint overlaps(const Product *g, const real *c) noexcept nogil:
    """True if c shares memory with an operand."""
    if overlap(c, g.m, g.n, g.rsc, g.csc, <const real*>g.a, g.m, g.k, g.rsa, g.csa):
        return True
    if overlap(c, g.m, g.n, g.rsc, g.csc, <const real*>g.b, g.k, g.n, g.rsb, g.csb):
        return True
    return overlap(c, g.m, g.n, g.rsc, g.csc, <const real*>g.bias, 1, g.n, g.n, 1)


cdef int run_checked(const Product *g, const real *t) noexcept nogil:
    """Run a product after checking overlaps, which callers of the pointer API may not have done."""
    if elements_collide(g.m, g.n, g.rsc, g.csc):
        return BAD_ARGUMENT
    if g.c is not NULL and overlaps(g, <const real*>g.c):
        return BAD_ARGUMENT
    if g.preact is not NULL and (overlaps(g, <const real*>g.preact)
                                 or overlap(<const real*>g.preact, g.m, g.n, g.rsc, g.csc,
                                            <const real*>g.c, g.m, g.n, g.rsc, g.csc)):
        return BAD_ARGUMENT
    return multiply(g, t)


# The pointer API.

cdef int gemm_real(
    int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa,
    const real *b, int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc,
    const real *bias, int activation, real *preact
) noexcept nogil:
    cdef Product g = Product(m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, alpha, beta, bias, 1,
                             activation, preact, STRIDED)
    return run_checked(&g, a)


cdef int threads_for_packed(int64_t rows, double elements) noexcept nogil:
    return threads_for(elements * (1 + rows // 4), machine.read_grain)
