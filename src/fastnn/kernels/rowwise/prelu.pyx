"""ReLU with a slope below 0, forward and backward.

    leaky_relu  x if x > 0, else slope x    Maas, Hannun and Ng (2013)
    prelu       x if x > 0, else a_j x      He et al. (2015); a is learned, per column or for all

    dx = dy if x > 0, else a_j dy           da_j += sum over the rows of dy x where x <= 0

Each output is one rounded product. The sums are taken over blocks of ROWS rows, or of UNIT elements
if there is one slope, and added in order, so the bits do not depend on the number of threads. The
derivative at 0 and at NaN is the slope, as in PyTorch.
"""
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, bad_rows
from ..ground.dispatch cimport prelu_backward_block, prelu_block, real
from ..ground.machine cimport machine, past_caches
from ..ground.memory cimport give, take
from ..ground.sums cimport add_rows
from ..ground.threads cimport Block, block_of, run_team, share, threads_for

cdef enum:
    ROWS = 64           # rows summed separately for the gradient of a
    UNIT = 8192         # the same in elements for one slope, and the block in which a row is split


cdef inline int64_t unit_rows(bint shared, int64_t cols) noexcept nogil:
    return max(<int64_t>1, UNIT // max(<int64_t>1, cols)) if shared else ROWS


cdef inline int64_t unit_cols(int64_t rows, int64_t cols) noexcept nogil:
    """Return the columns of a unit. Only a single row is split."""
    return UNIT if rows == 1 else max(<int64_t>1, cols)


cdef inline int64_t units(bint shared, int64_t rows, int64_t cols) noexcept nogil:
    return (rows + unit_rows(shared, cols) - 1) // unit_rows(shared, cols) * (
        (cols + unit_cols(rows, cols) - 1) // unit_cols(rows, cols)
    )


cdef void forward_part(
    int team, int thread, bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *a, real *y, int64_t ldy
) noexcept nogil:
    cdef Block b = block_of(rows, cols, UNIT, team, thread)
    prelu_block(
        shared, b.rows, b.cols, x + b.row * ldx + b.col, ldx, a if shared else a + b.col,
        y + b.row * ldy + b.col, ldy, past_caches(rows * cols, y, x, x)
    )


cdef void backward_part(
    int team, int thread, bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *x, int64_t ldx, const real *a, real *dx, int64_t lddx, void *sums
) noexcept nogil:
    """Compute this thread's units of dx, and their sums for da unless sums is NULL.

    sums holds one double per unit if shared, else cols reals for every ROWS rows.
    """
    cdef int64_t i, row, column, first, last, at_dy, at_x, at_dx
    cdef int64_t m = unit_rows(shared, cols), n = unit_cols(rows, cols)
    cdef bint large = past_caches(rows * cols, dx, dy, x)
    cdef real *row_sums = NULL
    cdef double total
    share(units(shared, rows, cols), team, thread, &first, &last)
    for i in range(first, last):
        row = 0 if rows == 1 else i * m
        column = i * n if rows == 1 else 0
        at_dy, at_x, at_dx = row * lddy + column, row * ldx + column, row * lddx + column
        if sums is not NULL and not shared:
            row_sums = <real*>sums + row // m * cols + column
        total = prelu_backward_block(
            shared, min(m, rows - row), min(n, cols - column), dy + at_dy, lddy, x + at_x, ldx,
            a if shared else a + column, dx + at_dx, lddx, sums is not NULL, row_sums, large
        )
        if sums is not NULL and shared:
            (<double*>sums)[i] = total


cdef int prelu_real(
    bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *a, real *y,
    int64_t ldy
) noexcept nogil:
    if bad_rows(rows, cols, x, y) or bad_rows(rows, cols, a, a):
        return BAD_ARGUMENT
    run_team(
        threads_for(<double>rows * cols, machine.pass_grain), forward_part[real], shared, rows,
        cols, x, ldx, a, y, ldy
    )
    return OK


cdef int prelu_backward_real(
    bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *x,
    int64_t ldx, const real *a, real *dx, int64_t lddx, real *da
) noexcept nogil:
    cdef int64_t i, count = units(shared, rows, cols)
    cdef void *sums = NULL
    cdef double total = 0
    if bad_rows(rows, cols, dy, dx) or bad_rows(rows, cols, x, a):
        return BAD_ARGUMENT
    if da is not NULL:
        sums = take(
            count * <int64_t>sizeof(double) if shared
            else (rows + ROWS - 1) // ROWS * cols * <int64_t>sizeof(real)
        )
        if sums is NULL:
            return NO_MEMORY
    run_team(
        threads_for(<double>rows * cols, machine.pass_grain), backward_part[real], shared, rows,
        cols, dy, lddy, x, ldx, a, dx, lddx, sums
    )
    if da is not NULL and shared:
        for i in range(count):
            total += (<double*>sums)[i]
        da[0] += <real>total
    elif da is not NULL:
        add_rows((rows + ROWS - 1) // ROWS, cols, <real*>sums, cols, da)
    give(sums)
    return OK
