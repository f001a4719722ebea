"""Layer norm and RMS norm on arrays (*Dive into Deep Learning*, section 11.7.3).

Formulas and sources are in norms.pyx. Forward optionally writes three numbers per row into `stats`:
the mean, the part of the mean lost to its rounding, and 1 / sqrt(variance + eps). Backward reads
them and the input. Gradients of weight and bias are added to the given arrays.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t, uint64_t

import numpy as np

from ..ground.arrays cimport (
    Rows, call_typed, check_in_place, check_overlap, check_status, data_of, finish_output,
    is_output, output_rows, real_like, real_type, refuse_output, shaped_like, with_rows,
)
from ..ground.scalars cimport positive_number
from .norms cimport layer_norm_backward_real, layer_norm_real

cnp.import_array()

cdef enum:
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)


cdef cnp.ndarray per_column(object v, int typenum, int64_t cols, str op, str name, str like_name):
    """Return v as an array (cols,) of the type of the array named like_name; None stays None."""
    if v is None:
        return None
    cdef cnp.ndarray a = real_like(v, typenum, op, name, like_name)
    if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_DIM(a, 0) != cols:
        raise ValueError(
            f"{op}: {name} must have the shape ({cols},) of a row of {like_name}, got {np.shape(a)}"
        )
    return a


cdef cnp.ndarray gradient(object v, int typenum, int64_t cols, str op, str name, str like_name):
    """Return v as `per_column` does, and check that it can be added to."""
    cdef cnp.ndarray a = per_column(v, typenum, cols, op, name, like_name)
    if a is not None:
        if not is_output(a):
            refuse_output(a, op, name)
        if not cnp.PyArray_IS_C_CONTIGUOUS(a):
            raise ValueError(f"{op}: {name} must be contiguous")
    return a


cdef cnp.ndarray row_stats(object stats, int typenum, int64_t rows, str op, str like_name):
    cdef cnp.ndarray a = real_like(stats, typenum, op, "stats", like_name)
    if cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_DIM(a, 0) != rows or cnp.PyArray_DIM(a, 1) != 3:
        raise ValueError(
            f"{op}: stats must have the shape ({rows}, 3) for the rows of {like_name}, "
            f"got {np.shape(a)}"
        )
    if not cnp.PyArray_IS_C_CONTIGUOUS(a):
        raise ValueError(f"{op}: stats must be contiguous")
    return a


cdef int64_t count_rows(cnp.ndarray x) noexcept:
    """Count the rows of x, including rows without elements."""
    cdef int i
    cdef int64_t count = 1
    for i in range(cnp.PyArray_NDIM(x) - 1):
        count *= cnp.PyArray_DIM(x, i)
    return count


cdef int apart(
    object out, str name, object x, str x_name, str op, bint in_place=False
) except -1:
    """Raise ValueError if an output overlaps another array; either may be None.

    With in_place, the output may be that array.
    """
    if out is None or x is None:
        return 0
    if in_place:
        return check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, op, name, x_name)
    return check_overlap(<cnp.ndarray>out, <cnp.ndarray>x, op, name, x_name)


cdef object forward(
    int rms, object x, object residual, object weight, object bias, double eps, double p,
    uint64_t seed, uint64_t step, object h, object stats, object out, str op
):
    cdef int typenum = real_type(x, op, "x")
    cdef Rows rx, rr, rh, ry
    cdef cnp.ndarray whole = <cnp.ndarray>x, a = with_rows(whole, &rx)
    cdef cnp.ndarray r = None, total = None, saved = None
    cdef cnp.ndarray w = per_column(weight, typenum, rx.cols, op, "weight", "x")
    cdef cnp.ndarray b = per_column(bias, typenum, rx.cols, op, "bias", "x")
    cdef cnp.ndarray y = output_rows(out, whole, op, "out", "x", &ry)
    rr.ld = rh.ld = 0
    if residual is not None:
        r = with_rows(shaped_like(residual, whole, op, "residual", "x"), &rr)
    if h is not None:
        total = output_rows(h, whole, op, "h", "x", &rh)
    if stats is not None:
        saved = row_stats(stats, typenum, count_rows(whole), op, "x")
        if not is_output(saved):
            refuse_output(saved, op, "stats")
    apart(out, "out", x, "x", op, True)
    apart(out, "out", residual, "residual", op, True)
    apart(out, "out", w, "weight", op)
    apart(out, "out", b, "bias", op)
    apart(h, "h", x, "x", op, True)
    apart(h, "h", residual, "residual", op, True)
    apart(h, "h", w, "weight", op)
    apart(h, "h", b, "bias", op)
    apart(h, "h", out, "out", op)
    apart(stats, "stats", x, "x", op)
    apart(stats, "stats", residual, "residual", op)
    apart(stats, "stats", w, "weight", op)
    apart(stats, "stats", b, "bias", op)
    apart(stats, "stats", out, "out", op)
    apart(stats, "stats", h, "h", op)
    w = w if w is None else cnp.PyArray_GETCONTIGUOUS(w)
    b = b if b is None else cnp.PyArray_GETCONTIGUOUS(b)
    check_status(
        call_typed(
            typenum, rx.rows * rx.cols >= KEEP_GIL, layer_norm_real[float],
            layer_norm_real[double], rms, rx.rows, rx.cols, data_of(a), rx.ld, data_of(r), rr.ld,
            p, seed, step, data_of(w), data_of(b), eps, data_of(total), rh.ld, data_of(y), ry.ld,
            data_of(saved)
        ), op
    )
    if total is not None:
        finish_output(h, total)
    return finish_output(out, y)


cdef tuple backward(
    int rms, object dy, object h, object stats, object weight, object dh_in, double p,
    uint64_t seed, uint64_t step, object dweight, object dbias, object out, str op, str h_name
):
    cdef int typenum = real_type(dy, op, "dy")
    cdef Rows rdy, rh, rin, rdh, rdx
    cdef cnp.ndarray whole = <cnp.ndarray>dy, hs = shaped_like(h, whole, op, h_name, "dy")
    cdef cnp.ndarray arriving = None, dx = None
    cdef cnp.ndarray a = with_rows(whole, &rdy), b = with_rows(hs, &rh)
    cdef cnp.ndarray w = per_column(weight, typenum, rdy.cols, op, "weight", "dy")
    cdef cnp.ndarray saved = row_stats(stats, typenum, count_rows(whole), op, "dy")
    cdef cnp.ndarray dw = gradient(dweight, typenum, rdy.cols, op, "dweight", "dy")
    cdef cnp.ndarray db = gradient(dbias, typenum, rdy.cols, op, "dbias", "dy")
    cdef cnp.ndarray dh = output_rows(out, whole, op, "out", "dy", &rdh)
    rin.ld = rdx.ld = 0
    if dh_in is not None:
        arriving = with_rows(shaped_like(dh_in, whole, op, "dh", "dy"), &rin)
    if p > 0:
        dx = output_rows(None, whole, op, "dx", "dy", &rdx)
    apart(out, "out", dy, "dy", op, True)
    apart(out, "out", h, h_name, op, True)
    apart(out, "out", w, "weight", op)
    apart(out, "out", stats, "stats", op)
    for name, sums in (("dweight", dw), ("dbias", db)):
        apart(sums, name, dy, "dy", op)
        apart(sums, name, h, h_name, op)
        apart(sums, name, dh_in, "dh", op)
        apart(sums, name, w, "weight", op)
        apart(sums, name, stats, "stats", op)
        apart(sums, name, out, "out", op)
    apart(db, "dbias", dw, "dweight", op)
    w = w if w is None else cnp.PyArray_GETCONTIGUOUS(w)
    check_status(
        call_typed(
            typenum, rdy.rows * rdy.cols >= KEEP_GIL, layer_norm_backward_real[float],
            layer_norm_backward_real[double], rms, rdy.rows, rdy.cols, data_of(a), rdy.ld,
            data_of(b), rh.ld, data_of(saved), data_of(w), data_of(arriving), rin.ld, p, seed,
            step, data_of(dh), rdh.ld, data_of(dx), rdx.ld, data_of(dw), data_of(db)
        ), op
    )
    return dh if dx is None else dx, finish_output(out, dh)


def layer_norm(x, weight=None, bias=None, *, eps=1e-5, stats=None, out=None):
    """Normalize each row to mean 0 and variance 1, then scale and shift it.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last axis.

    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., n), any strides
        A 0-d array is a row of one.
    weight, bias : ndarray, shape (n,), optional
        Of the type of x.
    eps : float
        Above 0. A constant row gives zeros (and the bias).
    stats : ndarray, shape (rows, 3), contiguous, optional
        Receives what `layer_norm_backward` needs of each row of x: the mean in two parts, and
        1 / sqrt(variance + eps).
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. A row with NaN or an infinity is NaN. An element whose distance from the
        mean of its row exceeds the largest number of the type is an infinity.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit, eps is not above 0, or an output is read-only or overlaps another
        argument.

    Examples
    --------
    >>> fastnn.layer_norm(np.float32([[1, 2, 3], [2, 4, 6]])).round(3)
    array([[-1.225,  0.   ,  1.225],
           [-1.225,  0.   ,  1.225]], dtype=float32)
    """
    cdef str op = "layer_norm"
    return forward(0, x, None, weight, bias, positive_number(eps, op, "eps"), 0, 0, 0, None, stats,
                   out, op)


def layer_norm_backward(dy, x, stats, weight=None, *, dweight=None, dbias=None, out=None):
    """Return the gradient of the input of `layer_norm`.

    The gradients of weight and bias are added to dweight and dbias.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    x, stats, weight
        The input, what `layer_norm` wrote into stats, and the same weight.
    dweight, dbias : ndarray, shape (n,), contiguous, optional
        Added to. The bits do not depend on the number of threads.
    out : ndarray, optional
        Receives the gradient of x; may be dy or x itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `layer_norm`.
    MemoryError
        If there is no memory for the sums; then nothing has been changed.

    Examples
    --------
    >>> x, stats = np.float32([[1, 2, 3]]), np.empty((1, 3), np.float32)
    >>> y = fastnn.layer_norm(x, stats=stats)
    >>> fastnn.layer_norm_backward(np.float32([[0, 0, 3]]), x, stats).round(2)
    array([[ 0.61, -1.22,  0.61]], dtype=float32)
    """
    return backward(
        0, dy, x, stats, weight, None, 0, 0, 0, dweight, dbias, out, "layer_norm_backward", "x"
    )[1]


def rms_norm(x, weight=None, *, eps=1e-6, stats=None, out=None):
    """Compute y = x / sqrt(mean of x^2 + eps) * weight over the last axis.

    Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Parameters, returns and errors are those of `layer_norm`, except that an infinity makes its own
    element NaN and the others of its row 0.

    Examples
    --------
    >>> fastnn.rms_norm(np.float32([[3, 4, 0, 0]])).round(3)
    array([[1.2, 1.6, 0. , 0. ]], dtype=float32)
    """
    cdef str op = "rms_norm"
    return forward(1, x, None, weight, None, positive_number(eps, op, "eps"), 0, 0, 0, None, stats,
                   out, op)


def rms_norm_backward(dy, x, stats, weight=None, *, dweight=None, out=None):
    """Return the gradient of the input of `rms_norm`; see `layer_norm_backward`.

    The gradient of weight is added to dweight.

    Examples
    --------
    >>> x, stats = np.float32([[1, 1]]), np.empty((1, 3), np.float32)
    >>> y = fastnn.rms_norm(x, stats=stats)
    >>> fastnn.rms_norm_backward(np.float32([[1, 0]]), x, stats).round(3)
    array([[ 0.5, -0.5]], dtype=float32)
    """
    return backward(
        1, dy, x, stats, weight, None, 0, 0, 0, dweight, None, out, "rms_norm_backward", "x"
    )[1]
