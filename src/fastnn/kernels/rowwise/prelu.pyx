"""ReLU with a slope below 0, forward and backward.

    leaky_relu  x if x > 0, else slope x    Maas, Hannun and Ng (2013)
    prelu       x if x > 0, else a_j x      He et al. (2015); a is learned, per column or for all

    dx = dy if x > 0, else a_j dy           da_j += sum over the rows of dy x where x <= 0

Each output is one rounded product. The sums are taken over blocks of ROWS rows, or of UNIT elements
if there is one slope, and added in order, so the bits do not depend on the number of threads. The
derivative at 0 and at NaN is the slope, as in PyTorch.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, Rows
from ..ground.dispatch cimport past_caches, prelu_backward_block, prelu_block, real
from ..ground.memory cimport give, take
from ..ground.sums cimport add_rows
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    ROWS = 64           # rows summed separately for the gradient of a
    UNIT = 8192         # the same in elements for one slope, and the block in which a row is split
    GRAIN = 32768       # minimum elements per thread (docs/tuning.md)


cdef inline int64_t unit_rows(bint shared, int64_t cols) noexcept nogil:
    return max(<int64_t>1, UNIT // max(<int64_t>1, cols)) if shared else ROWS


cdef inline int64_t unit_cols(int64_t rows, int64_t cols) noexcept nogil:
    """Return the columns of a unit. Only a single row is split."""
    return UNIT if rows == 1 else max(<int64_t>1, cols)


cdef inline int64_t units(bint shared, int64_t rows, int64_t cols) noexcept nogil:
    return (rows + unit_rows(shared, cols) - 1) // unit_rows(shared, cols) * (
        (cols + unit_cols(rows, cols) - 1) // unit_cols(rows, cols)
    )


cdef void forward_share(
    int team, int thread, bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *a, real *y, int64_t ldy
) noexcept nogil:
    cdef int64_t first, last
    cdef bint large = past_caches(rows * cols, y, x, x)
    if rows == 1:
        share((cols + UNIT - 1) // UNIT, team, thread, &first, &last)
        first, last = first * UNIT, min(last * UNIT, cols)
        prelu_block(
            shared, 1, last - first, x + first, ldx, a if shared else a + first, y + first, ldy,
            large
        )
    else:
        share(rows, team, thread, &first, &last)
        prelu_block(
            shared, last - first, cols, x + first * ldx, ldx, a, y + first * ldy, ldy, large
        )


cdef void backward_share(
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


cdef int forward(
    bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *a,
    real *y, int64_t ldy
) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (x is NULL or a is NULL or y is NULL)):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        forward_share(1, 0, shared, rows, cols, x, ldx, a, y, ldy)
    else:
        with parallel(num_threads=team):
            forward_share(team_size(), thread_id(), shared, rows, cols, x, ldx, a, y, ldy)
    return OK


cdef int backward(
    bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *x, int64_t ldx, const real *a, real *dx, int64_t lddx, real *da
) noexcept nogil:
    cdef int64_t i, count = units(shared, rows, cols)
    cdef int team
    cdef void *sums = NULL
    cdef double total = 0
    if (
        rows < 0
        or cols < 0
        or (rows > 0 and cols > 0 and (dy is NULL or x is NULL or a is NULL or dx is NULL))
    ):
        return BAD_ARGUMENT
    if da is not NULL:
        sums = take(
            count * <int64_t>sizeof(double) if shared
            else (rows + ROWS - 1) // ROWS * cols * <int64_t>sizeof(real)
        )
        if sums is NULL:
            return NO_MEMORY
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        backward_share(1, 0, shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, sums)
    else:
        with parallel(num_threads=team):
            backward_share(
                team_size(), thread_id(), shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, sums
            )
    if da is not NULL and shared:
        for i in range(count):
            total += (<double*>sums)[i]
        da[0] += <real>total
    elif da is not NULL:
        add_rows((rows + ROWS - 1) // ROWS, cols, <real*>sums, cols, da)
    give(sums)
    return OK


cdef int prelu_real(
    bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *a, real *y,
    int64_t ldy
) noexcept nogil:
    return forward(shared, rows, cols, x, ldx, a, y, ldy)


cdef int prelu_backward_real(
    bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *x,
    int64_t ldx, const real *a, real *dx, int64_t lddx, real *da
) noexcept nogil:
    return backward(shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, da)


cdef int forward_typed(
    int typenum, bint shared, Rows r, void *x, int64_t ldx, void *a, void *y, int64_t ldy
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return forward(shared, r.rows, r.cols, <float*>x, ldx, <float*>a, <float*>y, ldy)
    if typenum == cnp.NPY_DOUBLE:
        return forward(shared, r.rows, r.cols, <double*>x, ldx, <double*>a, <double*>y, ldy)
    return BAD_ARGUMENT


cdef int backward_typed(
    int typenum, bint shared, Rows r, void *dy, int64_t lddy, void *x, int64_t ldx, void *a,
    void *dx, int64_t lddx, void *da
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return backward(
            shared, r.rows, r.cols, <float*>dy, lddy, <float*>x, ldx, <float*>a, <float*>dx, lddx,
            <float*>da
        )
    if typenum == cnp.NPY_DOUBLE:
        return backward(
            shared, r.rows, r.cols, <double*>dy, lddy, <double*>x, ldx, <double*>a,
            <double*>dx, lddx, <double*>da
        )
    return BAD_ARGUMENT
