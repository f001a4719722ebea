"""Define the activations of activation.pyx as functions on arrays: name and name_backward for each.

They are made from the table, include/fastnn_activations.h. Only `gelu` has an option.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

from .activation cimport (
    activation_backward_real,
    activation_real,
)
from .activation_table cimport fastnn_activation, fastnn_activation_table, saves_output
from ..ground.arrays cimport (
    BAD_ARGUMENT, Rows, check_in_place, check_status, finish_output, flatten, output_rows,
    real_type, shaped_like, with_rows,
)
from ..ground.dispatch cimport FASTNN_ACT_GELU, FASTNN_ACT_GELU_TANH, FASTNN_ACT_LAST
from ..ground.scalars cimport choice

cnp.import_array()

cdef enum:
    KEEP_GIL = 16384    # elements below which a call keeps the GIL (docs/tuning.md)


cdef int forward_typed(
    int typenum, int kind, Rows r, void *x, int64_t ldx, void *y, int64_t ldy
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return activation_real(kind, r.rows, r.cols, <float*>x, ldx, <float*>y, ldy)
    if typenum != cnp.NPY_DOUBLE:
        return BAD_ARGUMENT
    return activation_real(kind, r.rows, r.cols, <double*>x, ldx, <double*>y, ldy)


cdef int backward_typed(
    int typenum, int kind, Rows r, void *dy, int64_t lddy, void *saved, int64_t ldsaved,
    void *dx, int64_t lddx
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return activation_backward_real(
            kind, r.rows, r.cols, <float*>dy, lddy, <float*>saved, ldsaved, <float*>dx, lddx
        )
    if typenum != cnp.NPY_DOUBLE:
        return BAD_ARGUMENT
    return activation_backward_real(
        kind, r.rows, r.cols, <double*>dy, lddy, <double*>saved, ldsaved, <double*>dx, lddx
    )


cdef object on_arrays(int kind, object x, object out, str op):
    """Run any forward function: check the arrays, choose the type, keep or release the GIL."""
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


cdef object backward_on_arrays(
    int kind, object dy, object saved, object out, str op, str saved_name
):
    """Run any backward function. saved_name is the name of its second parameter."""
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


# Templates of the docstrings of an activation and of its backward pass.
_FORWARD = """Apply {name} to each element: {y}.

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
_BACKWARD = """Return the gradient of the input of {name}: {dx}.

    Parameters
    ----------
    dy : ndarray of float32 or float64, any shape and strides
        Gradient of the output.
    {saved} : ndarray like dy
        The {which} of `{name}`.
    out : ndarray, optional
        The type and shape of dy; may be dy or {saved} itself, but must not overlap them otherwise.

    Returns
    -------
    ndarray
        ``out`` if given.

    Raises
    ------
    TypeError, ValueError
        As `{name}`.
    """


def _forward(int kind, str op):
    def activation(x, *, out=None):
        return on_arrays(kind, x, out, op)

    return activation


def _backward_from_output(int kind, str op):
    def activation_backward(dy, y, *, out=None):
        return backward_on_arrays(kind, dy, y, out, op, "y")

    return activation_backward


def _backward_from_input(int kind, str op):
    def activation_backward(dy, x, *, out=None):
        return backward_on_arrays(kind, dy, x, out, op, "x")

    return activation_backward


cdef object named(object function, str name, str documentation):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = documentation
    return function


cdef tuple from_row(const fastnn_activation *row):
    """Return the two functions of a row, and True if backward reads the output."""
    cdef bint from_output = saves_output(row.code)
    cdef str name = row.name.decode(), back = name + "_backward"
    words = {"name": name, "y": row.y.decode(), "dx": row.dx.decode()}
    words["saved"], words["which"] = ("y", "output") if from_output else ("x", "input")
    make = _backward_from_output if from_output else _backward_from_input
    return (
        named(_forward(row.code, name), name, _FORWARD.format(**words)),
        named(make(row.code, back), back, _BACKWARD.format(**words)),
        from_output,
    )


# name -> (y = act(x), its backward, True if backward reads y instead of x)
ACTIVATIONS = {}
for _row in range(FASTNN_ACT_LAST):
    ACTIVATIONS[fastnn_activation_table[_row].name.decode()] = from_row(
        &fastnn_activation_table[_row]
    )
for _name, (_function, _gradient, _) in ACTIVATIONS.items():
    globals()[_name], globals()[_name + "_backward"] = _function, _gradient
__all__ = [*ACTIVATIONS, *(f"{_name}_backward" for _name in ACTIVATIONS)]


cdef int gelu_kind(object approximate, str op) except -1:
    cdef bint by_tanh = choice(approximate, (None, "tanh"), op, "approximate")
    return FASTNN_ACT_GELU_TANH if by_tanh else FASTNN_ACT_GELU


def gelu(x, *, approximate=None, out=None):
    """Compute x Phi(x), element by element; Phi is the normal distribution function.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides
    approximate : None or "tanh"
        None is the exact form; "tanh" replaces Phi(x) by
        (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, as GPT-2 was trained with: `gelu_tanh`.
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. -inf gives 0. The error of the exact form is within 10 ulp, 4 ulp where
        x > 0, down to where it underflows; that of the approximation within 4 ulp, and
        4 (1 + 2a) ulp where x < 0, a being the magnitude of the argument of tanh.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If out has another shape, is read-only or overlaps x, or approximate is another value.
    """
    return on_arrays(gelu_kind(approximate, "gelu"), x, out, "gelu")


def gelu_backward(dy, x, *, approximate=None, out=None):
    """Return the gradient of the input of GELU: dy (Phi(x) + x phi(x)).

    phi is the density of the normal distribution.

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
    return backward_on_arrays(
        gelu_kind(approximate, "gelu_backward"), dy, x, out, "gelu_backward", "x"
    )
