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
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK, bad_rows
from ..ground.dispatch cimport (
    FASTNN_ACT_LAST,
    FASTNN_ACT_NONE,
    activation_backward_block,
    activation_block,
    real,
)
from ..ground.machine cimport machine, past_caches
from ..ground.scalars cimport choice
from .activation_table cimport fastnn_activation_table, is_light
from ..ground.threads cimport Block, block_of, run_team, threads_for

cdef enum:
    BLOCK = 4096        # elements: a long row is split between threads in blocks of this size

_CODES = {None: FASTNN_ACT_NONE}
for _row in range(FASTNN_ACT_LAST):
    _CODES[fastnn_activation_table[_row].name.decode()] = fastnn_activation_table[_row].code
_NAMES = tuple(_CODES)


cdef int activation_code(object activation, str op) except -1:
    if activation is None:
        return FASTNN_ACT_NONE
    return _CODES[_NAMES[choice(activation, _NAMES, op, "activation")]]


cdef int team_for(int kind, bint backward, int64_t rows, int64_t cols) noexcept nogil:
    cdef double grain = machine.pass_grain if is_light(kind, backward) else machine.math_grain
    return threads_for(<double>rows * cols, grain)


cdef void forward_part(
    int team, int thread, int kind, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    real *y, int64_t ldy
) noexcept nogil:
    cdef Block b = block_of(rows, cols, BLOCK, team, thread)
    activation_block(
        kind, b.rows, b.cols, x + b.row * ldx + b.col, ldx, y + b.row * ldy + b.col, ldy,
        past_caches(rows * cols, y, x, x)
    )


cdef void backward_part(
    int team, int thread, int kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *saved, int64_t ldsaved, real *dx, int64_t lddx
) noexcept nogil:
    cdef Block b = block_of(rows, cols, BLOCK, team, thread)
    activation_backward_block(
        kind, b.rows, b.cols, dy + b.row * lddy + b.col, lddy,
        saved + b.row * ldsaved + b.col, ldsaved, dx + b.row * lddx + b.col, lddx, <real*>NULL,
        past_caches(rows * cols, dx, dy, saved)
    )


cdef int activation_real(
    int kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy
) noexcept nogil:
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or bad_rows(rows, cols, x, y):
        return BAD_ARGUMENT
    run_team(
        team_for(kind, False, rows, cols), forward_part[real], kind, rows, cols, x, ldx, y, ldy
    )
    return OK


cdef int activation_backward_real(
    int kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *saved,
    int64_t ldsaved, real *dx, int64_t lddx
) noexcept nogil:
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or bad_rows(rows, cols, dy, dx):
        return BAD_ARGUMENT
    if kind != FASTNN_ACT_NONE and bad_rows(rows, cols, saved, saved):
        return BAD_ARGUMENT
    run_team(
        team_for(kind, True, rows, cols), backward_part[real], kind, rows, cols, dy, lddy, saved,
        ldsaved, dx, lddx
    )
    return OK
