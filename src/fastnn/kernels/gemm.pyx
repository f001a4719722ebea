"""Matrix product: the five loops of Goto and van de Geijn (ACM TOMS 34, 2008) around the micro-kernel of csrc/gemm.h.

C := act(alpha A B + beta C + bias), C m x n, A m x k, B k x n, each with any row and column stride, so a transposed operand costs no copy.

    loop 5   jc over n by NC    B(:, jc) is what the last-level cache holds
    loop 4   pc over k by KC    pack B(pc, jc), all threads together; the first block applies beta, the last one bias and activation
    loop 3   ic over m by MC    pack A(ic, pc), each thread its own: it stays in the L2 cache
    loop 2   jr over NC by NR   a micro-panel of packed B
    loop 1   ir over MC by MR   a micro-panel of packed A: the micro-kernel

Threads divide the tiles of C in two dimensions. No sum is divided, so the bits do not depend on their number.
Accuracy: |C - C_exact| <= (k + 2) eps |A| |B|, elementwise, as for any order of summation (Higham 2002, section 3.5).
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from .arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from .dispatch cimport FASTNN_ACT_NONE, gemm_tile, pack_a, pack_b, real, tile_columns, tile_rows, vector_lanes
from .memory cimport give, take
from .threads cimport barrier, share, team_size, thread_id, threads_for

cdef enum:
    MC = 144     # rows of A packed together: MC x KC reals should take a fifth of a 1 MiB L2 cache in float32
    KC = 384     # products summed in registers before a tile is stored
    NC = 3072    # columns of B packed together: KC x NC reals, 4.5 MiB in float32
    GRAIN = 2 * 64 * 64 * 64    # flops a thread should have: below it the start of a team costs more than it gains


cdef struct Blocks:
    int64_t mc, kc, nc, k_blocks, n_blocks, packed_a, packed_b


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline int64_t balanced(int64_t total, int64_t most, int64_t unit) noexcept nogil:
    """The size of equal blocks of at most `most`, in whole units: 260 by 256 is 130 + 130, not 256 + 4."""
    cdef int64_t count = max(1, ceil_div(total, most))
    return max(unit, ceil_div(ceil_div(total, count), unit) * unit)


cdef void choose_blocks(int64_t m, int64_t n, int64_t k, int64_t mr, int64_t nr, int64_t lanes, Blocks *s) noexcept nogil:
    s.mc = balanced(m, MC, mr)
    s.nc = balanced(n, NC, nr)
    s.kc = balanced(k, KC, 1)
    s.k_blocks = max(1, ceil_div(k, s.kc))      # k = 0 still scales C
    s.n_blocks = ceil_div(n, s.nc)
    s.packed_a = s.mc * s.kc
    s.packed_b = ceil_div(min(s.nc, n), lanes) * lanes * s.kc


cdef void split_team(int team, int64_t row_tiles, int64_t column_tiles, int *rows, int *columns) noexcept nogil:
    """Arrange the team as rows x columns over the tiles of C so that the largest part is smallest; rather in rows, which pack A once."""
    cdef int64_t part, best = -1
    cdef int r
    for r in range(1, team + 1):
        if team % r == 0:
            part = ceil_div(row_tiles, r) * ceil_div(column_tiles, team // r)
            if best < 0 or part <= best:
                best = part
                rows[0] = r
                columns[0] = team // r


cdef void pack_b_share(int team, int thread, int64_t kb, int64_t nb, int64_t nr, const real *b, int64_t rsb, int64_t csb,
                       real *packed) noexcept nogil:
    """This thread's panels of B."""
    cdef int64_t first, last
    share(ceil_div(nb, nr), team, thread, &first, &last)
    if first < last:
        pack_b(kb, min(last * nr, nb) - first * nr, b + first * nr * csb, rsb, csb, packed + first * nr * kb)


cdef void block_times_panels(int64_t mb, int64_t j0, int64_t j1, int64_t kb, int64_t mr, int64_t nr, real alpha, const real *packed_a,
                             const real *packed_b, real beta, real *c, int64_t rsc, int64_t csc, const real *bias,
                             int activation) noexcept nogil:
    """Loops 2 and 1: a packed block of A times the columns j0..j1-1 of packed B (j0 at a panel). c and bias are those of column 0."""
    cdef int64_t i, j
    j = j0
    while j < j1:
        i = 0
        while i < mb:
            gemm_tile(min(mr, mb - i), min(nr, j1 - j), kb, alpha, packed_a + i * kb, packed_b + j * kb, beta,
                      c + i * rsc + j * csc, rsc, csc, NULL if bias is NULL else bias + j, activation)
            i += mr
        j += nr


cdef void worker(int team, int thread, const Blocks *s, int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa,
                 int64_t csa, const real *b, int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc, const real *bias,
                 int activation, real *packed_a, real *packed_b) noexcept nogil:
    """What each thread of the team does: loops 5 to 3, its share of packing B, and its rectangle of the tiles of C."""
    cdef int64_t mr = tile_rows(a), nr = tile_columns(a), jb, jc, nb, pb, pc, kb, ic, i0, i1, j0, j1
    cdef int64_t row_tiles = ceil_div(m, mr), column_tiles
    cdef int rows = 1, columns = 1
    cdef bint last
    packed_a += thread * s.packed_a
    for jb in range(s.n_blocks):
        jc = jb * s.nc
        nb = min(s.nc, n - jc)
        column_tiles = ceil_div(nb, nr)
        split_team(team, row_tiles, column_tiles, &rows, &columns)
        share(row_tiles, rows, thread // columns, &i0, &i1)
        share(column_tiles, columns, thread % columns, &j0, &j1)
        i0, i1, j0, j1 = i0 * mr, min(m, i1 * mr), j0 * nr, min(nb, j1 * nr)
        for pb in range(s.k_blocks):
            pc = pb * s.kc
            kb = min(s.kc, k - pc)
            last = pb == s.k_blocks - 1
            pack_b_share(team, thread, kb, nb, nr, b + pc * rsb + jc * csb, rsb, csb, packed_b)
            barrier(team)
            ic = i0
            while ic < i1 and j0 < j1:
                pack_a(min(s.mc, i1 - ic), kb, a + ic * rsa + pc * csa, rsa, csa, packed_a)
                block_times_panels(min(s.mc, i1 - ic), j0, j1, kb, mr, nr, alpha, packed_a, packed_b, beta if pb == 0 else <real>1,
                                   c + ic * rsc + jc * csc, rsc, csc, bias + jc if last and bias is not NULL else NULL,
                                   activation if last else FASTNN_ACT_NONE)
                ic += s.mc
            barrier(team)


cdef bint bad(int64_t m, int64_t n, int64_t k, const real *a, const real *b, const real *c) noexcept nogil:
    """A size is negative, or an operand that would be touched is missing."""
    if m < 0 or n < 0 or k < 0:
        return True
    return m > 0 and n > 0 and (c is NULL or (k > 0 and (a is NULL or b is NULL)))


cdef int run(int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa, const real *b, int64_t rsb,
             int64_t csb, real beta, real *c, int64_t rsc, int64_t csc, const real *bias, int activation) noexcept nogil:
    """Both pointer faces: check, take scratch, and let one thread or a team work."""
    cdef Blocks s
    cdef int team
    cdef real *scratch
    if bad(m, n, k, a, b, c):
        return BAD_ARGUMENT
    if m == 0 or n == 0:
        return OK
    if csc != 1 and rsc == 1 and bias is NULL:      # column-major C: C^T := B^T A^T
        return run(n, m, k, alpha, b, csb, rsb, a, csa, rsa, beta, c, csc, rsc, bias, activation)
    choose_blocks(m, n, k, tile_rows(a), tile_columns(a), vector_lanes(a), &s)
    team = threads_for(2.0 * m * n * k, GRAIN)
    scratch = <real*>take((s.packed_b + team * s.packed_a) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    if team == 1:
        worker(1, 0, &s, m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation,
               scratch + s.packed_b, scratch)
    else:
        with parallel(num_threads=team):
            worker(team_size(), thread_id(), &s, m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation,
                   scratch + s.packed_b, scratch)
    give(scratch)
    return OK


cdef void stack_worker(int team, int thread, const Blocks *s, const Stack *stack, int64_t m, int64_t n, int64_t k, const real *a,
                       int64_t rsa, int64_t csa, const real *b, int64_t rsb, int64_t csb, real *c, int64_t rsc, int64_t csc,
                       const real *bias, int activation, real *scratch) noexcept nogil:
    """This thread's products of a stack, one after the other."""
    cdef int64_t i, first, last, oa, ob, oc
    scratch += thread * (s.packed_a + s.packed_b)
    share(stack.count, team, thread, &first, &last)
    for i in range(first, last):
        stack_offsets(stack, i, &oa, &ob, &oc)
        worker(1, 0, s, m, n, k, <real>1, a + oa, rsa, csa, b + ob, rsb, csb, <real>0, c + oc, rsc, csc, bias, activation,
               scratch + s.packed_b, scratch)


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


cdef int run_stack(const Stack *stack, int64_t m, int64_t n, int64_t k, const real *a, int64_t rsa, int64_t csa, const real *b,
                   int64_t rsb, int64_t csb, real *c, int64_t rsc, int64_t csc, const real *bias, int activation) noexcept nogil:
    cdef Blocks s
    cdef int team
    cdef int64_t i, oa, ob, oc
    cdef double work = 2.0 * m * n * k
    cdef real *scratch
    if stack.count == 0 or m == 0 or n == 0:
        return OK
    if work >= 2 * GRAIN:       # each product keeps a team busy
        for i in range(stack.count):
            stack_offsets(stack, i, &oa, &ob, &oc)
            if run(m, n, k, <real>1, a + oa, rsa, csa, b + ob, rsb, csb, <real>0, c + oc, rsc, csc, bias, activation) != OK:
                return NO_MEMORY
        return OK
    choose_blocks(m, n, k, tile_rows(a), tile_columns(a), vector_lanes(a), &s)
    team = threads_for(work * stack.count, GRAIN)
    scratch = <real*>take(team * (s.packed_a + s.packed_b) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    if team == 1:
        stack_worker(1, 0, &s, stack, m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, bias, activation, scratch)
    else:
        with parallel(num_threads=team):
            stack_worker(team_size(), thread_id(), &s, stack, m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, bias, activation, scratch)
    give(scratch)
    return OK


cdef int gemm_f32(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa, int64_t csa,
                  const float *b, int64_t rsb, int64_t csb, float beta, float *c, int64_t rsc, int64_t csc,
                  const float *bias, int activation) noexcept nogil:
    return run(m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation)


cdef int gemm_f64(int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa, int64_t csa,
                  const double *b, int64_t rsb, int64_t csb, double beta, double *c, int64_t rsc, int64_t csc,
                  const double *bias, int activation) noexcept nogil:
    return run(m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation)


cdef int gemm_stack_f32(const Stack *stack, int64_t m, int64_t n, int64_t k, const float *a, int64_t rsa, int64_t csa,
                        const float *b, int64_t rsb, int64_t csb, float *c, int64_t rsc, int64_t csc, const float *bias,
                        int activation) noexcept nogil:
    return run_stack(stack, m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, bias, activation)


cdef int gemm_stack_f64(const Stack *stack, int64_t m, int64_t n, int64_t k, const double *a, int64_t rsa, int64_t csa,
                        const double *b, int64_t rsb, int64_t csb, double *c, int64_t rsc, int64_t csc, const double *bias,
                        int activation) noexcept nogil:
    return run_stack(stack, m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, bias, activation)
