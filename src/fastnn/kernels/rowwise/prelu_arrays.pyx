"""Leaky ReLU and PReLU on arrays; formulas and sources are in prelu.pyx."""
cimport numpy as cnp

import numpy as np

from ..ground.arrays cimport (
    check_contiguous, check_overlap, data_of, output_like, real_like, real_type, shaped_like,
)
from ..ground.dispatch cimport real
from ..ground.rows cimport RowCall, RowKernel, over_rows
from ..ground.scalars cimport finite_as
from .prelu cimport prelu_backward_real, prelu_real

cnp.import_array()

cdef enum:
    KEEP_GIL = 16384    # elements below which a call keeps the GIL (docs/tuning.md)


cdef struct Slopes:
    bint shared
    const void *a           # of the type of the arrays
    void *da                # or NULL
    float slope32           # a number that is no array
    double slope64


cdef int forward(const RowCall *c, const real *like) noexcept nogil:
    cdef const Slopes *s = <const Slopes*>c.options
    return prelu_real(
        s.shared, c.rows, c.cols, <const real*>c.x, c.ldx, <const real*>s.a, <real*>c.y, c.ldy
    )


cdef int backward(const RowCall *c, const real *like) noexcept nogil:
    cdef const Slopes *s = <const Slopes*>c.options
    return prelu_backward_real(
        s.shared, c.rows, c.cols, <const real*>c.x, c.ldx, <const real*>c.other, c.ldother,
        <const real*>s.a, <real*>c.y, c.ldy, <real*>s.da
    )


cdef RowKernel _on_rows = RowKernel(forward[float], forward[double], KEEP_GIL)
cdef RowKernel _back_on_rows = RowKernel(backward[float], backward[double], KEEP_GIL)


cdef object on_arrays(object x, const Slopes *s, object out, str op):
    return over_rows(&_on_rows, s, s.shared, op, x, "x", None, None, out)


cdef object backward_on_arrays(
    object dy, object x, str x_name, const Slopes *s, object out, str op
):
    """Run either backward function. The sums for da must not depend on the strides."""
    return over_rows(
        &_back_on_rows, s, s.shared and s.da is NULL, op, dy, "dy", x, x_name, out
    )


cdef int one_slope(object slope, object x, str op, str x_name, Slopes *s) except -1:
    """Set *s to one slope in the type of x. It points into itself, and must not be copied."""
    cdef bint f32 = real_type(x, op, x_name) == cnp.NPY_FLOAT
    s.shared, s.da = True, NULL
    s.slope64 = finite_as(slope, f32, op, "slope")
    s.slope32 = <float>s.slope64
    s.a = <const void*>&s.slope32 if f32 else <const void*>&s.slope64
    return 0


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

    Examples
    --------
    >>> fastnn.leaky_relu(np.float32([-2, 0, 3]), 0.5)
    array([-1.,  0.,  3.], dtype=float32)
    """
    cdef str op = "leaky_relu"
    cdef Slopes s
    one_slope(slope, x, op, "x", &s)
    return on_arrays(x, &s, out, op)


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

    Examples
    --------
    >>> y = fastnn.leaky_relu(np.float32([-2, 3]), 0.5)
    >>> fastnn.leaky_relu_backward(np.float32([1, 1]), y, 0.5)
    array([0.5, 1. ], dtype=float32)
    """
    cdef str op = "leaky_relu_backward"
    cdef Slopes s
    one_slope(slope, dy, op, "dy", &s)
    return backward_on_arrays(dy, y, "y", &s, out, op)


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

    Examples
    --------
    >>> fastnn.prelu(np.float32([[-2, 4], [1, -8]]), np.float32([0.5, 0.25]))
    array([[-1.,  4.],
           [ 1., -2.]], dtype=float32)
    """
    real_type(x, "prelu", "x")
    cdef cnp.ndarray s = slopes(a, <cnp.ndarray>x, "prelu", "x")
    if out is not None:
        check_overlap(shaped_like(out, <cnp.ndarray>x, "prelu", "out", "x"), s, "prelu", "out", "a")
    cdef Slopes o = Slopes(cnp.PyArray_DIM(s, 0) == 1, cnp.PyArray_DATA(s), NULL, 0, 0)
    return on_arrays(x, &o, out, "prelu")


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

    Examples
    --------
    >>> x, a, da = np.float32([[-2, 4]]), np.float32([0.5, 0.25]), np.zeros(2, np.float32)
    >>> fastnn.prelu_backward(np.float32([[1, 1]]), x, a, da=da)
    array([[0.5, 1. ]], dtype=float32)
    >>> da
    array([-2.,  0.], dtype=float32)
    """
    cdef str op = "prelu_backward"
    real_type(dy, op, "dy")
    cdef cnp.ndarray s = slopes(a, <cnp.ndarray>dy, op, "dy"), grad = None, dx
    if out is not None:
        dx = shaped_like(out, <cnp.ndarray>dy, op, "out", "dy")
        check_overlap(dx, s, op, "out", "a")
    if da is not None:
        grad = output_like(da, s, op, "da", "a")
        check_contiguous(grad, op, "da")
        check_overlap(grad, <cnp.ndarray>dy, op, "da", "dy")
        check_overlap(grad, shaped_like(x, <cnp.ndarray>dy, op, "x", "dy"), op, "da", "x")
        check_overlap(grad, s, op, "da", "a")
        if out is not None:
            check_overlap(grad, dx, op, "da", "out")
    cdef Slopes o = Slopes(cnp.PyArray_DIM(s, 0) == 1, cnp.PyArray_DATA(s), data_of(grad), 0, 0)
    return backward_on_arrays(dy, x, "x", &o, out, op)
