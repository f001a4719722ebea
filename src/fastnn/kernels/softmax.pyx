"""Softmax over the last axis and its backward (*Dive into Deep Learning*, section 4.1).

    y_j = exp(x_j - max x) / sum_j exp(x_j - max x)      dx_j = y_j (dy_j - sum_i dy_i y_i)

Subtracting the maximum keeps exp from overflowing and changes nothing else. A row with NaN or +inf, or of nothing but -inf, is NaN, as in PyTorch.
Sums run over short chunks in the real type and over the chunks in double. Accuracy: y within 16 eps, relatively, for rows of any length.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from .arrays cimport (BAD_ARGUMENT, OK, Rows, check_in_place, check_status, finish_output, output_rows, real_type, shaped_like, with_rows)
from .dispatch cimport real, softmax_backward_row, softmax_row
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    GRAIN = 8192        # elements a thread should have. 16,384: 5.8 us by one thread, 6.2 by two
    KEEP_GIL = 2048     # elements, 0.7 us, below which the GIL is kept: letting go costs 15 to 40 ns, and a wait where another thread takes it


cdef void softmax_share(int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef int64_t i, first, last
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        softmax_row(cols, x + i * ldx, y + i * ldy)


cdef void softmax_backward_share(int team, int thread, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y,
                                 int64_t ldy, real *dx, int64_t lddx) noexcept nogil:
    cdef int64_t i, first, last
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        softmax_backward_row(cols, dy + i * lddy, y + i * ldy, dx + i * lddx)


cdef int softmax_rows(int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        softmax_share(1, 0, rows, cols, x, ldx, y, ldy)
    else:
        with parallel(num_threads=team):
            softmax_share(team_size(), thread_id(), rows, cols, x, ldx, y, ldy)
    return OK


cdef int softmax_backward_rows(int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
                               int64_t lddx) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (dy is NULL or y is NULL or dx is NULL)):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        softmax_backward_share(1, 0, rows, cols, dy, lddy, y, ldy, dx, lddx)
    else:
        with parallel(num_threads=team):
            softmax_backward_share(team_size(), thread_id(), rows, cols, dy, lddy, y, ldy, dx, lddx)
    return OK


cdef int softmax_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil:
    return softmax_rows(rows, cols, x, ldx, y, ldy)


cdef int softmax_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil:
    return softmax_rows(rows, cols, x, ldx, y, ldy)


cdef int softmax_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                              float *dx, int64_t lddx) noexcept nogil:
    return softmax_backward_rows(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int softmax_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                              double *dx, int64_t lddx) noexcept nogil:
    return softmax_backward_rows(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int softmax_typed(int typenum, Rows r, void *x, int64_t ldx, void *y, int64_t ldy) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return softmax_rows(r.rows, r.cols, <float*>x, ldx, <float*>y, ldy)
    return softmax_rows(r.rows, r.cols, <double*>x, ldx, <double*>y, ldy)


cdef int softmax_backward_typed(int typenum, Rows r, void *dy, int64_t lddy, void *y, int64_t ldy, void *dx, int64_t lddx) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return softmax_backward_rows(r.rows, r.cols, <float*>dy, lddy, <float*>y, ldy, <float*>dx, lddx)
    return softmax_backward_rows(r.rows, r.cols, <double*>dy, lddy, <double*>y, ldy, <double*>dx, lddx)


def softmax(x, *, out=None):
    """Softmax over the last axis: rows that are positive and sum to 1.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., n), any strides
        Logits. A 0-d array is a row of one.
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. A row with NaN or +inf, or of nothing but -inf, is NaN; n = 0 gives an empty array.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If out has another shape, is read-only or overlaps x.
    """
    cdef int typenum = real_type(x, "softmax", "x"), status
    cdef Rows rx, ry
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>x, &rx)
    cdef cnp.ndarray y = output_rows(out, <cnp.ndarray>x, "softmax", "out", "x", &ry)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, "softmax", "out", "x")
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(y)
    if rx.rows * rx.cols < KEEP_GIL:
        status = softmax_typed(typenum, rx, px, rx.ld, py, ry.ld)
    else:
        with nogil:
            status = softmax_typed(typenum, rx, px, rx.ld, py, ry.ld)
    check_status(status, "softmax")
    return finish_output(out, y)


def softmax_backward(dy, y, *, out=None):
    """The gradient of the input of `softmax`.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    y : ndarray like dy
        The output of `softmax`.
    out : ndarray, optional
        The type and shape of dy; may be dy or y itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.
    """
    cdef int typenum = real_type(dy, "softmax_backward", "dy"), status
    cdef Rows rdy, ry, rdx
    cdef cnp.ndarray like = shaped_like(y, <cnp.ndarray>dy, "softmax_backward", "y", "dy")
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>dy, &rdy), b = with_rows(like, &ry)
    cdef cnp.ndarray dx = output_rows(out, <cnp.ndarray>dy, "softmax_backward", "out", "dy", &rdx)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>dy, "softmax_backward", "out", "dy")
        check_in_place(<cnp.ndarray>out, like, "softmax_backward", "out", "y")
    cdef void *pdy = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(b)
    cdef void *pdx = cnp.PyArray_DATA(dx)
    if rdy.rows * rdy.cols < KEEP_GIL:
        status = softmax_backward_typed(typenum, rdy, pdy, rdy.ld, py, ry.ld, pdx, rdx.ld)
    else:
        with nogil:
            status = softmax_backward_typed(typenum, rdy, pdy, rdy.ld, py, ry.ld, pdx, rdx.ld)
    check_status(status, "softmax_backward")
    return finish_output(out, dx)
