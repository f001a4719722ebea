"""Leaky ReLU and PReLU on arrays; formulas and sources are in prelu.pyx."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (
    Rows, check_in_place, check_overlap, check_status, finish_output, flatten, is_output,
    output_rows, real_like, real_type, refuse_output, shaped_like, with_rows,
)
from ..ground.scalars cimport finite_as
from .prelu cimport backward_typed, forward_typed

cnp.import_array()

cdef enum:
    KEEP_GIL = 16384    # elements below which a call keeps the GIL (docs/tuning.md)


cdef object on_arrays(object x, bint shared, void *a, object out, str op):
    """Run either forward function. x is a checked real array; a points to numbers of its type."""
    cdef int typenum = cnp.PyArray_TYPE(<cnp.ndarray>x), status
    cdef Rows rx, ry
    cdef cnp.ndarray xs = with_rows(<cnp.ndarray>x, &rx)
    cdef cnp.ndarray y = output_rows(out, <cnp.ndarray>x, op, "out", "x", &ry)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, op, "out", "x")
    if shared:
        flatten(&rx, &ry)
    cdef void *px = cnp.PyArray_DATA(xs)
    cdef void *py = cnp.PyArray_DATA(y)
    if rx.rows * rx.cols < KEEP_GIL:
        status = forward_typed(typenum, shared, rx, px, rx.ld, a, py, ry.ld)
    else:
        with nogil:
            status = forward_typed(typenum, shared, rx, px, rx.ld, a, py, ry.ld)
    check_status(status, op)
    return finish_output(out, y)


cdef object backward_on_arrays(
    object dy, object x, str x_name, bint shared, void *a, void *da, object out, str op
):
    """Run either backward function. dy is a checked real array; a and da point to its type."""
    cdef int typenum = cnp.PyArray_TYPE(<cnp.ndarray>dy), status
    cdef Rows rdy, rx, rdx
    cdef cnp.ndarray like = shaped_like(x, <cnp.ndarray>dy, op, x_name, "dy")
    cdef cnp.ndarray dys = with_rows(<cnp.ndarray>dy, &rdy), xs = with_rows(like, &rx)
    cdef cnp.ndarray dx = output_rows(out, <cnp.ndarray>dy, op, "out", "dy", &rdx)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>dy, op, "out", "dy")
        check_in_place(<cnp.ndarray>out, like, op, "out", x_name)
    # One slope: treat all as one row. Not with da, whose sums must not depend on the strides.
    if shared and da is NULL and rdy.ld == rdy.cols and rx.ld == rx.cols and rdx.ld == rdx.cols:
        flatten(&rdy, &rdx)
    cdef void *pdy = cnp.PyArray_DATA(dys)
    cdef void *px = cnp.PyArray_DATA(xs)
    cdef void *pdx = cnp.PyArray_DATA(dx)
    if rdy.rows * rdy.cols < KEEP_GIL:
        status = backward_typed(typenum, shared, rdy, pdy, rdy.ld, px, rx.ld, a, pdx, rdx.ld, da)
    else:
        with nogil:
            status = backward_typed(
                typenum, shared, rdy, pdy, rdy.ld, px, rx.ld, a, pdx, rdx.ld, da
            )
    check_status(status, op)
    return finish_output(out, dx)


cdef cnp.ndarray slopes(object a, cnp.ndarray x, str op, str x_name):
    """Return a as contiguous slopes for x."""
    cdef cnp.ndarray s = real_like(a, cnp.PyArray_TYPE(x), op, "a", x_name)
    cdef int ndim = cnp.PyArray_NDIM(x)
    if (
        cnp.PyArray_NDIM(s) != 1
        or (
            cnp.PyArray_DIM(s, 0) != 1
            and (ndim == 0 or cnp.PyArray_DIM(s, 0) != cnp.PyArray_DIM(x, ndim - 1))
        )
    ):
        raise ValueError(
            f"{op}: a must have the shape (1,) or that of a row of {x_name}, "
            f"{np.shape(x)[-1:]}, got {np.shape(s)}"
        )
    return cnp.PyArray_GETCONTIGUOUS(s)


def leaky_relu(x, slope=0.01, *, out=None):
    """Compute x where x > 0, else slope x, element by element; NaN stays NaN.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides
    slope : float
        Finite in the type of the arrays.
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
    cdef str op = "leaky_relu"
    cdef bint f32 = real_type(x, op, "x") == cnp.NPY_FLOAT
    cdef double slope64 = finite_as(slope, f32, op, "slope")
    cdef float slope32 = <float>slope64
    return on_arrays(x, True, <void*>&slope32 if f32 else <void*>&slope64, out, op)


def leaky_relu_backward(dy, y, slope=0.01, *, out=None):
    """Return the gradient of the input of leaky ReLU: dy where y > 0, else slope dy.

    Parameters
    ----------
    dy : ndarray of float32 or float64, any shape and strides
        Gradient of the output.
    y : ndarray like dy
        The input of `leaky_relu`, or its output if slope > 0: then both have the same sign.
    slope : float
        Finite in the type of the arrays.
    out : ndarray, optional
        The type and shape of dy; may be dy or y itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `leaky_relu`.
    """
    cdef str op = "leaky_relu_backward"
    cdef bint f32 = real_type(dy, op, "dy") == cnp.NPY_FLOAT
    cdef double slope64 = finite_as(slope, f32, op, "slope")
    cdef float slope32 = <float>slope64
    return backward_on_arrays(dy, y, "y", True, <void*>&slope32 if f32 else <void*>&slope64, NULL,
                              out, op)


def prelu(x, a, *, out=None):
    """Compute x where x > 0, else a x, with learned slopes a; NaN stays NaN.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., n), any strides
    a : ndarray, shape (n,) or (1,)
        A slope for each column, or one for all.
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
        If a or out has another shape, or out is read-only or overlaps x or a.
    """
    real_type(x, "prelu", "x")
    cdef cnp.ndarray s = slopes(a, <cnp.ndarray>x, "prelu", "x")
    if out is not None:
        check_overlap(shaped_like(out, <cnp.ndarray>x, "prelu", "out", "x"), s, "prelu", "out", "a")
    return on_arrays(x, cnp.PyArray_DIM(s, 0) == 1, cnp.PyArray_DATA(s), out, "prelu")


def prelu_backward(dy, x, a, *, da=None, out=None):
    """Return the gradient of the input of PReLU; add the gradient of the slopes to da.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (..., n), any strides
        Gradient of the output.
    x : ndarray like dy
        The input of `prelu`.
    a : ndarray, shape (n,) or (1,)
    da : ndarray of the shape of a, C-contiguous, optional
        The sums of dy x where x <= 0, over the rows (and columns, for one slope), are added to it.
    out : ndarray, optional
        The type and shape of dy; may be dy or x itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        dy where x > 0, else a dy; ``out`` if given.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If a shape does not fit, or da or out is read-only or overlaps another argument. Then
        nothing has been added.
    """
    cdef str op = "prelu_backward"
    real_type(dy, op, "dy")
    cdef cnp.ndarray s = slopes(a, <cnp.ndarray>dy, op, "dy"), grad, dx
    cdef void *pda = NULL
    if out is not None:
        dx = shaped_like(out, <cnp.ndarray>dy, op, "out", "dy")
        check_overlap(dx, s, op, "out", "a")
    if da is not None:
        grad = shaped_like(da, s, op, "da", "a")
        if not is_output(grad):
            refuse_output(grad, op, "da")
        if not cnp.PyArray_IS_C_CONTIGUOUS(grad):
            raise ValueError(f"{op}: da must be C-contiguous")
        check_overlap(grad, <cnp.ndarray>dy, op, "da", "dy")
        check_overlap(grad, shaped_like(x, <cnp.ndarray>dy, op, "x", "dy"), op, "da", "x")
        check_overlap(grad, s, op, "da", "a")
        if out is not None:
            check_overlap(grad, dx, op, "da", "out")
        pda = cnp.PyArray_DATA(grad)
    return backward_on_arrays(
        dy, x, "x", cnp.PyArray_DIM(s, 0) == 1, cnp.PyArray_DATA(s), pda, out, op
    )
