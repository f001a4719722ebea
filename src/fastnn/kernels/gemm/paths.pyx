"""Matrix product C := act(alpha A B + beta C + bias), C m x n, A m x k, B k x n, each with any row and column stride: which path to take.

`choose_path` decides. One row or one column is a matrix-vector product that reads the matrix once, in place. A small C with a long k is divided over k, into
parts that the shape fixes. A narrow C, whose columns would fill little of a vector, takes dot products, or is turned on its side. Everything else takes the five
loops of loops.pyx. The bits do not depend on the number of threads.
Accuracy: |C - C_exact| <= (k + 3) eps (|A| |B| + |bias|), elementwise, as for any order of summation (Higham 2002, section 3.5).
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from ..ground.dispatch cimport (FASTNN_ACT_NONE, FASTNN_ACT_LAST, add_run, gemv_finish, real, tile_columns, tile_rows, vector_lanes)
from .dots cimport dots_share, gather_columns
from .row cimport run_row
from .loops cimport Blocks, Product, balanced, ceil_div, choose_blocks, panel_count, worker
from ..ground.memory cimport give, take
from ..ground.overlap cimport elements_collide, overlap
from ..ground.sums cimport FOLD
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    SPLIT_TILES = 8             # tiles of C below which there are too few to share out, and a long k is divided
    LONGEST = FOLD * FOLD       # terms of a sum of at most FOLD partial sums
    GRAIN = 750_000             # flops a thread should have. 81 cubed: 6.0 us by one thread, 9.0 by two; 96 cubed: 8.0 and 6.5
    PACKED_GRAIN = 100_000      # elements of packed B likewise, where A has few rows and all wait for B, as in row.pyx
    # Products for each column from which dot products are worth their sums over the lanes. AVX-512, 64 rows, n = 8: k = 64 0.99 us (the loops 0.93), k = 128
    # 1.35 (1.59); where more than half a vector is filled, n = 10: k = 256 2.90 (2.89), k = 512 5.32 (5.89). AVX2, n = 4: k = 64 0.86 (0.92).
    DOT_PRODUCTS = 16
    DOT_PRODUCTS_FILLED = 48
    TAIL_COLUMNS = 128          # columns up to which a last vector that is hardly filled is dot products. 100 cubed: 9.3 us, 10.2 without

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
    """C^T := B^T A^T. The bias goes along the rows then, which only a matrix-vector product allows for."""
    cdef Product t = g[0]
    t.m, t.n, t.a, t.b = g.n, g.m, g.b, g.a
    t.rsa, t.csa, t.rsb, t.csb, t.rsc, t.csc = g.csb, g.rsb, g.csa, g.rsa, g.csc, g.rsc
    t.incbias = 0
    return t


cdef bint cut_tail(const Product *g, Product *head, Product *tail, const real *t) noexcept nogil:
    """Whether the last vector of columns of C is hardly filled and better taken by itself; head and tail are the two products then."""
    cdef int64_t lanes = vector_lanes(t), rest = g.n % lanes, cut = g.n - rest
    if rest == 0 or cut == 0 or 4 * rest > lanes or g.n > TAIL_COLUMNS or g.b_is_packed:
        return False
    if g.k == 0:        # dot products of no terms would not store C
        return False
    if not (g.csa == 1 and g.k >= DOT_PRODUCTS * rest) and not (g.rsa == 1 and g.m >= tile_columns(t) and g.bias is NULL):
        return False
    head[0] = tail[0] = g[0]
    head.n, tail.n = cut, rest
    tail.b = <const real*>g.b + cut * g.csb
    tail.c = <real*>g.c + cut * g.csc
    tail.bias = NULL if g.bias is NULL else <const real*>g.bias + cut * g.incbias
    tail.preact = NULL if g.preact is NULL else <real*>g.preact + cut * g.csc
    return True


cdef void head_and_tail(int team, int thread, const Product *head, const Blocks *s, real *scratch, const Product *tail, bint dots, const Blocks *s_tail,
                        real *scratch_tail) noexcept nogil:
    worker(team, thread, head, s, scratch)
    if dots:
        dots_share(team, thread, tail, scratch_tail)
    else:
        worker(team, thread, tail, s_tail, scratch_tail)


cdef int run_with_tail(const Product *head, const Product *tail, const real *t) noexcept nogil:
    """Both in one parallel region: the tail as dot products where rows of A are contiguous, on its side where columns are."""
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
            head_and_tail(team_size(), thread_id(), head, &s, scratch, &other, dots, &s_tail, scratch + size)
    give(scratch)
    return OK


cdef int run_loops(const Product *g, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product head, tail
    cdef int team = threads_for_packed(g.m, <double>g.k * g.n) if g.b_is_packed else threads_for(2.0 * g.m * g.n * g.k, GRAIN)
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


cdef void finish_rows(const Product *g, real *sums) noexcept nogil:
    """C from A B, m x n without gaps, which is overwritten."""
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
    """Products longer than FOLD^2, where the sums of FOLD terms would themselves make a long chain.

    Each part of k is a product of its own."""
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


cdef bint overlaps(const Product *g, const real *c) noexcept nogil:
    """Whether c lies on an operand."""
    if overlap(c, g.m, g.n, g.rsc, g.csc, <const real*>g.a, g.m, g.k, g.rsa, g.csa):
        return True
    if overlap(c, g.m, g.n, g.rsc, g.csc, <const real*>g.b, g.k, g.n, g.rsb, g.csb):
        return True
    return overlap(c, g.m, g.n, g.rsc, g.csc, <const real*>g.bias, 1, g.n, g.n, 1)


cdef int run_checked(const Product *g, const real *t) noexcept nogil:
    """For callers that nobody has checked."""
    if elements_collide(g.m, g.n, g.rsc, g.csc):
        return BAD_ARGUMENT
    if g.c is not NULL and overlaps(g, <const real*>g.c):
        return BAD_ARGUMENT
    if g.preact is not NULL and (overlaps(g, <const real*>g.preact)
                                 or overlap(<const real*>g.preact, g.m, g.n, g.rsc, g.csc,
                                            <const real*>g.c, g.m, g.n, g.rsc, g.csc)):
        return BAD_ARGUMENT
    return run(g, t)


# The faces.

cdef int gemm_real(
    int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa,
    const real *b, int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc,
    const real *bias, int activation, real *preact
) noexcept nogil:
    cdef Product g = Product(m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, alpha, beta, bias, 1, activation, preact, False)
    return run_checked(&g, a)


cdef int multiply(const Product *g, const real *t) noexcept nogil:
    return run(g, t)


cdef int threads_for_packed(int64_t rows, double elements) noexcept nogil:
    return threads_for(elements * (1 + rows // 4), PACKED_GRAIN)


cdef int multiply_stack(const Product *g, const Stack *stack, const real *t) noexcept nogil:
    return run_stack(g, stack, t)
