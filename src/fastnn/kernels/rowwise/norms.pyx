"""Layer norm and RMS norm over rows, with the residual sum and dropout before them, by pointer.

    h = residual + dropout(x)
    layer norm  y = (h - mean h) / sqrt(var h + eps) * weight + bias    Ba, Kiros and Hinton (2016)
    RMS norm    y = h / sqrt(mean h^2 + eps) * weight                   Zhang and Sennrich (2019)

With g = dy weight and xhat the normalized h: dh = (g - mean g - xhat mean(g xhat)) /
sqrt(var h + eps); RMS norm leaves out mean g. Each direction is one pass over memory: a row stays
in the L1 cache while it is read again. The gradients of weight and bias are summed over parts of
rows that the shape alone fixes, then over the parts in order, so the bits do not depend on the
number of threads. Accuracy: y within a few eps of its largest magnitude, for any mean of the row
(layernorm.h). The functions on arrays are in norms_arrays.pyx.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, bad_rows
from ..ground.dispatch cimport add_run, dropout_run, norm_backward_block, norm_block, real, shifted
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.sums cimport FOLD, add_rows
from ..ground.scalars cimport is_positive, is_probability
from ..ground.threads cimport barrier, run_team, share, share_blocks, threads_for

cdef enum:
    PART = 16384            # elements of a part, so that small shapes have work for several threads
    PART_ROWS = 32          # minimum rows of a part: its two sums are then 1/16 of what it reads
    MOST_PARTS = 64         # exceeded only to keep the sum of a part at FOLD terms or fewer
    BLOCK_ROWS = 4          # NORM_ROWS of layernorm.h
    COLUMNS = 256           # columns of weight and bias that a thread sums over the parts at a time


cdef bint is_large(
    int64_t n, const real *out, const real *x, const real *other, const real *third
) noexcept nogil:
    """True if n reals of output should use non-temporal stores. Never in place."""
    return (
        n * <int64_t>sizeof(real) >= machine.streamed_norms and out is not x and out is not other
        and out is not third
    )


cdef void forward_part(
    int team, int thread, int rms, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *residual, int64_t ldresidual, double p, uint64_t seed, uint64_t step,
    const real *weight, const real *bias, double eps, real *h, int64_t ldh, real *y, int64_t ldy,
    real *stats
) noexcept nogil:
    cdef int64_t i, r, last, count
    cdef bint plain = residual is NULL and p == 0
    cdef bint large = is_large(rows * cols, y, x, residual, x if plain else h)
    share_blocks(rows, BLOCK_ROWS, team, thread, &i, &last)
    if plain:
        norm_block(
            rms, last - i, cols, x + i * ldx, ldx, eps, weight, bias, <real*>shifted(stats, 3 * i),
            y + i * ldy, ldy, large
        )
        return
    while i < last:
        count = min(<int64_t>BLOCK_ROWS, last - i)
        for r in range(i, i + count):
            dropout_run(
                cols, x + r * ldx, shifted(residual, r * ldresidual), p, seed, step, r * cols,
                h + r * ldh
            )
        norm_block(
            rms, count, cols, h + i * ldh, ldh, eps, weight, bias, <real*>shifted(stats, 3 * i),
            y + i * ldy, ldy, large
        )
        i += count


cdef int layer_norm_real(
    int rms, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, const real *weight,
    const real *bias, double eps, real *h, int64_t ldh, real *y, int64_t ldy, real *stats
) noexcept nogil:
    if bad_rows(rows, cols, x, y) or not is_probability(p) or not is_positive(eps):
        return BAD_ARGUMENT
    if rows == 0 or cols == 0:
        return OK
    if h is NULL:       # y holds the sum of a row until it is normalized
        h, ldh = y, ldy
    run_team(
        threads_for(<double>rows * cols, machine.math_grain), forward_part[real], rms, rows, cols,
        x, ldx, residual, ldresidual, p, seed, step, weight, bias, eps, h, ldh, y, ldy, stats
    )
    return OK


cdef int64_t rows_of_part(int64_t rows, int64_t cols) noexcept nogil:
    """Return the number of rows summed separately: a function of the shape alone."""
    cdef int64_t size = min(<int64_t>FOLD * BLOCK_ROWS, (rows + MOST_PARTS - 1) // MOST_PARTS)
    size = max(<int64_t>PART_ROWS, (PART + cols - 1) // cols, size)
    return (size + BLOCK_ROWS - 1) // BLOCK_ROWS * BLOCK_ROWS


cdef void add_parts(
    int team, int thread, int64_t cols, int64_t parts, real *sums, real *dweight, real *dbias
) noexcept nogil:
    """Add this thread's columns of the parts' sums to dweight and dbias."""
    cdef int64_t start, stop, count
    share_blocks(cols, COLUMNS, team, thread, &start, &stop)
    count = stop - start
    if count <= 0:
        return
    sums += start
    add_rows(parts - 1, count, sums + 2 * cols, 2 * cols, sums)
    add_rows(parts - 1, count, sums + 3 * cols, 2 * cols, sums + cols)
    if dweight is not NULL:
        add_run(count, sums, dweight + start)
    if dbias is not NULL:
        add_run(count, sums + cols, dbias + start)


cdef void backward_part(
    int team, int thread, int rms, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *h, int64_t ldh, const real *stats, const real *weight,
    const real *dh_in, int64_t lddh_in, double p, uint64_t seed, uint64_t step,
    real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight, real *dbias, real *sums
) noexcept nogil:
    cdef int64_t i, r, row, count, first, last
    cdef int64_t size = rows_of_part(rows, cols), parts = (rows + size - 1) // size
    cdef bint large = p == 0 and is_large(rows * cols, dh, dy, dh_in, h)
    cdef real *dw = NULL
    cdef real *db = NULL
    share(parts, team, thread, &first, &last)
    for i in range(first, last):
        row = i * size
        count = min(size, rows - row)
        if sums is not NULL:
            dw = sums + 2 * i * cols
            db = dw + cols
            memset(dw, 0, 2 * cols * sizeof(real))
        norm_backward_block(
            rms, count, cols, dy + row * lddy, lddy, h + row * ldh, ldh, stats + 3 * row, weight,
            shifted(dh_in, row * lddh_in), lddh_in, dh + row * lddh, lddh, dw, db,
            large
        )
        if p > 0:
            for r in range(row, row + count):
                dropout_run(
                    cols, dh + r * lddh, <real*>NULL, p, seed, step, r * cols, dx + r * lddx
                )
    if sums is not NULL:
        barrier(team)
        add_parts(team, thread, cols, parts, sums, dweight, dbias)


cdef int layer_norm_backward_real(
    int rms, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *h, int64_t ldh,
    const real *stats, const real *weight, const real *dh_in, int64_t lddh_in, double p,
    uint64_t seed, uint64_t step, real *dh, int64_t lddh, real *dx, int64_t lddx, real *dweight,
    real *dbias
) noexcept nogil:
    cdef int64_t size
    cdef real *sums = NULL
    if bad_rows(rows, cols, dy, h) or bad_rows(rows, cols, stats, dh) or not is_probability(p):
        return BAD_ARGUMENT
    if rows == 0 or cols == 0:
        return OK
    if p > 0 and dx is NULL:
        return BAD_ARGUMENT
    if dweight is not NULL or dbias is not NULL:
        size = rows_of_part(rows, cols)
        sums = <real*>take((rows + size - 1) // size * 2 * cols * <int64_t>sizeof(real))
        if sums is NULL:
            return NO_MEMORY
    run_team(
        threads_for(<double>rows * cols, machine.math_grain), backward_part[real], rms, rows, cols,
        dy, lddy, h, ldh, stats, weight, dh_in, lddh_in, p, seed, step, dh, lddh, dx, lddx, dweight,
        dbias, sums
    )
    give(sums)
    return OK
