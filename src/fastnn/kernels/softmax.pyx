"""Softmax and log-softmax over the last axis, and their backward (*Dive into Deep Learning*, sections 4.1 and 11.3).

    softmax         y_j = exp(x_j - max x) / sum_i exp(x_i - max x)             dx_j = y_j (dy_j - sum_i dy_i y_i)
    log_softmax     y_j = (x_j - max x) - log sum_i exp(x_i - max x)            dx_j = dy_j - exp(y_j) sum_i dy_i

Subtracting the maximum keeps exp from overflowing and changes nothing else. A row with NaN or +inf, or of nothing but -inf, is NaN, as in PyTorch.
Sums run over short chunks in the real type and over the chunks in double. Accuracy: softmax within 16 eps, relatively, log-softmax within 16 eps of
max(1, |y|), for rows of any length.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t
from libc.string cimport memset

import numpy as np

from .arrays cimport (BAD_ARGUMENT, OK, Rows, check_in_place, check_overlap, check_status, finish_output, int64_array, output_rows, real_type,
                      shaped_like, with_rows)
from .dispatch cimport log_softmax_backward_block, log_softmax_block, real, softmax_backward_block, softmax_block
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    GRAIN = 8192        # elements a thread should have. 16,384 in 16 rows: 3.6 us by one thread, 2.5 by two
    KEEP_GIL = 4096     # elements, 0.9 us, below which the GIL is kept: letting go costs 15 to 40 ns, and a wait where another thread takes it

ctypedef enum Kind:
    SOFTMAX
    LOG_SOFTMAX


cdef struct Lengths:
    # Of row i only the first of[i / rows] columns count; all do if `of` is NULL.
    const int64_t *of
    int64_t rows


cdef void forward_block(Kind kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    if kind == SOFTMAX:
        softmax_block(rows, cols, x, ldx, y, ldy)
    else:
        log_softmax_block(rows, cols, x, ldx, y, ldy)


cdef void backward_block(Kind kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, real *dx,
                         int64_t lddx) noexcept nogil:
    if kind == SOFTMAX:
        softmax_backward_block(rows, cols, dy, lddy, y, ldy, dx, lddx)
    else:
        log_softmax_backward_block(rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int64_t equal_rows(Lengths lengths, int64_t i, int64_t last, int64_t cols, int64_t *n) noexcept nogil:
    """Where the rows from i on that have row i's length end, at most `last`; *n is that length."""
    n[0] = cols
    if lengths.of is NULL:
        return last
    n[0] = lengths.of[i // lengths.rows]
    return min(last, (i // lengths.rows + 1) * lengths.rows)


cdef void clear_rest(int64_t rows, int64_t n, int64_t cols, real *y, int64_t ldy) noexcept nogil:
    """Zeros in the columns from n on."""
    cdef int64_t i
    if n < cols:
        for i in range(rows):
            memset(y + i * ldy + n, 0, (cols - n) * sizeof(real))


cdef void forward_share(Kind kind, int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx, Lengths lengths, real *y,
                        int64_t ldy) noexcept nogil:
    cdef int64_t i, first, last, stop, n
    share(rows, team, thread, &first, &last)
    i = first
    while i < last:
        stop = equal_rows(lengths, i, last, cols, &n)
        forward_block(kind, stop - i, n, x + i * ldx, ldx, y + i * ldy, ldy)
        clear_rest(stop - i, n, cols, y + i * ldy, ldy)
        i = stop


cdef void backward_share(Kind kind, int team, int thread, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy,
                         Lengths lengths, real *dx, int64_t lddx) noexcept nogil:
    cdef int64_t i, first, last, stop, n
    share(rows, team, thread, &first, &last)
    i = first
    while i < last:
        stop = equal_rows(lengths, i, last, cols, &n)
        backward_block(kind, stop - i, n, dy + i * lddy, lddy, y + i * ldy, ldy, dx + i * lddx, lddx)
        clear_rest(stop - i, n, cols, dx + i * lddx, lddx)
        i = stop


cdef int64_t wrong_length(Lengths lengths, int64_t rows, int64_t cols) noexcept nogil:
    """The index of the first length that is not from 0 to cols, or -1."""
    cdef int64_t i
    if lengths.of is not NULL and rows > 0:
        for i in range((rows + lengths.rows - 1) // lengths.rows):
            if lengths.of[i] < 0 or lengths.of[i] > cols:
                return i
    return -1


cdef int forward(Kind kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, Lengths lengths, real *y, int64_t ldy) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if lengths.of is not NULL and (lengths.rows < 1 or wrong_length(lengths, rows, cols) >= 0):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        forward_share(kind, 1, 0, rows, cols, x, ldx, lengths, y, ldy)
    else:
        with parallel(num_threads=team):
            forward_share(kind, team_size(), thread_id(), rows, cols, x, ldx, lengths, y, ldy)
    return OK


cdef int backward(Kind kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *y, int64_t ldy, Lengths lengths, real *dx,
                  int64_t lddx) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (dy is NULL or y is NULL or dx is NULL)):
        return BAD_ARGUMENT
    if lengths.of is not NULL and (lengths.rows < 1 or wrong_length(lengths, rows, cols) >= 0):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        backward_share(kind, 1, 0, rows, cols, dy, lddy, y, ldy, lengths, dx, lddx)
    else:
        with parallel(num_threads=team):
            backward_share(kind, team_size(), thread_id(), rows, cols, dy, lddy, y, ldy, lengths, dx, lddx)
    return OK


cdef int softmax_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil:
    return forward(SOFTMAX, rows, cols, x, ldx, Lengths(NULL, 1), y, ldy)


cdef int softmax_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil:
    return forward(SOFTMAX, rows, cols, x, ldx, Lengths(NULL, 1), y, ldy)


cdef int log_softmax_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil:
    return forward(LOG_SOFTMAX, rows, cols, x, ldx, Lengths(NULL, 1), y, ldy)


cdef int log_softmax_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil:
    return forward(LOG_SOFTMAX, rows, cols, x, ldx, Lengths(NULL, 1), y, ldy)


cdef int masked_softmax_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, const int64_t *lengths, int64_t rows_per_length,
                            float *y, int64_t ldy) noexcept nogil:
    return forward(SOFTMAX, rows, cols, x, ldx, Lengths(lengths, rows_per_length), y, ldy)


cdef int masked_softmax_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, const int64_t *lengths, int64_t rows_per_length,
                            double *y, int64_t ldy) noexcept nogil:
    return forward(SOFTMAX, rows, cols, x, ldx, Lengths(lengths, rows_per_length), y, ldy)


cdef int softmax_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                              float *dx, int64_t lddx) noexcept nogil:
    return backward(SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(NULL, 1), dx, lddx)


cdef int softmax_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                              double *dx, int64_t lddx) noexcept nogil:
    return backward(SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(NULL, 1), dx, lddx)


cdef int log_softmax_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                                  float *dx, int64_t lddx) noexcept nogil:
    return backward(LOG_SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(NULL, 1), dx, lddx)


cdef int log_softmax_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                                  double *dx, int64_t lddx) noexcept nogil:
    return backward(LOG_SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(NULL, 1), dx, lddx)


cdef int masked_softmax_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                                     const int64_t *lengths, int64_t rows_per_length, float *dx, int64_t lddx) noexcept nogil:
    return backward(SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(lengths, rows_per_length), dx, lddx)


cdef int masked_softmax_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                                     const int64_t *lengths, int64_t rows_per_length, double *dx, int64_t lddx) noexcept nogil:
    return backward(SOFTMAX, rows, cols, dy, lddy, y, ldy, Lengths(lengths, rows_per_length), dx, lddx)


cdef int forward_typed(int typenum, Kind kind, Rows r, void *x, int64_t ldx, Lengths lengths, void *y, int64_t ldy) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return forward(kind, r.rows, r.cols, <float*>x, ldx, lengths, <float*>y, ldy)
    return forward(kind, r.rows, r.cols, <double*>x, ldx, lengths, <double*>y, ldy)


cdef int backward_typed(int typenum, Kind kind, Rows r, void *dy, int64_t lddy, void *y, int64_t ldy, Lengths lengths, void *dx,
                        int64_t lddx) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return backward(kind, r.rows, r.cols, <float*>dy, lddy, <float*>y, ldy, lengths, <float*>dx, lddx)
    return backward(kind, r.rows, r.cols, <double*>dy, lddy, <double*>y, ldy, lengths, <double*>dx, lddx)


cdef cnp.ndarray checked_lengths(object lengths, cnp.ndarray x, Rows r, str op, str x_name, Lengths *out):
    """The lengths as contiguous int64, which *out points into; each is from 0 to the number of columns."""
    cdef cnp.ndarray of = int64_array(lengths, op, "lengths")
    cdef int64_t i
    shape = np.shape(x)
    if of.ndim >= len(shape) or np.shape(of) != shape[: of.ndim]:
        raise ValueError(f"{op}: lengths must have the shape of the first axes of {x_name}, {shape}, without the last, not {np.shape(of)}")
    out.of = <const int64_t*>cnp.PyArray_DATA(of)
    out.rows = max(r.rows // cnp.PyArray_SIZE(of), 1) if of.size > 0 else 1
    i = wrong_length(out[0], r.rows, r.cols)
    if i >= 0:
        index = tuple(map(int, np.unravel_index(i, np.shape(of)))) if of.ndim != 1 else i
        raise ValueError(f"{op}: the length {lengths[index]} at {index} is not from 0 to {r.cols}")
    return of


cdef object on_arrays(Kind kind, object x, object lengths, object out, str op):
    """The body of both forward functions."""
    cdef int typenum = real_type(x, op, "x"), status
    cdef Rows rx, ry
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>x, &rx), of
    cdef cnp.ndarray y = output_rows(out, <cnp.ndarray>x, op, "out", "x", &ry)
    cdef Lengths valid = Lengths(NULL, 1)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, op, "out", "x")
    if lengths is not None:
        of = checked_lengths(lengths, <cnp.ndarray>x, rx, op, "x", &valid)
        if out is not None:
            check_overlap(<cnp.ndarray>out, of, op, "out", "lengths")
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(y)
    if rx.rows * rx.cols < KEEP_GIL:
        status = forward_typed(typenum, kind, rx, px, rx.ld, valid, py, ry.ld)
    else:
        with nogil:
            status = forward_typed(typenum, kind, rx, px, rx.ld, valid, py, ry.ld)
    check_status(status, op)
    return finish_output(out, y)


cdef object backward_on_arrays(Kind kind, object dy, object y, object lengths, object out, str op):
    """The body of both backward functions."""
    cdef int typenum = real_type(dy, op, "dy"), status
    cdef Rows rdy, ry, rdx
    cdef cnp.ndarray like = shaped_like(y, <cnp.ndarray>dy, op, "y", "dy")
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>dy, &rdy), b = with_rows(like, &ry), of
    cdef cnp.ndarray dx = output_rows(out, <cnp.ndarray>dy, op, "out", "dy", &rdx)
    cdef Lengths valid = Lengths(NULL, 1)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>dy, op, "out", "dy")
        check_in_place(<cnp.ndarray>out, like, op, "out", "y")
    if lengths is not None:
        of = checked_lengths(lengths, <cnp.ndarray>dy, rdy, op, "dy", &valid)
        if out is not None:
            check_overlap(<cnp.ndarray>out, of, op, "out", "lengths")
    cdef void *pdy = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(b)
    cdef void *pdx = cnp.PyArray_DATA(dx)
    if rdy.rows * rdy.cols < KEEP_GIL:
        status = backward_typed(typenum, kind, rdy, pdy, rdy.ld, py, ry.ld, valid, pdx, rdx.ld)
    else:
        with nogil:
            status = backward_typed(typenum, kind, rdy, pdy, rdy.ld, py, ry.ld, valid, pdx, rdx.ld)
    check_status(status, op)
    return finish_output(out, dx)


def softmax(x, *, lengths=None, out=None):
    """Softmax over the last axis: rows that are positive and sum to 1.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., n), any strides
        Logits. A 0-d array is a row of one.
    lengths : ndarray of integers, optional
        How many entries of each row count, 0 to n: shape (B,) for x of shape (B, ..., n), (B, T) for (B, T, ..., n), and so on. The entries beyond are
        not read, and are 0 in the result; a row of length 0 is all 0. (*Dive into Deep Learning*, section 11.3.2, ``masked_softmax``.)
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. A row with NaN or +inf among the entries that count, or of nothing but -inf, is NaN; n = 0 gives an empty array.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ; if lengths is not an array of integers.
    ValueError
        If out has another shape, is read-only or overlaps x; if lengths has another shape, or a length is out of range.
    """
    return on_arrays(SOFTMAX, x, lengths, out, "softmax")


def softmax_backward(dy, y, *, lengths=None, out=None):
    """The gradient of the input of `softmax`.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    y : ndarray like dy
        The output of `softmax`.
    lengths : ndarray of integers, optional
        As for `softmax`: dy and y are not read beyond, and the gradient there is 0.
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
    return backward_on_arrays(SOFTMAX, dy, y, lengths, out, "softmax_backward")


def log_softmax(x, *, out=None):
    """The logarithm of `softmax` over the last axis, finite where softmax itself underflows.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., n), any strides
        Logits. A 0-d array is a row of one.
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. NaN as in `softmax`; -inf where x is.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.
    """
    return on_arrays(LOG_SOFTMAX, x, None, out, "log_softmax")


def log_softmax_backward(dy, y, *, out=None):
    """The gradient of the input of `log_softmax`.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    y : ndarray like dy
        The output of `log_softmax`.
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
    return backward_on_arrays(LOG_SOFTMAX, dy, y, None, out, "log_softmax_backward")
