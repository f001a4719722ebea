"""The activations of activation.pyx as functions on arrays."""
cimport numpy as cnp
from libc.stdint cimport int64_t

from .activation cimport activation_backward_f32, activation_backward_f64, activation_f32, activation_f64
from ..ground.arrays cimport Rows, check_in_place, check_status, finish_output, flatten, output_rows, real_type, shaped_like, with_rows
from ..ground.dispatch cimport (FASTNN_ACT_GELU, FASTNN_ACT_GELU_TANH, FASTNN_ACT_RELU, FASTNN_ACT_SIGMOID, FASTNN_ACT_SILU, FASTNN_ACT_SOFTPLUS,
                        FASTNN_ACT_TANH)
from ..ground.scalars cimport choice

cnp.import_array()

cdef enum:
    KEEP_GIL = 16384    # elements, 0.9 us of ReLU, below which the GIL is kept: letting go costs 40 ns, and a wait where another thread takes it


cdef int forward_typed(int typenum, int kind, Rows r, void *x, int64_t ldx, void *y, int64_t ldy) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return activation_f32(kind, r.rows, r.cols, <float*>x, ldx, <float*>y, ldy)
    return activation_f64(kind, r.rows, r.cols, <double*>x, ldx, <double*>y, ldy)


cdef int backward_typed(int typenum, int kind, Rows r, void *dy, int64_t lddy, void *saved, int64_t ldsaved, void *dx,
                        int64_t lddx) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return activation_backward_f32(kind, r.rows, r.cols, <float*>dy, lddy, <float*>saved, ldsaved, <float*>dx, lddx)
    return activation_backward_f64(kind, r.rows, r.cols, <double*>dy, lddy, <double*>saved, ldsaved, <double*>dx, lddx)


cdef object on_arrays(int kind, object x, object out, str op):
    """The body of every forward function."""
    cdef int typenum = real_type(x, op, "x"), status
    cdef Rows rx, ry
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>x, &rx)
    cdef cnp.ndarray y = output_rows(out, <cnp.ndarray>x, op, "out", "x", &ry)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, op, "out", "x")
    flatten(&rx, &ry)
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(y)
    if rx.rows * rx.cols < KEEP_GIL:
        status = forward_typed(typenum, kind, rx, px, rx.ld, py, ry.ld)
    else:
        with nogil:
            status = forward_typed(typenum, kind, rx, px, rx.ld, py, ry.ld)
    check_status(status, op)
    return finish_output(out, y)


cdef object backward_on_arrays(int kind, object dy, object saved, object out, str op, str saved_name):
    """The body of every backward function; saved_name is what its second parameter is called."""
    cdef int typenum = real_type(dy, op, "dy"), status
    cdef Rows rdy, rs, rdx
    cdef cnp.ndarray like = shaped_like(saved, <cnp.ndarray>dy, op, saved_name, "dy")
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>dy, &rdy), b = with_rows(like, &rs)
    cdef cnp.ndarray dx = output_rows(out, <cnp.ndarray>dy, op, "out", "dy", &rdx)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>dy, op, "out", "dy")
        check_in_place(<cnp.ndarray>out, like, op, "out", saved_name)
    if rdy.ld == rdy.cols and rs.ld == rs.cols and rdx.ld == rdx.cols:
        flatten(&rdy, &rdx)
    cdef void *pdy = cnp.PyArray_DATA(a)
    cdef void *ps = cnp.PyArray_DATA(b)
    cdef void *pdx = cnp.PyArray_DATA(dx)
    if rdy.rows * rdy.cols < KEEP_GIL:
        status = backward_typed(typenum, kind, rdy, pdy, rdy.ld, ps, rs.ld, pdx, rdx.ld)
    else:
        with nogil:
            status = backward_typed(typenum, kind, rdy, pdy, rdy.ld, ps, rs.ld, pdx, rdx.ld)
    check_status(status, op)
    return finish_output(out, dx)


cdef int gelu_kind(object approximate, str op) except -1:
    cdef bint by_tanh = choice(approximate, (None, "tanh"), op, "approximate")
    return FASTNN_ACT_GELU_TANH if by_tanh else FASTNN_ACT_GELU


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
        ``out`` if given. Exact.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If out has another shape, is read-only or overlaps x.
    """
    return on_arrays(FASTNN_ACT_RELU, x, out, "relu")


def relu_backward(dy, y, *, out=None):
    """The gradient of the input of ReLU: dy where y > 0, else 0 (at 0 by convention), and dy where y is NaN.

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
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `relu`.
    """
    return backward_on_arrays(FASTNN_ACT_RELU, dy, y, out, "relu_backward", "y")


def sigmoid(x, *, out=None):
    """1 / (1 + exp(-x)), element by element, down to where it underflows; within 2 ulp.

    Parameters, result and errors are those of `relu`.
    """
    return on_arrays(FASTNN_ACT_SIGMOID, x, out, "sigmoid")


def sigmoid_backward(dy, y, *, out=None):
    """The gradient of the input of the sigmoid, dy y (1 - y), from its output y.

    Parameters, result and errors are those of `relu_backward`.
    """
    return backward_on_arrays(FASTNN_ACT_SIGMOID, dy, y, out, "sigmoid_backward", "y")


def tanh(x, *, out=None):
    """The hyperbolic tangent, element by element; within 1.5 ulp.

    Parameters, result and errors are those of `relu`.
    """
    return on_arrays(FASTNN_ACT_TANH, x, out, "tanh")


def tanh_backward(dy, y, *, out=None):
    """The gradient of the input of tanh, dy (1 - y^2), from its output y.

    Parameters, result and errors are those of `relu_backward`.
    """
    return backward_on_arrays(FASTNN_ACT_TANH, dy, y, out, "tanh_backward", "y")


def gelu(x, *, approximate=None, out=None):
    """x Phi(x), element by element, Phi the distribution function of the normal distribution.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides
    approximate : None or "tanh"
        None is the exact form; "tanh" replaces Phi(x) by (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, as GPT-2 was trained with.
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. -inf gives 0. The error of the exact form is within 10 ulp, 4 ulp where x > 0, down to where it underflows; that of the
        approximation within 4 ulp, and 4 (1 + 2a) ulp where x < 0, a the size of the argument of tanh.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If out has another shape, is read-only or overlaps x, or approximate is something else.
    """
    return on_arrays(gelu_kind(approximate, "gelu"), x, out, "gelu")


def gelu_backward(dy, x, *, approximate=None, out=None):
    """The gradient of the input of GELU: dy (Phi(x) + x phi(x)), phi the density of the normal distribution.

    Parameters
    ----------
    dy : ndarray of float32 or float64, any shape and strides
        Gradient of the output.
    x : ndarray like dy
        The input of `gelu`.
    approximate : None or "tanh"
        As in `gelu`.
    out : ndarray, optional
        The type and shape of dy; may be dy or x itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `gelu`.
    """
    return backward_on_arrays(gelu_kind(approximate, "gelu_backward"), dy, x, out, "gelu_backward", "x")


def silu(x, *, out=None):
    """x sigmoid(x), element by element, also called swish; within 2.5 ulp. -inf gives 0.

    Parameters, result and errors are those of `relu`.
    """
    return on_arrays(FASTNN_ACT_SILU, x, out, "silu")


def silu_backward(dy, x, *, out=None):
    """The gradient of the input of SiLU, dy s (1 + x (1 - s)) with s = sigmoid(x), from its input x.

    Parameters, result and errors are those of `relu_backward`.
    """
    return backward_on_arrays(FASTNN_ACT_SILU, dy, x, out, "silu_backward", "x")


def softplus(x, *, out=None):
    """log(1 + exp(x)), element by element, which is never below 0 nor x; within 2 ulp, in both tails too.

    Parameters, result and errors are those of `relu`.
    """
    return on_arrays(FASTNN_ACT_SOFTPLUS, x, out, "softplus")


def softplus_backward(dy, y, *, out=None):
    """The gradient of the input of softplus, dy sigmoid(x) = dy (1 - exp(-y)), from its output y.

    Parameters, result and errors are those of `relu_backward`.
    """
    return backward_on_arrays(FASTNN_ACT_SOFTPLUS, dy, y, out, "softplus_backward", "y")
