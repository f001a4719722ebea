"""The matrix product C := act(alpha A B + beta C + bias), and which path computes it.

C is m x n, A m x k and B k x n, each with any row and column stride. `choose_path` selects:

- One row or one column is a GEMV, which reads the matrix once, in place (row.pyx).
- A small C with a long k is divided over k, into parts that depend on the shape alone.
- If C has fewer columns than a vector has lanes, use dot products (dots.pyx) or compute C^T.
- Everything else takes the five loops of loops.pyx.

The bits do not depend on the number of threads. Accuracy, elementwise, as for any order of
summation (Higham 2002, section 3.5): |C - C_exact| <= (k + 3) eps (|A| |B| + |bias|).
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from ..ground.dispatch cimport (FASTNN_ACT_NONE, FASTNN_ACT_LAST, add_run, gemv_finish, real,
                                tile_columns, tile_rows, vector_lanes)
from .dots cimport dots_share, gather_columns
from .row cimport run_row
from .loops cimport Blocks, Product, balanced, ceil_div, choose_blocks, panel_count, worker
from ..ground.memory cimport give, take
from ..ground.overlap cimport elements_collide, overlap
from ..ground.sums cimport FOLD
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    # Thresholds are measured in docs/tuning.md.
    SPLIT_TILES = 8             # with fewer tiles of C than this, a long k is divided
    LONGEST = FOLD * FOLD       # longest k of one product: FOLD partial sums of FOLD terms
    PACKED_GRAIN = 100_000      # minimum elements of a packed B per thread if A has few rows
    DOT_PRODUCTS = 16           # use dot products if k >= this times n, to pay for the lane sums
    DOT_PRODUCTS_FILLED = 48    # the same if C fills more than half a vector
    TAIL_COLUMNS = 128          # up to this many columns, a narrow last vector is cut off

cdef enum Path:
    LOOPS
    LOOPS_TRANSPOSED
    ROW         # a row times B
    COLUMN      # A times a column
    DOTS        # rows of A times columns of B, as dot products: the lanes lie along k
    OVER_K      # k divided into parts


cdef Path choose_path(const Product *g, const real *t) noexcept nogil:
    """Choose the path from the shape and the strides; the number of threads has no influence."""
    cdef int64_t lanes = vector_lanes(t), tiles = ceil_div(g.m, tile_rows(t)) * panel_count(g.n, t)
    # C fills at most 5/7 of one or two vectors, such as 10 of 16 lanes or 17 of 32.
    cdef bint narrow = g.n <= 2 * lanes and 7 * g.n <= 5 * ceil_div(g.n, lanes) * lanes
    cdef int64_t products = DOT_PRODUCTS if 2 * g.n <= lanes else DOT_PRODUCTS_FILLED
    if g.k == 0:
        return LOOPS
    if g.m == 1 and (g.csb == 1 or g.rsb == 1):
        return ROW
    if g.n == 1 and (g.rsa == 1 or g.csa == 1):
        return COLUMN
    if g.k >= 2 * FOLD and tiles < SPLIT_TILES:
        return OVER_K
    if narrow and g.n < lanes and g.csa == 1 and g.k >= products * g.n:
        return DOTS
    if g.csc != 1 and g.rsc == 1 and g.bias is NULL:        # column-major C
        return LOOPS_TRANSPOSED
    if narrow and g.rsa == 1 and g.m >= tile_columns(t) and g.bias is NULL:
        return LOOPS_TRANSPOSED
    return LOOPS


cdef Product transposed(const Product *g) noexcept nogil:
    """Return the product C^T := B^T A^T.

    A bias then runs along the rows of C^T, which only a GEMV supports (incbias = 0).
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
    if rest == 0 or cut == 0 or 4 * rest > lanes or g.n > TAIL_COLUMNS or g.b_is_packed:
        return False
    if g.k == 0:        # dot products without terms would not store C
        return False
    if (not (g.csa == 1 and g.k >= DOT_PRODUCTS * rest)
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
    bint dots, const Blocks *s_tail, real *scratch_tail
) noexcept nogil:
    """Compute this thread's share of both products; tail is transposed unless dots."""
    worker(team, thread, head, s, scratch)
    if dots:
        dots_share(team, thread, tail, scratch_tail)
    else:
        worker(team, thread, tail, s_tail, scratch_tail)


cdef int run_with_tail(const Product *head, const Product *tail, const real *t) noexcept nogil:
    """Compute head and tail in one parallel region.

    The tail is dot products if the rows of A are contiguous, and transposed if the columns are.
    """
    cdef Blocks s, s_tail
    cdef bint dots = tail.csa == 1
    cdef Product other = tail[0] if dots else transposed(tail)
    cdef int team = threads_for(2.0 * head.m * head.n * head.k, GRAIN)
    cdef int64_t size, size_tail
    cdef real *scratch
    choose_blocks(head, &s, t)
    size = s.size_b + team * s.size_a
    if dots:
        size_tail = tail.n * tail.k
    else:
        choose_blocks(&other, &s_tail, t)
        size_tail = s_tail.size_b + team * s_tail.size_a
    scratch = <real*>take((size + size_tail) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    if dots:
        gather_columns(tail, scratch + size)
    if team == 1:
        head_and_tail(1, 0, head, &s, scratch, &other, dots, &s_tail, scratch + size)
    else:
        with parallel(num_threads=team):
            head_and_tail(team_size(), thread_id(), head, &s, scratch, &other, dots, &s_tail,
                          scratch + size)
    give(scratch)
    return OK


cdef int run_loops(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product head, tail
    cdef int team = (
        threads_for_packed(g.m, <double>g.k * g.n) if g.b_is_packed
        else threads_for(2.0 * g.m * g.n * g.k, GRAIN)
    )
    cdef real *scratch = NULL
    if cut_tail(g, &head, &tail, t):
        return run_with_tail(&head, &tail, t)
    choose_blocks(g, &s, t)
    if s.size_a + s.size_b > 0:
        scratch = <real*>take((s.size_b + team * s.size_a) * <int64_t>sizeof(real))
        if scratch is NULL:
            return NO_MEMORY
    if team == 1:
        worker(1, 0, g, &s, scratch)
    else:
        with parallel(num_threads=team):
            worker(team_size(), thread_id(), g, &s, scratch)
    give(scratch)
    return OK


cdef int run_dots(const Product *g, const real *t) noexcept nogil:
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, GRAIN)
    cdef real *columns = <real*>take(g.n * g.k * <int64_t>sizeof(real))
    if columns is NULL:
        return NO_MEMORY
    gather_columns(g, columns)
    if team == 1:
        dots_share(1, 0, g, columns)
    else:
        with parallel(num_threads=team):
            dots_share(team_size(), thread_id(), g, columns)
    give(columns)
    return OK


cdef void over_k_share(
    int team, int thread, const Product *g, const Blocks *s, int64_t part, real *sums, real *scratch
) noexcept nogil:
    """Compute this thread's parts of k: sums[i] = A(:, part i) B(part i, :), each m x n."""
    cdef Product g_i = g[0]
    cdef Blocks s_i = s[0]
    cdef int64_t i, first, last
    scratch += thread * (s.size_a + s.size_b)
    share(ceil_div(g.k, part), team, thread, &first, &last)
    g_i.alpha, g_i.beta, g_i.bias, g_i.preact, g_i.activation = 1, 0, NULL, NULL, FASTNN_ACT_NONE
    g_i.rsc, g_i.csc = g.n, 1
    for i in range(first, last):
        g_i.k = min(part, g.k - i * part)
        g_i.a = <const real*>g.a + i * part * g.csa
        g_i.b = <const real*>g.b + i * part * g.rsb
        g_i.c = sums + i * g.m * g.n
        s_i.k_blocks = ceil_div(g_i.k, s.kc)        # the last part may be shorter
        worker(1, 0, &g_i, &s_i, scratch)


cdef void finish_rows(const Product *g, real *sums) noexcept nogil:
    """Compute C from sums = A B, (m, n) and C-contiguous, which is overwritten."""
    cdef int64_t i
    for i in range(g.m):
        gemv_finish(g.n, <real>g.alpha, sums + i * g.n, <real>g.beta, <real*>g.c + i * g.rsc, g.csc,
                    <const real*>g.bias, 1, g.activation,
                    NULL if g.preact is NULL else <real*>g.preact + i * g.rsc)


cdef int run_over_k(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product first = g[0]
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, GRAIN)
    cdef int64_t i, part = balanced(g.k, FOLD, 1), parts = ceil_div(g.k, part), size = g.m * g.n
    cdef real *sums
    first.k = part
    choose_blocks(&first, &s, t)
    sums = <real*>take((parts * size + team * (s.size_a + s.size_b)) * <int64_t>sizeof(real))
    if sums is NULL:
        return NO_MEMORY
    if team == 1:
        over_k_share(1, 0, g, &s, part, sums, sums + parts * size)
    else:
        with parallel(num_threads=team):
            over_k_share(team_size(), thread_id(), g, &s, part, sums, sums + parts * size)
    for i in range(1, parts):
        add_run(size, sums + i * size, sums)
    finish_rows(g, sums)
    give(sums)
    return OK


cdef int run_long(const Product *g, const real *t) noexcept nogil:
    """Compute a product with k > LONGEST as a sum of shorter products.

    As one product, its partial sums of FOLD terms would form a chain of more than FOLD.
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
        status = run(&part, t)
        if status != OK:
            break
        if i > 0:
            add_run(size, sums + size, sums)
    if status == OK:
        finish_rows(g, sums)
    give(sums)
    return status


cdef int run(const Product *g, const real *t) noexcept nogil:
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
        return run(&other, t)
    if g.c is NULL or (g.k > 0 and (g.a is NULL or g.b is NULL)):
        return BAD_ARGUMENT
    if g.b_is_packed:
        return run_loops(g, t)
    if g.k > LONGEST:
        return run_long(g, t)
    path = choose_path(g, t)
    if path == ROW:
        return run_row(g, t)
    if path == DOTS:
        return run_dots(g, t)
    if path == OVER_K:
        return run_over_k(g, t)
    if path == LOOPS:
        return run_loops(g, t)
    other = transposed(g)
    return run_row(&other, t) if path == COLUMN else run_loops(&other, t)


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
    return run(g, t)


# The pointer API.

cdef int gemm_real(
    int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa,
    const real *b, int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc,
    const real *bias, int activation, real *preact
) noexcept nogil:
    cdef Product g = Product(m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, alpha, beta, bias, 1,
                             activation, preact, False)
    return run_checked(&g, a)


cdef int multiply(const Product *g, const real *t) noexcept nogil:
    return run(g, t)


cdef int threads_for_packed(int64_t rows, double elements) noexcept nogil:
    return threads_for(elements * (1 + rows // 4), PACKED_GRAIN)
