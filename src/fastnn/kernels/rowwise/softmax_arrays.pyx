"""Softmax and log-softmax of softmax.pyx as functions on arrays."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, Rows, check_in_place, check_overlap, check_status, finish_output, int64_array,
    output_rows, real_type, shaped_like, with_rows,
)
from .softmax cimport (
    LOG_SOFTMAX, SOFTMAX, Kind, Lengths, log_softmax_backward_real, log_softmax_real,
    masked_softmax_backward_real, masked_softmax_real, wrong_length,
)

cnp.import_array()

cdef enum:
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)


cdef int forward_typed(
    int typenum, Kind kind, Rows r, void *x, int64_t ldx, Lengths lengths, void *y, int64_t ldy
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        if kind == LOG_SOFTMAX:
            return log_softmax_real(r.rows, r.cols, <float*>x, ldx, <float*>y, ldy)
        return masked_softmax_real(
            r.rows, r.cols, <float*>x, ldx, lengths.of, lengths.rows, <float*>y, ldy
        )
    if typenum == cnp.NPY_DOUBLE:
        if kind == LOG_SOFTMAX:
            return log_softmax_real(r.rows, r.cols, <double*>x, ldx, <double*>y, ldy)
        return masked_softmax_real(
            r.rows, r.cols, <double*>x, ldx, lengths.of, lengths.rows, <double*>y, ldy
        )
    return BAD_ARGUMENT


cdef int backward_typed(
    int typenum, Kind kind, Rows r, void *dy, int64_t lddy, void *y, int64_t ldy, Lengths lengths,
    void *dx, int64_t lddx
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        if kind == LOG_SOFTMAX:
            return log_softmax_backward_real(
                r.rows, r.cols, <float*>dy, lddy, <float*>y, ldy, <float*>dx, lddx
            )
        return masked_softmax_backward_real(
            r.rows, r.cols, <float*>dy, lddy, <float*>y, ldy, lengths.of, lengths.rows,
            <float*>dx, lddx
        )
    if typenum == cnp.NPY_DOUBLE:
        if kind == LOG_SOFTMAX:
            return log_softmax_backward_real(
                r.rows, r.cols, <double*>dy, lddy, <double*>y, ldy, <double*>dx, lddx
            )
        return masked_softmax_backward_real(
            r.rows, r.cols, <double*>dy, lddy, <double*>y, ldy, lengths.of, lengths.rows,
            <double*>dx, lddx
        )
    return BAD_ARGUMENT


cdef cnp.ndarray checked_lengths(
    object lengths, cnp.ndarray x, Rows r, str op, str x_name, Lengths *out
):
    """Return the lengths as contiguous int64, each from 0 to the number of columns.

    *out points into them.
    """
    cdef cnp.ndarray of = int64_array(lengths, op, "lengths")
    cdef int64_t i
    shape = np.shape(x)
    if of.ndim >= len(shape) or np.shape(of) != shape[: of.ndim]:
        raise ValueError(
            f"{op}: lengths must have the shape of the first axes of {x_name}, {shape}, "
            f"without the last, got {np.shape(of)}"
        )
    out.of = <const int64_t*>cnp.PyArray_DATA(of)
    out.rows = max(r.rows // cnp.PyArray_SIZE(of), 1) if of.size > 0 else 1
    i = wrong_length(out[0], r.rows, r.cols)
    if i >= 0:
        index = tuple(map(int, np.unravel_index(i, np.shape(of)))) if of.ndim != 1 else i
        raise ValueError(f"{op}: the length {lengths[index]} at {index} is not from 0 to {r.cols}")
    return of


cdef object on_arrays(Kind kind, object x, object lengths, object out, str op):
    """Run either forward function."""
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
    """Run either backward function."""
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
    """Compute softmax over the last axis, so that each row is positive and sums to 1.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., n), any strides
        Logits. A 0-d array is a row of one.
    lengths : ndarray of integers, optional
        Number of valid entries of each row, 0 to n: shape (B,) for x of shape (B, ..., n), (B, T)
        for (B, T, ..., n), and so on. The other entries are not read and are 0 in the result; a row
        of length 0 is all 0. (*Dive into Deep Learning*, section 11.3.2, ``masked_softmax``.)
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. A row whose valid entries include NaN or +inf, or are all -inf, is NaN.
        n = 0 gives an empty array.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ; if lengths is not
        an array of integers.
    ValueError
        If out has another shape, is read-only or overlaps x; if lengths has another shape, or a
        length is out of range.
    """
    return on_arrays(SOFTMAX, x, lengths, out, "softmax")


def softmax_backward(dy, y, *, lengths=None, out=None):
    """Return the gradient of the input of `softmax`.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    y : ndarray like dy
        The output of `softmax`.
    lengths : ndarray of integers, optional
        As for `softmax`: the other entries of dy and y are not read, and their gradient is 0.
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
    """Compute the logarithm of `softmax` over the last axis, finite where softmax underflows.

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
    """Return the gradient of the input of `log_softmax`.

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
