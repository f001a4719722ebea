"""Gated units: y = act(a) * b for rows a | b, such as SwiGLU (silu) and GeGLU (gelu).

Shazeer, "GLU variants improve Transformer", 2020 (arXiv:2002.05202). One product computes a | b, so
the gate is half of its rows. Backward:

    da = (dy * b) act'(a)        db = dy * act(a)

Accuracy: that of the activation, and one rounding for each product.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (BAD_ARGUMENT, OK, Rows, bad_rows, call_typed, check_contiguous,
                              check_overlap, check_status, real_like, real_type, shaped_output,
                              with_rows)
from ..ground.dispatch cimport (FASTNN_ACT_LAST, FASTNN_ACT_NONE, activation_backward_block,
                                activation_block, real)
from ..ground.threads cimport Block, block_of, run_team
from .activation cimport activation_code, team_for
from .activation_table cimport saves_output

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements: a long row is split between threads in blocks of this size
    KEEP_GIL = 16384    # elements below which a call keeps the GIL (docs/tuning.md)


cdef void forward_part(int team, int thread, int kind, int64_t rows, int64_t n, const real *x,
                       int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef Block block = block_of(rows, n, BLOCK, team, thread)
    cdef const real *a = x + block.row * ldx + block.col
    cdef int64_t i, j
    y += block.row * ldy + block.col
    for i in range(block.rows):
        activation_block(kind, 1, block.cols, a, ldx, y, ldy, 0)
        for j in range(block.cols):
            y[j] *= a[n + j]
        a += ldx
        y += ldy


cdef void backward_part(int team, int thread, int kind, int64_t rows, int64_t n, const real *dy,
                        int64_t lddy, const real *x, int64_t ldx, real *dx,
                        int64_t lddx) noexcept nogil:
    cdef Block block = block_of(rows, n, BLOCK, team, thread)
    cdef const real *a = x + block.row * ldx + block.col
    cdef real *da = dx + block.row * lddx + block.col
    cdef real *db = da + n
    cdef int64_t i, j
    dy += block.row * lddy + block.col
    for i in range(block.rows):
        activation_block(kind, 1, block.cols, a, ldx, db, lddx, 0)
        for j in range(block.cols):
            da[j] = dy[j] * a[n + j]
        activation_backward_block(kind, 1, block.cols, da, lddx, db if saves_output(kind) else a,
                                  ldx, da, lddx, <real*>NULL, 0)
        for j in range(block.cols):
            db[j] *= dy[j]
        a += ldx
        dy += lddy
        da += lddx
        db += lddx


cdef int gate_real(int kind, int64_t rows, int64_t n, const real *x, int64_t ldx, real *y,
                   int64_t ldy) noexcept nogil:
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or bad_rows(rows, n, x, y):
        return BAD_ARGUMENT
    run_team(team_for(kind, False, rows, n), forward_part[real], kind, rows, n, x, ldx, y, ldy)
    return OK


cdef int gate_backward_real(int kind, int64_t rows, int64_t n, const real *dy, int64_t lddy,
                            const real *x, int64_t ldx, real *dx, int64_t lddx) noexcept nogil:
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or bad_rows(rows, n, dy, dx):
        return BAD_ARGUMENT
    if bad_rows(rows, n, x, x):
        return BAD_ARGUMENT
    run_team(team_for(kind, True, rows, n), backward_part[real], kind, rows, n, dy, lddy, x, ldx,
             dx, lddx)
    return OK


cdef cnp.ndarray output(object out, cnp.ndarray x, int64_t cols, str op):
    """Return out, in C order and of the shape of x but with `cols` columns, or a new array."""
    cdef cnp.npy_intp[64] shape
    cdef int i, last = cnp.PyArray_NDIM(x) - 1
    for i in range(last):
        shape[i] = cnp.PyArray_DIM(x, i)
    shape[last] = cols
    cdef cnp.ndarray y = shaped_output(out, op, "out", "x", cnp.PyArray_TYPE(x), last + 1, shape,
                                       "for this x")
    check_contiguous(y, op, "out")
    if out is not None:
        check_overlap(y, x, op, "out", "x")
    return y


cdef int64_t half_of(cnp.ndarray x, str op) except -1:
    """Return half of the last axis; raise ValueError if it is odd."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    if ndim == 0 or cnp.PyArray_DIM(x, ndim - 1) % 2:
        raise ValueError(f"{op}: x must be (..., 2 n), an even last axis, got {np.shape(x)}")
    return cnp.PyArray_DIM(x, ndim - 1) // 2


def gate(x, activation="silu", *, out=None):
    """Compute y = act(a) b for rows x = a | b: gated units.

    Shazeer, "GLU variants improve Transformer", 2020: "silu" is SwiGLU, "gelu" is GeGLU.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., 2 n), any strides
    activation : str or None
        A name of `ACTIVATIONS`; None is the identity.
    out : ndarray, shape (..., n), C-contiguous, optional
        Must not overlap x.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If the last axis is odd, the activation is unknown, or out has another shape, is read-only,
        is not C-contiguous or overlaps x.

    Examples
    --------
    >>> fastnn.gate(np.float32([-1, 2, 3, 4]), "relu")
    array([0., 8.], dtype=float32)
    """
    cdef int typenum = real_type(x, "gate", "x"), kind = activation_code(activation, "gate")
    cdef int64_t n = half_of(x, "gate")
    cdef Rows rx
    cdef cnp.ndarray whole = <cnp.ndarray>x
    cdef cnp.ndarray y = output(out, whole, n, "gate")
    cdef cnp.ndarray a = with_rows(whole, &rx)
    check_status(
        call_typed(typenum, rx.rows * rx.cols >= KEEP_GIL, gate_real[float], gate_real[double],
                   kind, rx.rows, n, cnp.PyArray_DATA(a), rx.ld, cnp.PyArray_DATA(y), n), "gate"
    )
    return y


def gate_backward(dy, x, activation="silu", *, out=None):
    """Return the gradient of the input of `gate`: da = dy b act'(a) beside db = dy act(a).

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    x, activation
        As passed to `gate`.
    out : ndarray, shape (..., 2 n), C-contiguous, optional
        Must not overlap dy or x.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `gate`.

    Examples
    --------
    >>> fastnn.gate_backward(np.float32([1, 1]), np.float32([-1, 2, 3, 4]), "relu")
    array([0., 4., 0., 2.], dtype=float32)
    """
    cdef str op = "gate_backward"
    cdef int typenum = real_type(dy, op, "dy"), kind = activation_code(activation, op)
    cdef cnp.ndarray xs = real_like(x, typenum, op, "x", "dy")
    cdef int64_t n = half_of(xs, op)
    cdef Rows rx, rdy
    if np.shape(dy) != np.shape(xs)[:-1] + (n,):
        raise ValueError(f"{op}: dy must have the shape {np.shape(xs)[:-1] + (n,)} for this x, "
                         f"got {np.shape(dy)}")
    cdef cnp.ndarray dx = output(out, xs, 2 * n, op)
    if out is not None:
        check_overlap(dx, <cnp.ndarray>dy, op, "out", "dy")
    cdef cnp.ndarray b = with_rows(xs, &rx), d = with_rows(<cnp.ndarray>dy, &rdy)
    check_status(
        call_typed(typenum, rx.rows * rx.cols >= KEEP_GIL, gate_backward_real[float],
                   gate_backward_real[double], kind, rx.rows, n, cnp.PyArray_DATA(d), rdy.ld,
                   cnp.PyArray_DATA(b), rx.ld, cnp.PyArray_DATA(dx), 2 * n), op
    )
    return dx
