"""The five loops of Goto and van de Geijn (ACM TOMS 34, 2008) around the micro-kernel of gemm.h, packing only what pays.

    loop 5   jc over n by NC    B(:, jc) is what the last-level cache holds
    loop 4   pc over k by KC    where it pays, pack B(pc, jc), all threads together; the first block applies beta, the last one bias and activation
    loop 3   ic over m by MC    where it pays, pack A(ic, pc), each thread its own; it stays in the L2 cache
    loop 2   jr over NC by NR   a micro-panel of B
    loop 1   ir over MC by MR   a micro-panel of A: the micro-kernel

Threads divide the tiles of C in two dimensions; no sum is divided, so the bits do not depend on their number.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport FASTNN_ACT_NONE, gemm_tile, pack_a, pack_b, real, tall_rows, tile_columns, tile_rows, vector_lanes
from ..ground.threads cimport barrier, share

from ..ground.caches import data_caches

cdef enum:
    NC = 4096           # columns of B at a time: NC x KC reals are 6 MiB in float32
    PAGE = 4096         # bytes; see strided
    L2_WAYS = 16        # 8 or 16 in x86-64 and aarch64 cores; where it is 8 the blocks come out smaller than they could be
    FEW_TILES = 3       # row tiles of C up to which B is read in place whatever its stride: 16 x 768 x 768 248, packed 162 GFLOP/s
    MANY_TILES = 48     # row tiles of C from which B is packed all the same: its rows are aligned then, 2 % faster for 1.6 % at 512 cubed
    FEW_PANELS = 2      # panels of C up to which transposed A is read in place whatever its stride
    MANY_PANELS = 16    # panels of C from which rows of A that crowd the cache are packed: 2,048 cubed 210, in place 193 GFLOP/s

# KC: a micro-panel of B takes at most 3/2 of the L1 cache, and there are enough products to pay for storing a tile. MC: a block of A takes half of the L2
# cache. Measured at 2,048 cubed, AVX-512, 48 KiB and 1 MiB: MC 144 214, 240 229, 336 232, 480 229 GFLOP/s with KC 384; KC 256 one to three per cent less.
cdef int64_t _l1, _l2
_l1, _l2 = data_caches()


cdef int64_t block_k(int64_t k, bint b_is_packed, const real *t) noexcept nogil:
    """Of B packed before, blocks may be longer: nothing is packed to be read once, and C is stored less often. 256 rows through 784-1024-1024-10 by two
    threads: 447 GFLOP/s, with the blocks of a plain product 430."""
    cdef int64_t l1 = _l1 // (tile_columns(t) * <int64_t>sizeof(real))
    return balanced(k, min(<int64_t>800, 4 * l1) if b_is_packed else min(<int64_t>512, max(<int64_t>256, 3 * l1 // 2)), 1)


# Panels of B: as many vectors as a tile has, but two panels of two rather than one of three and one of one, which would not hide the latency of FMA.

cdef inline int64_t panel_start(int64_t panel, int64_t n, const real *t) noexcept nogil:
    cdef int64_t nr = tile_columns(t), lanes = vector_lanes(t), vectors = ceil_div(n, lanes), panels = ceil_div(n, nr)
    if panel >= panels:
        return n
    if panel == panels - 1 and panels > 1 and nr == 3 * lanes and vectors % 3 == 1:
        return (vectors - 2) * lanes
    return panel * nr


cdef inline bint strided(int64_t unit_stride, int64_t k_stride, int64_t size) noexcept nogil:
    """Whether runs along k are better packed. With a page or more between its elements each step takes another TLB entry and, at powers of two, the same
    cache set. At 1,024 cubed with AVX2: in place 83 (A^T) and 89 (B), packed 119 GFLOP/s; at 512 in place is 1 to 3 % faster, below up to 25 %."""
    return unit_stride != 1 or k_stride >= PAGE // size or k_stride <= -PAGE // size


cdef int64_t footprint(int64_t stride) noexcept nogil:
    """Bytes of the L2 cache that a row takes among rows so many bytes apart: their greatest common factor with the size of a way."""
    cdef int64_t way = _l2 // L2_WAYS, rest
    stride = -stride if stride < 0 else stride
    while stride > 0:
        rest = way % stride
        way = stride
        stride = rest
    return way


cdef void choose_blocks(const Product *g, Blocks *s, const real *t) noexcept nogil:
    cdef int64_t mr, nr = tile_columns(t), lanes = vector_lanes(t), size = sizeof(real), row, row_in_place
    s.kc = block_k(g.k, g.b_is_packed, t)
    s.nc = balanced(g.n, NC, nr)
    s.k_blocks = max(1, ceil_div(g.k, s.kc))      # k = 0 still scales C
    s.n_blocks = ceil_div(g.n, s.nc)
    row = s.kc * size
    row_in_place = max(row, footprint(g.rsa * size))
    if g.csa == 1:
        s.pack_a = row_in_place > 2 * row and g.m > tile_rows(t) and g.n >= MANY_PANELS * nr
    else:
        s.pack_a = strided(g.rsa, g.csa, size) and g.n > FEW_PANELS * nr
    s.mr = mr = tall_rows(t) if g.n <= lanes and not s.pack_a else tile_rows(t)
    s.mc = balanced(g.m, max(mr, _l2 // 2 // (row_in_place if g.csa == 1 and not s.pack_a else row)), mr)
    s.size_a = s.mc * s.kc if s.pack_a else 0
    s.height = g.m // ceil_div(g.m, mr)
    s.taller = g.m % ceil_div(g.m, mr)
    s.b_in_place = not g.b_is_packed and g.csb == 1 and (g.m <= FEW_TILES * mr or (g.m < MANY_TILES * mr and not strided(1, g.rsb, size)))
    if g.b_is_packed:
        s.size_b = 0
    elif s.b_in_place:      # but for a panel whose last vector is not whole, since nothing may be read past the end of a row
        s.size_b = nr * s.kc if g.n % lanes else 0
    else:
        s.size_b = ceil_div(min(s.nc, g.n), lanes) * lanes * s.kc


cdef inline int64_t packed_from(const Blocks *s, int64_t nb, const real *t) noexcept nogil:
    """The first panel of a block of columns that is packed: none but a last one that is not of whole vectors, where B is read in place."""
    return panel_count(nb, t) - (1 if nb % vector_lanes(t) else 0) if s.b_in_place else 0


cdef bint rather_columns(int team, const Blocks *s, int64_t nb, const real *t) noexcept nogil:
    """Whether the team had better divide the columns of C: where B alone is packed, as a thread then reads what it has packed itself, and where the last
    panel, which is narrower, does not leave the shares uneven. 256 x 1,024 x 1,024 by two threads: 349 in rows, 466 GFLOP/s in columns."""
    return s.size_b > 0 and not s.b_in_place and not s.pack_a and 16 * team * panel_start(ceil_div(panel_count(nb, t), team), nb, t) <= 17 * nb


cdef void split_team(int team, int64_t row_tiles, int64_t panels, bint by_columns, int *rows, int *columns) noexcept nogil:
    """Arrange the team as rows x columns over the tiles of C so that the largest part is smallest; of equal ones rather in rows, which pack A once."""
    cdef int64_t part, best = -1
    cdef int r
    for r in range(1, team + 1):
        if team % r == 0:
            part = ceil_div(row_tiles, r) * ceil_div(panels, team // r)
            if best < 0 or part < best or (part == best and not by_columns):
                best = part
                rows[0] = r
                columns[0] = team // r


cdef void pack_panels(int team, int thread, int64_t first_packed, int64_t kb, int64_t nb, const real *b, int64_t rsb, int64_t csb,
                      real *packed) noexcept nogil:
    """This thread's share of the panels from first_packed on; packed begins with that panel."""
    cdef int64_t i, first, last, j, origin = panel_start(first_packed, nb, b)
    share(panel_count(nb, b) - first_packed, team, thread, &first, &last)
    for i in range(first_packed + first, first_packed + last):
        j = panel_start(i, nb, b)
        pack_b(panel_start(i + 1, nb, b) - j, kb, b + j * csb, rsb, csb, packed + (j - origin) * kb)


cdef inline int64_t row_start(int64_t tile, const Product *g, const Blocks *s, int64_t mr) noexcept nogil:
    """The first row of a tile of C. In place, tiles are as equal as can be, since there is a kernel for every height; packed panels have mr rows."""
    return min(g.m, tile * mr) if s.pack_a else tile * s.height + min(tile, s.taller)


cdef void block_times_panels(const Product *g, const Blocks *s, int64_t tile0, int64_t tile1, int64_t panel0, int64_t panel1, int64_t nb,
                             int64_t kb, const real *a, const real *b, const real *packed_b, double beta, int64_t jc, bint last) noexcept nogil:
    """Loops 2 and 1: tiles tile0..tile1-1 of the rows of C times panels panel0..panel1-1 of the columns at jc.

    a points to row 0 of A in place, or to the packed tile tile0."""
    cdef int64_t mr = s.mr, lanes = vector_lanes(a), first_packed = packed_from(s, nb, a), origin = panel_start(first_packed, nb, a)
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
                      a + ((tile - tile0) * mr * kb if s.pack_a else i * g.rsa), g.rsa, csa, panel_b, ldb, <real>beta,
                      <real*>g.c + offset, g.rsc, g.csc, bias, g.activation if last else FASTNN_ACT_NONE,
                      <real*>g.preact + offset if last and g.preact is not NULL else NULL)


cdef void worker(int team, int thread, const Product *g, const Blocks *s, real *scratch) noexcept nogil:
    """What each thread of the team does: loops 5 to 3, its share of packing B, and its rectangle of the tiles of C."""
    cdef const real *a = <const real*>g.a
    cdef const real *b
    cdef const real *block_a
    cdef real *packed_a = scratch + s.size_b + thread * s.size_a
    cdef const real *packed_b = scratch
    cdef int64_t mr = s.mr, lanes = vector_lanes(a), jc, nb, pc, kb, tile, tile0, tile1, last_tile, panel0, panel1
    cdef int64_t jb, pb, i, tiles = ceil_div(g.m, mr)
    cdef int rows = 1, columns = 1
    cdef bint last
    for jb in range(s.n_blocks):
        jc = jb * s.nc
        nb = min(s.nc, g.n - jc)
        split_team(team, tiles, panel_count(nb, a), rather_columns(team, s, nb, a), &rows, &columns)
        share(tiles, rows, thread // columns, &tile0, &tile1)
        share(panel_count(nb, a), columns, thread % columns, &panel0, &panel1)
        for pb in range(s.k_blocks):
            pc = pb * s.kc
            kb = min(s.kc, g.k - pc)
            last = pb == s.k_blocks - 1
            b = <const real*>g.b + pc * g.rsb + jc * g.csb
            if g.b_is_packed:
                packed_b = <const real*>g.b + jc * g.k + pc * ceil_div(nb, lanes) * lanes
            elif s.size_b > 0:
                pack_panels(team, thread, packed_from(s, nb, a), kb, nb, b, g.rsb, g.csb, scratch)
                barrier(team)
            tile = tile0
            while tile < tile1 and panel0 < panel1:
                last_tile = min(tile1, tile + s.mc // mr)
                block_a = a + pc * g.csa
                if s.pack_a:
                    i = row_start(tile, g, s, mr)
                    pack_a(row_start(last_tile, g, s, mr) - i, kb, block_a + i * g.rsa, g.rsa, g.csa, packed_a)
                    block_a = packed_a
                block_times_panels(g, s, tile, last_tile, panel0, panel1, nb, kb, block_a, b, packed_b, g.beta if pb == 0 else 1, jc, last)
                tile = last_tile
            if s.size_b > 0:
                barrier(team)


cdef int64_t packed_size(int64_t k, int64_t n, const real *t) noexcept nogil:
    return ceil_div(n, vector_lanes(t)) * vector_lanes(t) * k


cdef void pack_whole(int64_t k, int64_t n, const real *b, int64_t rsb, int64_t csb, real *packed) noexcept nogil:
    """All blocks of B as the loops want them, one after the other."""
    cdef int64_t nc = balanced(n, NC, tile_columns(b)), kc = block_k(k, True, b), lanes = vector_lanes(b), jb, pb, jc, pc, nb
    for jb in range(ceil_div(n, nc)):
        jc = jb * nc
        nb = min(nc, n - jc)
        for pb in range(ceil_div(k, kc)):
            pc = pb * kc
            pack_panels(1, 0, 0, min(kc, k - pc), nb, b + pc * rsb + jc * csb, rsb, csb, packed + jc * k + pc * ceil_div(nb, lanes) * lanes)
