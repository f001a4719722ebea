"""The five loops of Goto and van de Geijn (ACM TOMS 34, 2008) around the micro-kernel of gemm.h.

    loop 5   jc over n by NC    B(:, jc) fits the last-level cache
    loop 4   pc over k by KC    B(pc, jc) is packed if that pays, by all threads together;
                                the first block applies beta, the last one bias and activation
    loop 3   ic over m by MC    A(ic, pc) is packed if that pays, by each thread for itself;
                                it stays in the L2 cache
    loop 2   jr over NC by NR   a panel of B
    loop 1   ir over MC by MR   a panel of A: the micro-kernel

Threads divide the tiles of C in two dimensions. An element of C is the same sum whatever the
blocks of rows and columns, the threads and the packing: KC depends on k alone.
"""
from libc.stdint cimport int64_t

from ..ground.arrays cimport OK
from ..ground.dispatch cimport (FASTNN_ACT_NONE, FASTNN_STRIP, gemm_tile, low_widen, pack_a, pack_b,
                                real, tall_rows, tile_columns, tile_rows, vector_lanes)
from ..ground.machine cimport machine
from ..ground.threads cimport barrier, share

cdef enum:
    # Thresholds are measured in docs/tuning.md.
    PAGE = 4096         # bytes; see strided
    L2_WAYS = 16        # associativity of the L2 cache; if it is 8, blocks of A get too small
    FEW_TILES = 3       # read B in place up to this many row tiles of C, whatever its stride
    MANY_TILES = 48     # pack B from this many row tiles of C on: packed rows are aligned
    FEW_PANELS = 2      # read a transposed A in place up to this many panels of C
    MANY_PANELS = 16    # from this many panels of C on, pack rows of A that share cache sets


cdef int64_t block_n(int64_t n, const real *t) noexcept nogil:
    """Return NC."""
    return balanced(n, machine.row_of_b // <int64_t>sizeof(real), tile_columns(t))


cdef int64_t panel_start(int64_t panel, int64_t n, const real *t) noexcept nogil:
    """Return the first column of a panel of B, which is as wide as a tile.

    If panels of three vectors would leave one, the last two panels have two vectors each: a panel
    of one would not hide the latency of FMA.
    """
    cdef int64_t nr = tile_columns(t), lanes = vector_lanes(t)
    cdef int64_t vectors = ceil_div(n, lanes), panels = ceil_div(n, nr)
    if panel >= panels:
        return n
    if panel == panels - 1 and panels > 1 and nr == 3 * lanes and vectors % 3 == 1:
        return (vectors - 2) * lanes
    return panel * nr


cdef inline bint strided(int64_t unit_stride, int64_t k_stride, int64_t size) noexcept nogil:
    """True if the operand should be packed: its steps along k are a page or more apart.

    Each step then takes another TLB entry and, at powers of two, the same cache set
    (docs/tuning.md).
    """
    return unit_stride != 1 or k_stride >= PAGE // size or k_stride <= -PAGE // size


cdef int64_t footprint(int64_t stride) noexcept nogil:
    """Return the bytes of L2 cache that one of many rows, `stride` bytes apart, occupies.

    It is the greatest common divisor of the stride and the size of a way: rows a large power of
    two apart share few sets.
    """
    cdef int64_t way = machine.l2 // L2_WAYS, rest
    stride = -stride if stride < 0 else stride
    while stride > 0:
        rest = way % stride
        way = stride
        stride = rest
    return way


cdef void choose_blocks(const Product *g, Blocks *s, const real *t) noexcept nogil:
    """Choose the block sizes, and which operands are packed, from the shape and the strides."""
    cdef int64_t mr, nr = tile_columns(t), lanes = vector_lanes(t), size = sizeof(real)
    cdef int64_t row, row_in_place
    s.kc = block_k(g.k)
    s.nc = block_n(g.n, t)
    s.k_blocks = max(1, ceil_div(g.k, s.kc))      # k = 0 still scales C
    s.n_blocks = ceil_div(g.n, s.nc)
    row = s.kc * size
    row_in_place = max(row, footprint(g.rsa * size))
    if g.csa == 1:
        s.pack_a = row_in_place > 2 * row and g.m > tile_rows(t) and g.n >= MANY_PANELS * nr
    else:
        s.pack_a = strided(g.rsa, g.csa, size) and g.n > FEW_PANELS * nr
    s.mr = mr = tall_rows(t) if g.n <= lanes and not s.pack_a else tile_rows(t)
    s.mc = balanced(
        g.m,
        max(mr, machine.block_a // (row_in_place if g.csa == 1 and not s.pack_a else row)),
        mr
    )
    s.size_a = s.mc * s.kc if s.pack_a else 0
    s.height = g.m // ceil_div(g.m, mr)
    s.taller = g.m % ceil_div(g.m, mr)
    s.b_in_place = (
        g.format == STRIDED
        and g.csb == 1
        and (g.m <= FEW_TILES * mr
             or (g.m < MANY_TILES * mr and not strided(1, g.rsb, size)))
    )
    if g.format == PANELS:
        s.size_b = 0
    elif s.b_in_place:
        # A panel that ends in part of a vector is packed: reads must not pass the end of a row.
        s.size_b = nr * s.kc if g.n % lanes else 0
    else:
        s.size_b = ceil_div(min(s.nc, g.n), lanes) * lanes * s.kc


cdef inline int64_t packed_from(const Blocks *s, int64_t nb, const real *t) noexcept nogil:
    """Return the first packed panel of a block of columns.

    If B is read in place, only a last panel that ends in part of a vector is packed.
    """
    return panel_count(nb, t) - (1 if nb % vector_lanes(t) else 0) if s.b_in_place else 0


cdef bint rather_columns(int team, const Product *g, const Blocks *s, int64_t nb,
                         const real *t) noexcept nogil:
    """True if C should be divided by columns (docs/tuning.md).

    If A is not packed, each thread reads its rows of A and its columns of B: less of both together
    if the longer side of C is divided. Where all of B is packed, it is also read by the thread that
    packed it, and the last panel, which is narrower, leaves the largest share within 1/16 of even.
    """
    if s.pack_a:
        return False
    if s.size_b == 0 or s.b_in_place:
        return g.m < nb
    return 16 * team * panel_start(ceil_div(panel_count(nb, t), team), nb, t) <= 17 * nb


cdef void split_team(
    int team, int64_t row_tiles, int64_t panels, bint by_columns, int *rows, int *columns
) noexcept nogil:
    """Arrange the team as rows x columns over the tiles of C so that the largest part is smallest.

    A tie goes to fewer rows if by_columns, and otherwise to more rows, which pack A once.
    """
    cdef int64_t part, best = -1
    cdef int r
    for r in range(1, team + 1):
        if team % r == 0:
            part = ceil_div(row_tiles, r) * ceil_div(panels, team // r)
            if best < 0 or part < best or (part == best and not by_columns):
                best = part
                rows[0] = r
                columns[0] = team // r


cdef void pack_panels(
    int team, int thread, int64_t first_packed, int64_t kb, int64_t nb,
    const real *b, int64_t rsb, int64_t csb, real *packed
) noexcept nogil:
    """Pack this thread's share of the panels from first_packed on; `packed` begins there."""
    cdef int64_t i, first, last, j, origin = panel_start(first_packed, nb, b)
    share(panel_count(nb, b) - first_packed, team, thread, &first, &last)
    for i in range(first_packed + first, first_packed + last):
        j = panel_start(i, nb, b)
        pack_b(panel_start(i + 1, nb, b) - j, kb, b + j * csb, rsb, csb, packed + (j - origin) * kb)


cdef void widen_panels(
    int team, int thread, const Low *w, int64_t block, int64_t kb, int64_t jc, int64_t nb,
    real *packed
) noexcept nogil:
    """Widen this thread's share of the panels of columns jc..jc+nb-1 of a block of k."""
    cdef int64_t i, first, last, j
    cdef const char *data = (
        <const char*>w.data + block * padded(w.kc) * FASTNN_STRIP * row_bytes(w.format)
    )
    cdef const float *scales = w.scales + block * ceil_div(w.kc, 32) * FASTNN_STRIP
    share(panel_count(nb, packed), team, thread, &first, &last)
    if real is float:
        for i in range(first, last):
            j = panel_start(i, nb, packed)
            low_widen(w.format, jc + j, panel_start(i + 1, nb, packed) - j, kb, data, w.next,
                      scales, w.ahead, packed + j * kb)


cdef inline int64_t row_start(
    int64_t tile, const Product *g, const Blocks *s, int64_t mr
) noexcept nogil:
    """Return the first row of a tile of C.

    Panels of a packed A have mr rows. Tiles of an A in place are nearly equal in height, since
    there is a micro-kernel for every height.
    """
    return min(g.m, tile * mr) if s.pack_a else tile * s.height + min(tile, s.taller)


cdef void block_times_panels(
    const Product *g, const Blocks *s, int64_t tile0, int64_t tile1, int64_t panel0, int64_t panel1,
    int64_t nb, int64_t kb, const real *a, const real *b, const real *packed_b, double beta,
    int64_t jc, bint last
) noexcept nogil:
    """Run loops 2 and 1: row tiles tile0..tile1-1 of C by panels panel0..panel1-1 of the block jc.

    a points to row 0 of an A in place, or to the packed tile tile0.
    """
    cdef int64_t mr = s.mr, lanes = vector_lanes(a)
    cdef int64_t first_packed = packed_from(s, nb, a), origin = panel_start(first_packed, nb, a)
    cdef int64_t csa = mr if s.pack_a else g.csa, panel, tile, i, j, width, ldb, offset
    cdef const real *panel_b
    cdef const real *bias
    for panel in range(panel0, panel1):
        j = panel_start(panel, nb, a)
        width = panel_start(panel + 1, nb, a) - j
        if panel < first_packed:
            panel_b, ldb = b + j, g.rsb
        else:
            panel_b, ldb = packed_b + (j - origin) * kb, ceil_div(width, lanes) * lanes
        bias = <const real*>g.bias + jc + j if last and g.bias is not NULL else NULL
        for tile in range(tile0, tile1):
            i = row_start(tile, g, s, mr)
            offset = i * g.rsc + (jc + j) * g.csc
            gemm_tile(row_start(tile + 1, g, s, mr) - i, width, kb, <real>g.alpha, s.pack_a,
                      a + ((tile - tile0) * mr * kb if s.pack_a else i * g.rsa), g.rsa, csa,
                      panel_b, ldb, <real>beta, <real*>g.c + offset, g.rsc, g.csc, bias,
                      g.activation if last else FASTNN_ACT_NONE,
                      <real*>g.preact + offset if last and g.preact is not NULL else NULL)


cdef void worker(
    int team, int thread, const Product *g, const Blocks *s, real *scratch
) noexcept nogil:
    """Run loops 5 to 3 for this thread: its share of packing B, and its rectangle of tiles of C."""
    cdef const real *a = <const real*>g.a
    cdef const real *b
    cdef const real *block_a
    cdef real *packed_a = scratch + s.size_b + thread * s.size_a
    cdef const real *packed_b = scratch
    cdef int64_t mr = s.mr, lanes = vector_lanes(a), jc, nb, pc, kb
    cdef int64_t tile, tile0, tile1, last_tile, panel0, panel1
    cdef int64_t jb, pb, i, tiles = ceil_div(g.m, mr)
    cdef int rows = 1, columns = 1
    cdef bint last, by_columns
    for jb in range(s.n_blocks):
        jc = jb * s.nc
        nb = min(s.nc, g.n - jc)
        by_columns = rather_columns(team, g, s, nb, a)
        split_team(team, tiles, panel_count(nb, a), by_columns, &rows, &columns)
        share(tiles, rows, thread // columns, &tile0, &tile1)
        share(panel_count(nb, a), columns, thread % columns, &panel0, &panel1)
        for pb in range(s.k_blocks):
            pc = pb * s.kc
            kb = min(s.kc, g.k - pc)
            last = pb == s.k_blocks - 1
            b = <const real*>g.b + pc * g.rsb + jc * g.csb
            if g.format == PANELS:
                packed_b = <const real*>g.b + jc * g.k + pc * ceil_div(nb, lanes) * lanes
            elif g.format != STRIDED:
                widen_panels(team, thread, <const Low*>g.b, pb, kb, jc, nb, scratch)
                barrier(team)
            elif s.size_b > 0:
                pack_panels(team, thread, packed_from(s, nb, a), kb, nb, b, g.rsb, g.csb, scratch)
                barrier(team)
            tile = tile0
            while tile < tile1 and panel0 < panel1:
                last_tile = min(tile1, tile + s.mc // mr)
                block_a = a + pc * g.csa
                if s.pack_a:
                    i = row_start(tile, g, s, mr)
                    pack_a(row_start(last_tile, g, s, mr) - i, kb, block_a + i * g.rsa, g.rsa,
                           g.csa, packed_a)
                    block_a = packed_a
                block_times_panels(g, s, tile, last_tile, panel0, panel1, nb, kb, block_a, b,
                                   packed_b, g.beta if pb == 0 else 1, jc, last)
                tile = last_tile
            if s.size_b > 0:
                barrier(team)


cdef int64_t packed_size(int64_t k, int64_t n, const real *t) noexcept nogil:
    return ceil_div(n, vector_lanes(t)) * vector_lanes(t) * k


cdef int pack_whole(
    int64_t k, int64_t n, const real *b, int64_t rsb, int64_t csb, real *packed
) noexcept nogil:
    """Pack all blocks of B in the order in which the loops read them."""
    cdef int64_t nc = block_n(n, b), kc = block_k(k)
    cdef int64_t lanes = vector_lanes(b), jb, pb, jc, pc, nb
    for jb in range(ceil_div(n, nc)):
        jc = jb * nc
        nb = min(nc, n - jc)
        for pb in range(ceil_div(k, kc)):
            pc = pb * kc
            pack_panels(1, 0, 0, min(kc, k - pc), nb, b + pc * rsb + jc * csb, rsb, csb,
                        packed + jc * k + pc * ceil_div(nb, lanes) * lanes)
    return OK
