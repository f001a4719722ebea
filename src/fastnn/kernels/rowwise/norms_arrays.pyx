"""Layer norm and RMS norm on arrays (*Dive into Deep Learning*, section 11.7.3).

Formulas and sources are in norms.pyx. Forward optionally writes three numbers per row into `stats`:
the mean, the part of the mean lost to its rounding, and 1 / sqrt(variance + eps). Backward reads
them and the input. Gradients of weight and bias are added to the given arrays.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t, uint64_t

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, Rows, check_in_place, check_overlap, check_status, finish_output, is_output,
    output_rows, real_like, real_type, refuse_output, shaped_like, with_rows,
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


cdef inline void *data(cnp.ndarray a) noexcept:
    return NULL if a is None else cnp.PyArray_DATA(a)


cdef int64_t count_rows(cnp.ndarray x) noexcept:
    """Count the rows of x, including rows without elements."""
    cdef int i
    cdef int64_t count = 1
    for i in range(cnp.PyArray_NDIM(x) - 1):
        count *= cnp.PyArray_DIM(x, i)
    return count


cdef int typed_forward(
    int typenum, int rms, Rows x, void *px, Rows r, void *pr, double p,
    uint64_t seed, uint64_t step, void *weight, void *bias, double eps, Rows h, void *ph, Rows y,
    void *py, void *stats
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return layer_norm_real(
            rms, x.rows, x.cols, <float*>px, x.ld, <float*>pr, r.ld, p, seed, step, <float*>weight,
            <float*>bias, eps, <float*>ph, h.ld, <float*>py, y.ld, <float*>stats
        )
    if typenum == cnp.NPY_DOUBLE:
        return layer_norm_real(
            rms, x.rows, x.cols, <double*>px, x.ld, <double*>pr, r.ld, p, seed, step,
            <double*>weight, <double*>bias, eps, <double*>ph, h.ld, <double*>py, y.ld,
            <double*>stats
        )
    return BAD_ARGUMENT


cdef int typed_backward(
    int typenum, int rms, Rows dy, void *pdy, Rows h, void *ph, void *stats, void *weight,
    Rows dh_in, void *pdh_in, double p, uint64_t seed, uint64_t step, Rows dh, void *pdh, Rows dx,
    void *pdx, void *dweight, void *dbias
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return layer_norm_backward_real(
            rms, dy.rows, dy.cols, <float*>pdy, dy.ld, <float*>ph, h.ld, <float*>stats,
            <float*>weight, <float*>pdh_in, dh_in.ld, p, seed, step, <float*>pdh, dh.ld,
            <float*>pdx, dx.ld, <float*>dweight, <float*>dbias
        )
    if typenum == cnp.NPY_DOUBLE:
        return layer_norm_backward_real(
            rms, dy.rows, dy.cols, <double*>pdy, dy.ld, <double*>ph, h.ld, <double*>stats,
            <double*>weight, <double*>pdh_in, dh_in.ld, p, seed, step, <double*>pdh, dh.ld,
            <double*>pdx, dx.ld, <double*>dweight, <double*>dbias
        )
    return BAD_ARGUMENT


cdef int check_apart(
    object out, str name, str op, bint in_place, object a, str a_name, object b, str b_name,
    object c, str c_name, object d, str d_name
) except -1:
    """Raise ValueError if out overlaps one of the inputs, each of which may be None.

    With in_place, out may be a, b or c itself.
    """
    if out is None:
        return 0
    for x, x_name in ((a, a_name), (b, b_name), (c, c_name)):
        if x is not None:
            if in_place:
                check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, op, name, x_name)
            else:
                check_overlap(<cnp.ndarray>out, <cnp.ndarray>x, op, name, x_name)
    if d is not None:
        check_overlap(<cnp.ndarray>out, <cnp.ndarray>d, op, name, d_name)
    return 0


cdef int check_both(object out, str name, str op, object other, str other_name) except -1:
    """Raise ValueError if two outputs overlap; either may be None."""
    if out is not None and other is not None:
        check_overlap(<cnp.ndarray>out, <cnp.ndarray>other, op, name, other_name)
    return 0


cdef object forward(
    int rms, object x, object residual, object weight, object bias, double eps, double p,
    uint64_t seed, uint64_t step, object h, object stats, object out, str op
):
    cdef int typenum = real_type(x, op, "x"), status
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
    check_apart(out, "out", op, True, whole, "x", residual, "residual", None, "", w, "weight")
    check_apart(h, "h", op, True, whole, "x", residual, "residual", None, "", w, "weight")
    check_apart(stats, "stats", op, False, whole, "x", residual, "residual", w, "weight", b, "bias")
    check_both(out, "out", op, b, "bias")
    check_both(h, "h", op, b, "bias")
    check_both(h, "h", op, out, "out")
    check_both(stats, "stats", op, out, "out")
    check_both(stats, "stats", op, h, "h")
    w = w if w is None else cnp.PyArray_GETCONTIGUOUS(w)
    b = b if b is None else cnp.PyArray_GETCONTIGUOUS(b)
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(y)
    cdef void *pr = data(r)
    cdef void *ph = data(total)
    cdef void *pw = data(w)
    cdef void *pb = data(b)
    cdef void *ps = data(saved)
    if rx.rows * rx.cols < KEEP_GIL:
        status = typed_forward(
            typenum, rms, rx, px, rr, pr, p, seed, step, pw, pb, eps, rh, ph, ry, py, ps
        )
    else:
        with nogil:
            status = typed_forward(
                typenum, rms, rx, px, rr, pr, p, seed, step, pw, pb, eps, rh, ph, ry, py, ps
            )
    check_status(status, op)
    if total is not None:
        finish_output(h, total)
    return finish_output(out, y)


cdef tuple backward(
    int rms, object dy, object h, object stats, object weight, object dh_in, double p,
    uint64_t seed, uint64_t step, object dweight, object dbias, object out, str op, str h_name
):
    cdef int typenum = real_type(dy, op, "dy"), status
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
    check_apart(out, "out", op, True, whole, "dy", hs, h_name, None, "", w, "weight")
    check_both(out, "out", op, saved, "stats")
    for name, sums in (("dweight", dw), ("dbias", db)):
        check_apart(sums, name, op, False, whole, "dy", hs, h_name, dh_in, "dh", w, "weight")
        check_both(sums, name, op, saved, "stats")
        check_both(sums, name, op, out, "out")
    check_both(db, "dbias", op, dw, "dweight")
    w = w if w is None else cnp.PyArray_GETCONTIGUOUS(w)
    cdef void *pdy = cnp.PyArray_DATA(a)
    cdef void *ph = cnp.PyArray_DATA(b)
    cdef void *ps = cnp.PyArray_DATA(saved)
    cdef void *pin = data(arriving)
    cdef void *pdh = cnp.PyArray_DATA(dh)
    cdef void *pdx = data(dx)
    cdef void *pw = data(w)
    cdef void *pdw = data(dw)
    cdef void *pdb = data(db)
    if rdy.rows * rdy.cols < KEEP_GIL:
        status = typed_backward(
            typenum, rms, rdy, pdy, rh, ph, ps, pw, rin, pin, p, seed, step, rdh, pdh, rdx, pdx,
            pdw, pdb
        )
    else:
        with nogil:
            status = typed_backward(
                typenum, rms, rdy, pdy, rh, ph, ps, pw, rin, pin, p, seed, step, rdh, pdh, rdx, pdx,
                pdw, pdb
            )
    check_status(status, op)
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
    """
    return backward(
        0, dy, x, stats, weight, None, 0, 0, 0, dweight, dbias, out, "layer_norm_backward", "x"
    )[1]


def rms_norm(x, weight=None, *, eps=1e-6, stats=None, out=None):
    """Compute y = x / sqrt(mean of x^2 + eps) * weight over the last axis.

    Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Parameters, returns and errors are those of `layer_norm`, except that an infinity makes its own
    element NaN and the others of its row 0.
    """
    cdef str op = "rms_norm"
    return forward(1, x, None, weight, None, positive_number(eps, op, "eps"), 0, 0, 0, None, stats,
                   out, op)


def rms_norm_backward(dy, x, stats, weight=None, *, dweight=None, out=None):
    """Return the gradient of the input of `rms_norm`; see `layer_norm_backward`.

    The gradient of weight is added to dweight.
    """
    return backward(
        1, dy, x, stats, weight, None, 0, 0, 0, dweight, None, out, "rms_norm_backward", "x"
    )[1]
