"""Define the activations of activation.pyx as functions on arrays: name and name_backward for each.

They are made from the table, include/fastnn_activations.h. Only `gelu` has an option.
"""
from .activation cimport activation_backward_real, activation_real
from .activation_table cimport fastnn_activation, fastnn_activation_table, saves_output
from ..ground.dispatch cimport FASTNN_ACT_GELU, FASTNN_ACT_GELU_TANH, FASTNN_ACT_LAST, real
from ..ground.rows cimport RowCall, RowKernel, over_rows
from ..ground.scalars cimport choice

cdef enum:
    KEEP_GIL = 16384    # elements below which a call keeps the GIL (docs/tuning.md)


cdef int forward(const RowCall *c, const real *like) noexcept nogil:
    return activation_real(
        (<const int*>c.options)[0], c.rows, c.cols, <const real*>c.x, c.ldx, <real*>c.y, c.ldy
    )


cdef int backward(const RowCall *c, const real *like) noexcept nogil:
    return activation_backward_real(
        (<const int*>c.options)[0], c.rows, c.cols, <const real*>c.x, c.ldx, <const real*>c.other,
        c.ldother, <real*>c.y, c.ldy
    )


cdef RowKernel _on_rows = RowKernel(forward[float], forward[double], KEEP_GIL)
cdef RowKernel _back_on_rows = RowKernel(backward[float], backward[double], KEEP_GIL)


cdef object on_arrays(int kind, object x, object out, str op):
    return over_rows(&_on_rows, &kind, True, op, x, "x", None, None, out)


cdef object backward_on_arrays(int kind, object dy, object saved, object out, str op, str name):
    """Run any backward function. `name` is the name of its second parameter."""
    return over_rows(&_back_on_rows, &kind, True, op, dy, "dy", saved, name, out)


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

    Examples
    --------
    >>> x = np.float32([0, 2])
    >>> fastnn.{name}(x, out=x) is x
    True
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

    Examples
    --------
    >>> x = np.float32([0, 2])
    >>> dx = fastnn.{name}_backward(np.ones_like(x), {argument})
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
    words["argument"] = f"fastnn.{name}(x)" if from_output else "x"
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

    Examples
    --------
    >>> fastnn.gelu(np.float32([-1, 0, 1])).round(3)
    array([-0.159,  0.   ,  0.841], dtype=float32)
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

    Examples
    --------
    >>> fastnn.gelu_backward(np.float32([1, 1]), np.float32([0, 1])).round(3)
    array([0.5  , 1.083], dtype=float32)
    """
    return backward_on_arrays(
        gelu_kind(approximate, "gelu_backward"), dy, x, out, "gelu_backward", "x"
    )
