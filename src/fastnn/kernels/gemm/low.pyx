"""C := act(A B + bias) in float32 with weights of 16 or 8 bits, which are packed once.

bf16        weights rounded to bfloat16. Products are those of float32 with the rounded weights,
            bit for bit; but where the CPU multiplies bfloat16, more than FEW rows are rounded to
            it, too.
int8        one scale for each column: w = scale q, |q| <= 127. Up to FEW rows stay float32; others
            become uint8 with a scale and a zero point for each row, sums are exact in int32, and
            (sum - zero sum_of_q) (scale_of_row scale_of_column) is rounded as written.
int8_g32    one scale for each 32 rows of a column, counted from the start of a block of k.
            Products are those of float32 with the rounded weights, bit for bit.

A column with a number that is not finite becomes NaN in int8, as does a row of activations of which
one is not finite. Scales that would not be normal numbers count as zero. Bits do not depend on the
number of threads; those of int8 do not depend on the instruction set.
"""
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uintptr_t
from libc.string cimport memset

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from ..ground.dispatch cimport (FASTNN_BF16, FASTNN_DOT_COLUMNS, FASTNN_INT8, FASTNN_STRIP,
                                bf16_dot, bf16_round, bf16_tile, dot_bytes, dot_rows, dot_state,
                                dot_strips, dot_tile, gemv_finish, low_finish, low_rows,
                                quantize_row, real, shifted, tile_rows,
                                vector_lanes)
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport barrier, run_team, share, threads_for
from .loops cimport (Blocks, Low, Product, ceil_div, choose_blocks, padded, split_team, worker)
from .strips cimport FEW, PART, lines

cdef enum:
    CHUNK = 4096        # rows of A that are converted at a time
    SIDE = 3            # strips that a thread widens at a time (docs/tuning.md)
    MOST_SUMS = 32 * FASTNN_DOT_COLUMNS     # of a tile


# A few rows.

cdef void few_share(
    int team, int thread, const Product *g, const Low *w, const float *x, int64_t ldx, float *y
) noexcept nogil:
    """Compute this thread's strips; y has room for all sums."""
    cdef int64_t i, j, n, ldy = w.strips * FASTNN_STRIP, first, last, s
    cdef int64_t block
    share(w.strips, team, thread, &first, &last)
    # More rows read strips again, from the L2 cache; low_rows takes up to 4 strips at a time.
    block = last - first if g.m <= FEW else max(<int64_t>1, machine.l2 // (16 * w.next + 1)) * 4
    j = first * FASTNN_STRIP
    n = min(g.n, last * FASTNN_STRIP) - j
    if first == last:
        return
    s = first
    while s < last:
        for i in range(0, g.m, 4):      # FEW
            low_rows(w.format, min(g.m - i, <int64_t>FEW), min(block, last - s), w.k, w.kc,
                     x + i * ldx, ldx, <char*>w.data + s * w.next, w.next,
                     w.scales + s * w.ahead, w.ahead, y + i * ldy + s * FASTNN_STRIP, ldy)
        s += block
    for i in range(g.m):
        gemv_finish(n, <float>1, y + i * ldy + j, <float>0, <float*>g.c + i * g.rsc + j, 1,
                    NULL if g.bias is NULL else <const float*>g.bias + j, 1, g.activation,
                    NULL if g.preact is NULL else <float*>g.preact + i * g.rsc + j)


cdef int run_few(const Product *g, const Low *w) noexcept nogil:
    cdef int64_t sums = g.m * w.strips * FASTNN_STRIP, i, p, ldx = g.rsa
    cdef const float *x = <const float*>g.a
    cdef float *y = <float*>take((sums + g.m * g.k) * <int64_t>sizeof(float))
    if y is NULL:
        return NO_MEMORY
    if g.csa != 1:
        for i in range(g.m):
            for p in range(g.k):
                y[sums + i * g.k + p] = x[i * g.rsa + p * g.csa]
        x, ldx = y + sums, g.k
    run_team(threads_for(<double>g.n * g.k * (1 + g.m // 4), machine.read_grain), few_share, g, w,
             x, ldx, y)
    give(y)
    return OK


# Tiles of low precision.

cdef struct Tiles:
    int64_t rows, strips    # of a tile
    int64_t unit            # bytes of a unit of A
    int64_t units           # along k
    int64_t lda             # bytes of a row of A
    int64_t tiles, panels
    char *a
    float *scales           # of the rows of A
    int32_t *zeros
    float *copies           # for each thread a row of A, or NULL where rows are contiguous


cdef void convert_row(
    const Low *w, const Tiles *d, int64_t i, const float *x
) noexcept nogil:
    """Convert row i of A, k contiguous values."""
    cdef char *out = d.a + i * d.lda
    cdef int64_t p = 0, kb
    if w.format == FASTNN_INT8:
        quantize_row(w.k, x, out, d.scales + i, d.zeros + i)
        return
    memset(out, 0, d.lda)
    while p < w.k:
        kb = min(w.kc, w.k - p)
        bf16_round(kb, x + p, <uint16_t*>out)
        out += 2 * padded(kb)
        p += kb


cdef void convert_rows(
    int team, int thread, const Product *g, const Low *w, const Tiles *d
) noexcept nogil:
    cdef int64_t i, p, first, last
    cdef const float *x
    cdef float *copy
    share(g.m, team, thread, &first, &last)
    for i in range(first, last):
        x = <const float*>g.a + i * g.rsa
        if d.copies is not NULL:
            copy = d.copies + thread * g.k
            for p in range(g.k):
                copy[p] = x[p * g.csa]
            x = copy
        convert_row(w, d, i, x)


cdef void long_sums(
    const Low *w, const Tiles *d, int64_t m, int64_t strips, int64_t n, const char *a,
    const char *b, const int32_t *zeros, const int32_t *columns, int32_t *sums, float *whole
) noexcept nogil:
    """The sums of a tile whose k is longer than PART, as floats: exact, then rounded once."""
    cdef double[MOST_SUMS] total
    cdef int64_t i, j, at, done = 0, units
    memset(total, 0, sizeof(total))
    while done < d.units:
        units = min(d.units - done, <int64_t>PART // 4)
        dot_tile(m, strips, units, a + done * d.unit, d.lda, b + done * 4 * FASTNN_STRIP,
                 w.next, sums)
        for i in range(m):
            for j in range(n):
                at = i * FASTNN_DOT_COLUMNS + j
                total[at] += <int32_t>(<uint32_t>sums[at]
                                       - <uint32_t>zeros[i] * <uint32_t>columns[j])
        columns += w.strips * FASTNN_STRIP
        done += units
    for at in range(m * FASTNN_DOT_COLUMNS):
        whole[at] = <float>total[at]


cdef void one_tile(
    const Product *g, const Low *w, const Tiles *d, int64_t tile, int64_t strip, int64_t strips,
    int32_t *sums, float *whole
) noexcept nogil:
    """Compute and store a tile of C; sums and whole have room for one."""
    cdef int64_t i = tile * d.rows, j = strip * FASTNN_STRIP, m = min(d.rows, g.m - i)
    cdef int64_t n = min(strips * FASTNN_STRIP, g.n - j)
    cdef const char *a = d.a + i * d.lda
    cdef const char *b = <const char*>w.data + strip * w.next
    cdef float *c = <float*>g.c + i * g.rsc + j
    cdef float *preact = NULL if g.preact is NULL else <float*>g.preact + i * g.rsc + j
    cdef const float *bias = NULL if g.bias is NULL else <const float*>g.bias + j
    if w.format == FASTNN_BF16:
        bf16_tile(m, strips, d.units, a, d.lda, b, w.next, whole)
        low_finish(m, n, NULL, whole, NULL, NULL, NULL, NULL, bias, g.activation, c, g.rsc, preact)
    elif w.k > PART:
        long_sums(w, d, m, strips, n, a, b, d.zeros + i, w.sums + j, sums, whole)
        low_finish(m, n, NULL, whole, d.scales + i, NULL, w.scales + j, NULL, bias, g.activation,
                   c, g.rsc, preact)
    else:
        dot_tile(m, strips, d.units, a, d.lda, b, w.next, sums)
        low_finish(m, n, sums, NULL, d.scales + i, d.zeros + i, w.scales + j, w.sums + j, bias,
                   g.activation, c, g.rsc, preact)


cdef void tiles_share(
    int team, int thread, const Product *g, const Low *w, const Tiles *d
) noexcept nogil:
    """Convert this thread's rows of A, then compute its rectangle of tiles of C."""
    cdef char[8 * MOST_SUMS + 64] stack
    cdef int32_t *sums = <int32_t*>((<uintptr_t>stack + 63) // 64 * 64)
    cdef float *whole = <float*>(sums + MOST_SUMS)
    cdef int64_t first, last, panel0, panel1, panel, tile, strip, end
    cdef int64_t block = max(<int64_t>1, machine.block_a // (d.rows * d.lda))
    cdef int rows = 1, columns = 1
    convert_rows(team, thread, g, w, d)
    barrier(team)
    split_team(team, d.tiles, d.panels, True, &rows, &columns)
    share(d.tiles, rows, thread // columns, &first, &last)
    share(d.panels, columns, thread % columns, &panel0, &panel1)
    dot_state(1)
    while first < last:
        for panel in range(panel0, panel1):
            share(w.strips, <int>d.panels, <int>panel, &strip, &end)
            for tile in range(first, min(first + block, last)):
                one_tile(g, w, d, tile, strip, end - strip, sums, whole)
        first += block
    dot_state(0)


cdef int run_tiles(const Product *g, const Low *w) noexcept nogil:
    cdef bint is_int8 = w.format == FASTNN_INT8
    cdef int team = threads_for(<double>g.m * g.n * g.k, machine.flops_grain)
    cdef int64_t most = min(g.m, <int64_t>CHUNK), size_a, count
    cdef Product part = g[0]
    cdef Tiles d
    cdef char *scratch
    d.rows, d.strips, d.unit = dot_rows(), dot_strips(), dot_bytes()
    d.units = w.rows // (4 if is_int8 else 2)
    d.lda = lines(d.units * d.unit) | 64        # odd lines: rows do not share cache sets
    d.panels = ceil_div(w.strips, d.strips)
    count = ceil_div(most, d.rows) * d.rows
    size_a = count * d.lda
    scratch = <char*>take(size_a + lines(8 * count) + (4 * g.k * team if g.csa != 1 else 0))
    if scratch is NULL:
        return NO_MEMORY
    d.a, d.scales = scratch, <float*>(scratch + size_a)
    d.zeros = <int32_t*>(d.scales + count)
    d.copies = <float*>(scratch + size_a + lines(8 * count)) if g.csa != 1 else NULL
    while part.m > 0:
        count = part.m
        part.m = min(count, most)
        d.tiles = ceil_div(part.m, d.rows)
        run_team(team, tiles_share, &part, w, &d)
        part.a = <const float*>part.a + part.m * part.rsa
        part.c = <float*>part.c + part.m * part.rsc
        if part.preact is not NULL:
            part.preact = <float*>part.preact + part.m * part.rsc
        part.m = count - part.m
    give(scratch)
    return OK


# Widened panels.

cdef void widened_share(
    int team, int thread, const Product *g, const Low *w, float *scratch
) noexcept nogil:
    """Compute this thread's rectangle of C, alone: a panel of B at a time stays in its L2 cache."""
    cdef Product part = g[0]
    cdef Low cut = w[0]
    cdef Blocks s
    cdef int64_t i, last_row, strip, last, j, at
    cdef int rows = 1, columns = 1
    split_team(team, ceil_div(g.m, tile_rows(scratch)), ceil_div(w.strips, SIDE), True, &rows,
               &columns)
    share(g.m, rows, thread // columns, &i, &last_row)
    share(w.strips, columns, thread % columns, &strip, &last)
    part.m, part.b = last_row - i, &cut
    part.a = <const float*>g.a + i * g.rsa
    while strip < last and part.m > 0:
        cut.data, cut.scales = <char*>w.data + strip * w.next, w.scales + strip * w.ahead
        j = strip * FASTNN_STRIP
        at = i * g.rsc + j
        part.n = min(min(<int64_t>SIDE, last - strip) * FASTNN_STRIP, g.n - j)
        part.c = <float*>g.c + at
        part.bias = shifted(<const float*>g.bias, j)
        part.preact = <void*>shifted(<const float*>g.preact, at)
        choose_blocks(&part, &s, scratch)
        worker(1, 0, &part, &s, scratch + thread * s.kc * SIDE * FASTNN_STRIP)
        strip += SIDE


cdef int run_widened(const Product *g, const Low *w) noexcept nogil:
    """The five loops of float32, which widen the panels of B instead of packing them."""
    cdef Blocks s
    cdef int team = threads_for(2.0 * g.m * g.n * g.k, machine.flops_grain)
    cdef float *scratch = NULL
    cdef bint alone
    choose_blocks(g, &s, scratch)
    # Few panels alone need no packed A, and are not worth reading a large A for.
    alone = not s.pack_a and 4 * g.m * s.kc <= machine.block_a
    if alone:
        s.size_b, s.size_a = 0, SIDE * FASTNN_STRIP * s.kc
    scratch = <float*>take((s.size_b + team * s.size_a) * <int64_t>sizeof(float))
    if scratch is NULL:
        return NO_MEMORY
    if alone:
        run_team(team, widened_share, g, w, scratch)
    else:
        run_team(team, worker[float], g, &s, scratch)
    give(scratch)
    return OK


# All.

cdef int multiply_low(const Product *g, const real *t) noexcept nogil:
    cdef const Low *w = <const Low*>g.b
    if sizeof(real) != sizeof(float):
        return BAD_ARGUMENT
    if g.alpha != 1 or g.beta != 0 or g.csc != 1 or g.n != w.n or g.k != w.k:
        return BAD_ARGUMENT
    if g.m <= FEW or g.k == 0:
        return run_few(g, w)
    if w.format == FASTNN_INT8 or (w.format == FASTNN_BF16 and bf16_dot()):
        return run_tiles(g, w)
    if w.format == FASTNN_BF16 and g.m <= vector_lanes(t):      # docs/tuning.md
        return run_few(g, w)
    return run_widened(g, w)
