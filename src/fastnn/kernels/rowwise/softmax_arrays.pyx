"""Softmax and log-softmax of softmax.pyx as functions on arrays."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport check_overlap, int64_array, output_like, real_type
from ..ground.dispatch cimport real
from ..ground.rows cimport RowCall, RowKernel, over_rows
from .softmax cimport LOG_SOFTMAX, SOFTMAX, Kind, Lengths, backward, forward, wrong_length

cnp.import_array()

cdef enum:
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)


cdef struct Options:
    Kind kind
    Lengths lengths


cdef int forward_rows(const RowCall *c, const real *like) noexcept nogil:
    cdef const Options *o = <const Options*>c.options
    return forward(
        o.kind, c.rows, c.cols, <const real*>c.x, c.ldx, o.lengths, <real*>c.y, c.ldy
    )


cdef int backward_rows(const RowCall *c, const real *like) noexcept nogil:
    cdef const Options *o = <const Options*>c.options
    return backward(
        o.kind, c.rows, c.cols, <const real*>c.x, c.ldx, <const real*>c.other, c.ldother,
        o.lengths, <real*>c.y, c.ldy
    )


cdef RowKernel _on_rows = RowKernel(forward_rows[float], forward_rows[double], KEEP_GIL)
cdef RowKernel _back_on_rows = RowKernel(backward_rows[float], backward_rows[double], KEEP_GIL)


cdef cnp.ndarray checked_lengths(
    object lengths, object x, object out, str op, str x_name, Lengths *found
):
    """Return the lengths as contiguous int64, each from 0 to the number of columns.

    *found points into them. Out must not overlap them.
    """
    cdef cnp.ndarray of
    cdef int64_t i, rows, cols
    real_type(x, op, x_name)
    of = int64_array(lengths, op, "lengths")
    shape = np.shape(x)
    if of.ndim >= len(shape) or np.shape(of) != shape[: of.ndim]:
        raise ValueError(
            f"{op}: lengths must have the shape of the first axes of {x_name}, {shape}, "
            f"without the last, got {np.shape(of)}"
        )
    cols = shape[-1]
    rows = x.size // cols if cols > 0 else 0
    found.of = <const int64_t*>cnp.PyArray_DATA(of)
    found.rows = max(rows // cnp.PyArray_SIZE(of), 1) if of.size > 0 else 1
    i = wrong_length(found[0], rows, cols)
    if i >= 0:
        index = tuple(map(int, np.unravel_index(i, np.shape(of)))) if of.ndim != 1 else i
        raise ValueError(f"{op}: the length {lengths[index]} at {index} is not from 0 to {cols}")
    if out is not None:
        check_overlap(output_like(out, <cnp.ndarray>x, op, "out", x_name), of, op, "out", "lengths")
    return of


cdef object on_arrays(Kind kind, object x, object lengths, object out, str op):
    cdef Options o = Options(kind, Lengths(NULL, 1))
    of = None if lengths is None else checked_lengths(lengths, x, out, op, "x", &o.lengths)
    return over_rows(&_on_rows, &o, False, op, x, "x", None, None, out)


cdef object backward_on_arrays(Kind kind, object dy, object y, object lengths, object out, str op):
    cdef Options o = Options(kind, Lengths(NULL, 1))
    of = None if lengths is None else checked_lengths(lengths, dy, out, op, "dy", &o.lengths)
    return over_rows(&_back_on_rows, &o, False, op, dy, "dy", y, "y", out)


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

    Examples
    --------
    >>> fastnn.softmax(np.float32([[0, 0, 0], [0, 0, 0]]), lengths=np.array([3, 2])).round(3)
    array([[0.333, 0.333, 0.333],
           [0.5  , 0.5  , 0.   ]], dtype=float32)
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

    Examples
    --------
    >>> y = fastnn.softmax(np.float32([[0, 0]]))
    >>> fastnn.softmax_backward(np.float32([[1, 0]]), y)
    array([[ 0.25, -0.25]], dtype=float32)
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

    Examples
    --------
    >>> fastnn.log_softmax(np.float32([[0, 0], [0, 2]])).round(3)
    array([[-0.693, -0.693],
           [-2.127, -0.127]], dtype=float32)
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

    Examples
    --------
    >>> y = fastnn.log_softmax(np.float32([[0, 0]]))
    >>> fastnn.log_softmax_backward(np.float32([[1, 0]]), y)
    array([[ 0.5, -0.5]], dtype=float32)
    """
    return backward_on_arrays(LOG_SOFTMAX, dy, y, None, out, "log_softmax_backward")
