"""Matrix product C := act(alpha A B + beta C + bias), C m x n, A m x k, B k x n, each with any row and column stride: which path to take.

`choose_path` decides. One row or one column is a matrix-vector product that reads the matrix once, in place. A small C with a long k is divided over k, into
parts that the shape fixes. A narrow C, whose columns would fill little of a vector, takes dot products, or is turned on its side. Everything else takes the five
loops of gemm_loops.pyx. The bits do not depend on the number of threads.
Accuracy: |C - C_exact| <= (k + 3) eps (|A| |B| + |bias|), elementwise, as for any order of summation (Higham 2002, section 3.5).
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from .arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from .dispatch cimport (FASTNN_ACT_NONE, FASTNN_ACT_LAST, add_run, dot_columns, dot_rows, dot_tile, gemm_dots, gemv_columns, gemv_finish, gemv_rows, pack_columns, real, tile_columns, tile_rows,
                        vector_lanes)
from .gemm_loops cimport Blocks, Product, balanced, ceil_div, choose_blocks, panel_count, worker
from .memory cimport give, take
from .threads cimport share, team_size, thread_id, threads_for

cdef enum:
    SPLIT_TILES = 8             # tiles of C below which there are too few to share out, and a long k is divided
    SPLIT_K = 1024              # products of one part. 10 x 4,096 x 32: 13.1 us by one thread, 8.7 by two
    GRAIN = 750_000             # flops a thread should have. 81 cubed: 6.0 us by one thread, 9.0 by two; 96 cubed: 8.0 and 6.5
    GEMV_GRAIN = 100_000        # elements of the matrix likewise. 128 x 512: 2.3 us by one thread, 5.8 by two; 128 x 1,024: 4.6 and 4.9
    GEMV_STRIP = 4096           # columns whose sums stay in the L1 cache meanwhile
    LINE = 16                   # columns in a cache line: threads do not write to the same one
    DOT_K = 192                 # products from which dot products are worth their sums over the lanes. n = 10: k = 256 5.0 for 6.2 us, k = 128 6.2 for 5.9
    DOT_BLOCK = 1024            # products at a time: the rows of A of a tile stay in the L1 cache

cdef enum Path:
    LOOPS
    LOOPS_TRANSPOSED
    ROW         # a row times B
    COLUMN      # A times a column
    DOTS        # rows of A times columns of B, as dot products: the lanes lie along k
    OVER_K      # the sum divided over k


cdef Path choose_path(const Product *g, const real *t) noexcept nogil:
    cdef int64_t lanes = vector_lanes(t), tiles = ceil_div(g.m, tile_rows(t)) * panel_count(g.n, t)
    # Columns of C that fill little of their vectors: 10 of 16 lanes, 17 of 32.
    cdef bint narrow = g.n <= 2 * lanes and 7 * g.n <= 5 * ceil_div(g.n, lanes) * lanes
    if g.b_is_packed or g.k == 0:
        return LOOPS
    if g.m == 1 and (g.csb == 1 or g.rsb == 1):
        return ROW
    if g.n == 1 and (g.rsa == 1 or g.csa == 1):
        return COLUMN
    if g.k >= 2 * SPLIT_K and tiles < SPLIT_TILES:
        return OVER_K
    if narrow and g.csa == 1 and g.k >= DOT_K:
        return DOTS
    if g.csc != 1 and g.rsc == 1 and g.bias is NULL:        # column-major C
        return LOOPS_TRANSPOSED
    if narrow and g.rsa == 1 and g.m >= tile_columns(t) and g.bias is NULL:
        return LOOPS_TRANSPOSED
    return LOOPS


cdef Product transposed(const Product *g) noexcept nogil:
    """C^T := B^T A^T. The bias goes along the rows then, which only a matrix-vector product allows for."""
    cdef Product t = g[0]
    t.m, t.n, t.a, t.b = g.n, g.m, g.b, g.a
    t.rsa, t.csa, t.rsb, t.csb, t.rsc, t.csc = g.csb, g.rsb, g.csa, g.rsa, g.csc, g.rsc
    t.incbias = 0
    return t


cdef int run_loops(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, GRAIN)
    cdef real *scratch = NULL
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


cdef void row_share(int team, int thread, const Product *g, const real *x, real *y) noexcept nogil:
    """This thread's columns of the row C = x B, in strips whose sums stay in the L1 cache. A column is summed alike wherever it is cut."""
    cdef const real *b = <const real*>g.b
    cdef int64_t j, width, first, last
    share(ceil_div(g.n, LINE), team, thread, &first, &last)
    j = first * LINE
    last = min(g.n, last * LINE)
    while j < last:
        width = min(<int64_t>GEMV_STRIP, last - j)
        if g.csb == 1:
            gemv_rows(g.k, width, x, b + j, g.rsb, y + j)
        else:
            gemv_columns(g.k, width, x, b + j * g.csb, g.csb, y + j)
        gemv_finish(width, <real>g.alpha, y + j, <real>g.beta, <real*>g.c + j * g.csc, g.csc,
                    NULL if g.bias is NULL else <const real*>g.bias + j * g.incbias, g.incbias, g.activation,
                    NULL if g.preact is NULL else <real*>g.preact + j * g.csc)
        j += width


cdef int run_row(const Product *g, const real *t) noexcept nogil:
    cdef int team = threads_for(<double>g.n * g.k, GEMV_GRAIN)
    cdef const real *x = <const real*>g.a
    cdef int64_t p
    cdef real *y = <real*>take((g.n + g.k) * <int64_t>sizeof(real))
    if y is NULL:
        return NO_MEMORY
    if g.csa != 1:
        for p in range(g.k):
            y[g.n + p] = x[p * g.csa]
        x = y + g.n
    if team == 1:
        row_share(1, 0, g, x, y)
    else:
        with parallel(num_threads=team):
            row_share(team_size(), thread_id(), g, x, y)
    give(y)
    return OK


cdef void dots_share(int team, int thread, const Product *g, const real *b) noexcept nogil:
    """This thread's tiles of C; the longer side of C is walked once, so its operand is read once."""
    cdef const real *a = <const real*>g.a
    cdef int64_t wide = balanced(g.n, dot_columns(b), 1), high = balanced(g.m, min(dot_rows(b), dot_tile(b) // wide), 1)
    cdef int64_t column_tiles = ceil_div(g.n, wide), row_tiles = ceil_div(g.m, high), tile, first, last, i, j, pb, pc, kb, offset
    cdef int64_t kc = balanced(g.k, DOT_BLOCK, 1), k_blocks = ceil_div(g.k, kc)
    cdef bint by_rows = g.m >= g.n, end
    share(row_tiles if by_rows else column_tiles, team, thread, &first, &last)
    for pb in range(k_blocks):
        pc = pb * kc
        kb = min(kc, g.k - pc)
        end = pb == k_blocks - 1
        for tile in range(first * column_tiles if by_rows else first * row_tiles, last * column_tiles if by_rows else last * row_tiles):
            i = (tile // column_tiles if by_rows else tile % row_tiles) * high
            j = (tile % column_tiles if by_rows else tile // row_tiles) * wide
            offset = i * g.rsc + j * g.csc
            gemm_dots(min(high, g.m - i), min(wide, g.n - j), kb, <real>g.alpha, a + i * g.rsa + pc, g.rsa, b + j * g.k + pc, g.k,
                      <real>(g.beta if pb == 0 else 1), <real*>g.c + offset, g.rsc, g.csc,
                      <const real*>g.bias + j if end and g.bias is not NULL else NULL, g.activation if end else FASTNN_ACT_NONE,
                      <real*>g.preact + offset if end and g.preact is not NULL else NULL)


cdef int run_dots(const Product *g, const real *t) noexcept nogil:
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, GRAIN)
    cdef const real *b = <const real*>g.b
    cdef int64_t lanes = vector_lanes(t), p, j
    cdef real *columns = <real*>take(g.n * g.k * <int64_t>sizeof(real))     # few and read often: side by side and aligned
    if columns is NULL:
        return NO_MEMORY
    if g.rsb == 1:
        for j in range(g.n):
            memcpy(columns + j * g.k, b + j * g.csb, g.k * sizeof(real))
    elif g.csb == 1:
        for j in range(ceil_div(g.n, lanes)):
            pack_columns(g.k, min(lanes, g.n - j * lanes), b + j * lanes, g.rsb, columns + j * lanes * g.k)
    else:
        for p in range(g.k):
            for j in range(g.n):
                columns[j * g.k + p] = b[p * g.rsb + j * g.csb]
    if team == 1:
        dots_share(1, 0, g, columns)
    else:
        with parallel(num_threads=team):
            dots_share(team_size(), thread_id(), g, columns)
    give(columns)
    return OK


cdef void over_k_share(int team, int thread, const Product *g, const Blocks *s, int64_t part, real *sums, real *scratch) noexcept nogil:
    """This thread's parts of k: sums[i] = A(:, part i) B(part i, :), each m x n."""
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
        s_i.k_blocks = ceil_div(g_i.k, s.kc)        # the last part is shorter
        worker(1, 0, &g_i, &s_i, scratch)


cdef int run_over_k(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product first = g[0]
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, GRAIN)
    cdef int64_t i, part = balanced(g.k, SPLIT_K, 1), parts = ceil_div(g.k, part), size = g.m * g.n
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
    for i in range(g.m):
        gemv_finish(g.n, <real>g.alpha, sums + i * g.n, <real>g.beta, <real*>g.c + i * g.rsc, g.csc, <const real*>g.bias, 1, g.activation,
                    NULL if g.preact is NULL else <real*>g.preact + i * g.rsc)
    give(sums)
    return OK


cdef int run(const Product *g, const real *t) noexcept nogil:
    cdef Product other
    cdef Path path
    if g.m < 0 or g.n < 0 or g.k < 0 or g.activation < FASTNN_ACT_NONE or g.activation > FASTNN_ACT_LAST:
        return BAD_ARGUMENT
    if g.m == 0 or g.n == 0:
        return OK
    if g.alpha == 0 and g.k > 0:        # as in BLAS, A and B are not read then
        other = g[0]
        other.k = 0
        return run(&other, t)
    if g.c is NULL or (g.k > 0 and (g.a is NULL or g.b is NULL)):
        return BAD_ARGUMENT
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


cdef void stack_offsets(const Stack *stack, int64_t i, int64_t *oa, int64_t *ob, int64_t *oc) noexcept nogil:
    """Where the operands of product i begin, in elements."""
    cdef int64_t axis, index
    oa[0] = ob[0] = oc[0] = 0
    for axis in range(stack.ndim - 1, -1, -1):
        index = i % stack.shape[axis]
        i //= stack.shape[axis]
        oa[0] += index * stack.a[axis]
        ob[0] += index * stack.b[axis]
        oc[0] += index * stack.c[axis]


cdef Product product_of_stack(const Product *g, const Stack *stack, int64_t i, const real *t) noexcept nogil:
    cdef int64_t oa, ob, oc
    cdef Product g_i = g[0]
    stack_offsets(stack, i, &oa, &ob, &oc)
    g_i.a, g_i.b, g_i.c = <const real*>g.a + oa, <const real*>g.b + ob, <real*>g.c + oc
    g_i.preact = NULL if g.preact is NULL else <real*>g.preact + oc
    return g_i


cdef void stack_share(int team, int thread, const Product *g, const Blocks *s, const Stack *stack, real *scratch) noexcept nogil:
    """This thread's products of a stack, one after the other."""
    cdef int64_t i, first, last
    cdef Product g_i
    scratch += thread * (s.size_a + s.size_b)
    share(stack.count, team, thread, &first, &last)
    for i in range(first, last):
        g_i = product_of_stack(g, stack, i, scratch)
        worker(1, 0, &g_i, s, scratch)


cdef int run_stack(const Product *g, const Stack *stack, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product g_i
    cdef int team
    cdef int64_t i
    cdef double work = 2.0 * g.m * g.n * g.k
    cdef real *scratch
    if stack.count == 0 or g.m == 0 or g.n == 0:
        return OK
    if work >= 2 * GRAIN:       # each product keeps a team busy
        for i in range(stack.count):
            g_i = product_of_stack(g, stack, i, t)
            if run(&g_i, t) != OK:
                return NO_MEMORY
        return OK
    choose_blocks(g, &s, t)
    team = threads_for(work * stack.count, GRAIN)
    scratch = <real*>take(team * (s.size_a + s.size_b) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    if team == 1:
        stack_share(1, 0, g, &s, stack, scratch)
    else:
        with parallel(num_threads=team):
            stack_share(team_size(), thread_id(), g, &s, stack, scratch)
    give(scratch)
    return OK


# The faces.

cdef int gemm_f32(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa, int64_t csa,
                  const float *b, int64_t rsb, int64_t csb, float beta, float *c, int64_t rsc, int64_t csc,
                  const float *bias, int activation, float *preact) noexcept nogil:
    cdef Product g = Product(m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, alpha, beta, bias, 1, activation, preact, False)
    return run(&g, a)


cdef int gemm_f64(int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa, int64_t csa,
                  const double *b, int64_t rsb, int64_t csb, double beta, double *c, int64_t rsc, int64_t csc,
                  const double *bias, int activation, double *preact) noexcept nogil:
    cdef Product g = Product(m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, alpha, beta, bias, 1, activation, preact, False)
    return run(&g, a)


cdef int multiply(const Product *g, const real *t) noexcept nogil:
    return run(g, t)


cdef int multiply_stack(const Product *g, const Stack *stack, const real *t) noexcept nogil:
    return run_stack(g, stack, t)
