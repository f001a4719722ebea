"""Activations, forward and backward.

    relu, sigmoid, tanh     *Dive into Deep Learning*, section 5.1.2
    gelu, gelu_tanh         Hendrycks and Gimpel (2016), and its approximation by tanh
    silu                    Elfwing, Uchibe and Doya (2018)
    softplus                Dugas et al. (2001)

The table is include/fastnn_activations.h, the formulas are in activation.h. If backward reads the
output, the input need not be kept. Both directions propagate NaN, and infinities give the limits.
bench/accuracy.py measures the errors that the table states. The functions on arrays are in
activation_arrays.pyx.
"""
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK
from ..ground.dispatch cimport (
    FASTNN_ACT_LAST,
    FASTNN_ACT_NONE,
    FASTNN_ACT_RELU,
    activation_backward_block,
    activation_block,
    past_caches,
    real,
)
from ..ground.scalars cimport choice
from .activation_table cimport fastnn_activation_table, is_light
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef enum:
    BLOCK = 4096        # elements: a long row is split between threads in blocks of this size
    # Minimum elements per thread (docs/tuning.md), without and with an exponential to compute.
    GRAIN = 32768
    EXP_GRAIN = 8192

_CODES = {None: FASTNN_ACT_NONE}
for _row in range(FASTNN_ACT_LAST):
    _CODES[fastnn_activation_table[_row].name.decode()] = fastnn_activation_table[_row].code
_NAMES = tuple(_CODES)


cdef int activation_code(object activation, str op) except -1:
    if activation is None:
        return FASTNN_ACT_NONE
    return _CODES[_NAMES[choice(activation, _NAMES, op, "activation")]]


cdef int team_for(int kind, bint backward, int64_t rows, int64_t cols) noexcept nogil:
    return threads_for(<double>rows * cols, GRAIN if is_light(kind, backward) else EXP_GRAIN)


cdef void forward_share(
    int kind, int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    real *y, int64_t ldy
) noexcept nogil:
    cdef int64_t first, last
    cdef bint large = past_caches(rows * cols, y, x, x)
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        activation_block(kind, 1, last - first, x + first, ldx, y + first, ldy, large)
    else:
        share(rows, team, thread, &first, &last)
        activation_block(
            kind, last - first, cols, x + first * ldx, ldx, y + first * ldy, ldy, large
        )


cdef void backward_share(
    int kind, int team, int thread, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *saved, int64_t ldsaved, real *dx, int64_t lddx
) noexcept nogil:
    cdef int64_t first, last
    cdef bint large = past_caches(rows * cols, dx, dy, saved)
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        activation_backward_block(
            kind, 1, last - first, dy + first, lddy, saved + first, ldsaved, dx + first, lddx,
            <real*>NULL, large
        )
    else:
        share(rows, team, thread, &first, &last)
        activation_backward_block(
            kind, last - first, cols, dy + first * lddy, lddy, saved + first * ldsaved, ldsaved,
            dx + first * lddx, lddx, <real*>NULL, large
        )


cdef int forward(
    int kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil:
    cdef int team
    if (
        kind < FASTNN_ACT_NONE
        or kind > FASTNN_ACT_LAST
        or rows < 0
        or cols < 0
        or (rows > 0 and cols > 0 and (x is NULL or y is NULL))
    ):
        return BAD_ARGUMENT
    team = team_for(kind, False, rows, cols)
    if team == 1:
        forward_share(kind, 1, 0, rows, cols, x, ldx, y, ldy)
    else:
        with parallel(num_threads=team):
            forward_share(kind, team_size(), thread_id(), rows, cols, x, ldx, y, ldy)
    return OK


cdef int backward(
    int kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *saved, int64_t ldsaved, real *dx, int64_t lddx
) noexcept nogil:
    cdef int team
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or rows < 0 or cols < 0:
        return BAD_ARGUMENT
    if (
        rows > 0
        and cols > 0
        and (dy is NULL or dx is NULL or (saved is NULL and kind != FASTNN_ACT_NONE))
    ):
        return BAD_ARGUMENT
    team = team_for(kind, True, rows, cols)
    if team == 1:
        backward_share(kind, 1, 0, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)
    else:
        with parallel(num_threads=team):
            backward_share(
                kind, team_size(), thread_id(), rows, cols, dy, lddy, saved, ldsaved, dx, lddx
            )
    return OK


cdef int activation_real(
    int kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil:
    return forward(kind, rows, cols, x, ldx, y, ldy)


cdef int activation_backward_real(
    int kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *saved,
    int64_t ldsaved, real *dx, int64_t lddx
) noexcept nogil:
    return backward(kind, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)
