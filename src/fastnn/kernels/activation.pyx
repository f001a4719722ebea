"""Activations, forward and backward: ReLU (*Dive into Deep Learning*, section 5.1.2).

    y = max(x, 0)      dx = dy where y > 0, else 0

Backward reads the output (or the input: their signs agree), so the input need not be kept. NaN goes through both ways. Exact.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from .arrays cimport (BAD_ARGUMENT, OK, Rows, check_in_place, check_status, finish_output, flatten, output_rows, real_type, shaped_like,
                      with_rows)
from .dispatch cimport real, relu_backward_run, relu_run
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements: threads divide a long row in such blocks
    GRAIN = 32768       # elements a thread should have (PyTorch's figure for elementwise work)
    KEEP_GIL = 16384    # elements below which a call is shorter than handing the GIL over and back


cdef void relu_share(int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef int64_t i, first, last
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        relu_run(last - first, x + first, y + first)
        return
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        relu_run(cols, x + i * ldx, y + i * ldy)


cdef void relu_backward_share(int team, int thread, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy,
                              real *dx, int64_t lddx) noexcept nogil:
    cdef int64_t i, first, last
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        relu_backward_run(last - first, dy + first, y + first, dx + first)
        return
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        relu_backward_run(cols, dy + i * lddy, y + i * ldy, dx + i * lddx)


cdef int relu_rows(int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        relu_share(1, 0, rows, cols, x, ldx, y, ldy)
    else:
        with parallel(num_threads=team):
            relu_share(team_size(), thread_id(), rows, cols, x, ldx, y, ldy)
    return OK


cdef int relu_backward_rows(int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
                            int64_t lddx) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (dy is NULL or y is NULL or dx is NULL)):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        relu_backward_share(1, 0, rows, cols, dy, lddy, y, ldy, dx, lddx)
    else:
        with parallel(num_threads=team):
            relu_backward_share(team_size(), thread_id(), rows, cols, dy, lddy, y, ldy, dx, lddx)
    return OK


cdef int relu_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil:
    return relu_rows(rows, cols, x, ldx, y, ldy)


cdef int relu_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil:
    return relu_rows(rows, cols, x, ldx, y, ldy)


cdef int relu_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                           float *dx, int64_t lddx) noexcept nogil:
    return relu_backward_rows(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int relu_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                           double *dx, int64_t lddx) noexcept nogil:
    return relu_backward_rows(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int relu_typed(int typenum, Rows r, void *x, int64_t ldx, void *y, int64_t ldy) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return relu_rows(r.rows, r.cols, <float*>x, ldx, <float*>y, ldy)
    return relu_rows(r.rows, r.cols, <double*>x, ldx, <double*>y, ldy)


cdef int relu_backward_typed(int typenum, Rows r, void *dy, int64_t lddy, void *y, int64_t ldy, void *dx, int64_t lddx) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return relu_backward_rows(r.rows, r.cols, <float*>dy, lddy, <float*>y, ldy, <float*>dx, lddx)
    return relu_backward_rows(r.rows, r.cols, <double*>dy, lddy, <double*>y, ldy, <double*>dx, lddx)


def relu(x, *, out=None):
    """max(x, 0), element by element; NaN stays NaN.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If out has another shape, is read-only or overlaps x.
    """
    cdef int typenum = real_type(x, "relu", "x"), status
    cdef Rows rx, ry
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>x, &rx)
    cdef cnp.ndarray y = output_rows(out, <cnp.ndarray>x, "relu", "out", "x", &ry)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, "relu", "out", "x")
    flatten(&rx, &ry)
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(y)
    if rx.rows * rx.cols < KEEP_GIL:
        status = relu_typed(typenum, rx, px, rx.ld, py, ry.ld)
    else:
        with nogil:
            status = relu_typed(typenum, rx, px, rx.ld, py, ry.ld)
    check_status(status, "relu")
    return finish_output(out, y)


def relu_backward(dy, y, *, out=None):
    """The gradient of the input of ReLU: dy where y > 0, else 0 (at 0 by convention).

    Parameters
    ----------
    dy : ndarray of float32 or float64, any shape and strides
        Gradient of the output.
    y : ndarray like dy
        The output of `relu`, or its input.
    out : ndarray, optional
        The type and shape of dy; may be dy or y itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. Where y is NaN, dy.

    Raises
    ------
    TypeError, ValueError
        As `relu`.
    """
    cdef int typenum = real_type(dy, "relu_backward", "dy"), status
    cdef Rows rdy, ry, rdx
    cdef cnp.ndarray like = shaped_like(y, <cnp.ndarray>dy, "relu_backward", "y", "dy")
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>dy, &rdy), b = with_rows(like, &ry)
    cdef cnp.ndarray dx = output_rows(out, <cnp.ndarray>dy, "relu_backward", "out", "dy", &rdx)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>dy, "relu_backward", "out", "dy")
        check_in_place(<cnp.ndarray>out, like, "relu_backward", "out", "y")
    if rdy.ld == rdy.cols and ry.ld == ry.cols and rdx.ld == rdx.cols:
        flatten(&rdy, &rdx)
    cdef void *pdy = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(b)
    cdef void *pdx = cnp.PyArray_DATA(dx)
    if rdy.rows * rdy.cols < KEEP_GIL:
        status = relu_backward_typed(typenum, rdy, pdy, rdy.ld, py, ry.ld, pdx, rdx.ld)
    else:
        with nogil:
            status = relu_backward_typed(typenum, rdy, pdy, rdy.ld, py, ry.ld, pdx, rdx.ld)
    check_status(status, "relu_backward")
    return finish_output(out, dx)
