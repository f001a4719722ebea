"""Softmax and log-softmax over the last axis, forward and backward.

    softmax        y_j = exp(x_j - max x) / sum_i exp(x_i - max x)
                   dx_j = y_j (dy_j - sum_i dy_i y_i)
    log_softmax    y_j = (x_j - max x) - log sum_i exp(x_i - max x)
                   dx_j = dy_j - exp(y_j) sum_i dy_i

*Dive into Deep Learning*, sections 4.1 and 11.3. Subtracting the maximum keeps exp from overflowing
and changes nothing else. A row with NaN or +inf, or of -inf alone, is NaN, as in PyTorch. Sums run
over short chunks in the real type and over the chunks in double. Accuracy: softmax within a
relative (16 + |x_j - max x| / 2) eps, since x_j - max x is rounded; log-softmax within 16 eps of
max(1, |y|), for rows of any length. The functions on arrays are in softmax_arrays.pyx.
"""
from libc.stdint cimport int64_t
from libc.string cimport memset

from ..ground.arrays cimport BAD_ARGUMENT, OK, bad_rows
from ..ground.dispatch cimport (
    log_softmax_backward_block, log_softmax_block, real, softmax_backward_block,
    softmax_block,
)
from ..ground.machine cimport machine, past_caches
from ..ground.threads cimport run_team, share, threads_for

cdef int64_t equal_rows(
    Lengths lengths, int64_t i, int64_t last, int64_t cols, int64_t *n
) noexcept nogil:
    """Return where the rows from i on that share row i's length end, at most `last`.

    *n receives that length.
    """
    n[0] = cols
    if lengths.of is NULL:
        return last
    n[0] = lengths.of[i // lengths.rows]
    return min(last, (i // lengths.rows + 1) * lengths.rows)


cdef void clear_rest(int64_t rows, int64_t n, int64_t cols, real *y, int64_t ldy) noexcept nogil:
    """Set the columns from n on to zero."""
    cdef int64_t i
    if n < cols:
        for i in range(rows):
            memset(y + i * ldy + n, 0, (cols - n) * sizeof(real))


cdef void forward_part(
    int team, int thread, Kind kind, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    Lengths lengths, real *y, int64_t ldy
) noexcept nogil:
    cdef int64_t i, first, last, stop, n
    cdef bint large = (
        rows * cols * <int64_t>sizeof(real) >= machine.streamed_rows
        and past_caches(rows * cols, y, x, x)
    )
    share(rows, team, thread, &first, &last)
    i = first
    while i < last:
        stop = equal_rows(lengths, i, last, cols, &n)
        if kind == SOFTMAX:
            softmax_block(stop - i, n, x + i * ldx, ldx, y + i * ldy, ldy, large)
        else:
            log_softmax_block(stop - i, n, x + i * ldx, ldx, y + i * ldy, ldy, large)
        clear_rest(stop - i, n, cols, y + i * ldy, ldy)
        i = stop


cdef void backward_part(
    int team, int thread, Kind kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *y, int64_t ldy, Lengths lengths, real *dx, int64_t lddx
) noexcept nogil:
    cdef int64_t i, first, last, stop, n
    cdef bint large = past_caches(rows * cols, dx, dy, y)
    share(rows, team, thread, &first, &last)
    i = first
    while i < last:
        stop = equal_rows(lengths, i, last, cols, &n)
        if kind == SOFTMAX:
            softmax_backward_block(
                stop - i, n, dy + i * lddy, lddy, y + i * ldy, ldy, dx + i * lddx, lddx, large
            )
        else:
            log_softmax_backward_block(
                stop - i, n, dy + i * lddy, lddy, y + i * ldy, ldy, dx + i * lddx, lddx, large
            )
        clear_rest(stop - i, n, cols, dx + i * lddx, lddx)
        i = stop


cdef int64_t wrong_length(Lengths lengths, int64_t rows, int64_t cols) noexcept nogil:
    """Return the index of the first length outside 0..cols, or -1."""
    cdef int64_t i
    if lengths.of is not NULL and rows > 0:
        for i in range((rows + lengths.rows - 1) // lengths.rows):
            if lengths.of[i] < 0 or lengths.of[i] > cols:
                return i
    return -1


cdef bint bad_lengths(Lengths lengths, int64_t rows, int64_t cols) noexcept nogil:
    return lengths.of is not NULL and (
        lengths.rows < 1 or wrong_length(lengths, rows, cols) >= 0
    )


cdef int forward(
    Kind kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, Lengths lengths,
    real *y, int64_t ldy
) noexcept nogil:
    if bad_rows(rows, cols, x, y) or bad_lengths(lengths, rows, cols):
        return BAD_ARGUMENT
    run_team(
        threads_for(<double>rows * cols, machine.math_grain), forward_part[real], kind, rows, cols,
        x, ldx, lengths, y, ldy
    )
    return OK


cdef int backward(
    Kind kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy,
    Lengths lengths, real *dx, int64_t lddx
) noexcept nogil:
    if (
        bad_rows(rows, cols, dy, y)
        or bad_rows(rows, cols, dx, dx)
        or bad_lengths(lengths, rows, cols)
    ):
        return BAD_ARGUMENT
    run_team(
        threads_for(<double>rows * cols, machine.math_grain), backward_part[real], kind, rows, cols,
        dy, lddy, y, ldy, lengths, dx, lddx
    )
    return OK


cdef int softmax_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil:
    return forward(SOFTMAX, rows, cols, x, ldx, Lengths(NULL, 1), y, ldy)


cdef int log_softmax_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil:
    return forward(LOG_SOFTMAX, rows, cols, x, ldx, Lengths(NULL, 1), y, ldy)


cdef int masked_softmax_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, const int64_t *lengths,
    int64_t rows_per_length, real *y, int64_t ldy
) noexcept nogil:
    return forward(SOFTMAX, rows, cols, x, ldx, Lengths(lengths, rows_per_length), y, ldy)


cdef int softmax_backward_real(
    int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
    int64_t lddx
) noexcept nogil:
    return backward(SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(NULL, 1), dx, lddx)


cdef int log_softmax_backward_real(
    int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
    int64_t lddx
) noexcept nogil:
    return backward(LOG_SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(NULL, 1), dx, lddx)


cdef int masked_softmax_backward_real(
    int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy,
    const int64_t *lengths, int64_t rows_per_length, real *dx, int64_t lddx
) noexcept nogil:
    return backward(
        SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(lengths, rows_per_length), dx, lddx
    )
