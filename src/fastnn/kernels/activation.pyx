"""Activations, forward and backward.

    relu        max(x, 0)                                       *Dive into Deep Learning*, section 5.1.2
    sigmoid     1 / (1 + exp(-x))                               there
    tanh        (1 - exp(-2x)) / (1 + exp(-2x))                 there
    gelu        x Phi(x) = x (1 + erf(x / sqrt 2)) / 2          Hendrycks and Gimpel (2016), and its approximation by tanh
    silu        x sigmoid(x)                                    Elfwing, Uchibe and Doya (2018)
    softplus    log(1 + exp(x))                                 Dugas et al. (2001)

Backward reads the output for ReLU, sigmoid, tanh and softplus, so the input need not be kept, and the input for the others. NaN goes through both ways, and
infinities give the limits. The formulas are in csrc/activation.h; bench/accuracy.py measures the errors that the functions state.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

from .arrays cimport (BAD_ARGUMENT, OK, Rows, check_in_place, check_status, finish_output, flatten, output_rows, real_type, shaped_like,
                      with_rows)
from .dispatch cimport (FASTNN_ACT_GELU, FASTNN_ACT_GELU_TANH, FASTNN_ACT_LAST, FASTNN_ACT_NONE, FASTNN_ACT_RELU, FASTNN_ACT_SIGMOID,
                        FASTNN_ACT_SILU, FASTNN_ACT_SOFTPLUS, FASTNN_ACT_TANH, activation_backward_block, activation_block, real)
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements: threads divide a long row in such blocks
    GRAIN = 32768       # elements a thread should have. ReLU of 65,536: 3.4 us by one thread, 2.5 by two
    EXP_GRAIN = 8192    # the same where there is an exp to compute: about 3 us in AVX-512, float32
    KEEP_GIL = 16384    # elements, 0.9 us of ReLU, below which the GIL is kept: letting go costs 40 ns, and a wait where another thread takes it

_CODES = {None: FASTNN_ACT_NONE, "relu": FASTNN_ACT_RELU, "gelu": FASTNN_ACT_GELU, "gelu_tanh": FASTNN_ACT_GELU_TANH, "tanh": FASTNN_ACT_TANH,
         "sigmoid": FASTNN_ACT_SIGMOID, "silu": FASTNN_ACT_SILU, "softplus": FASTNN_ACT_SOFTPLUS}


cdef int activation_code(object activation, str op) except -1:
    if activation is None:
        return FASTNN_ACT_NONE
    if not isinstance(activation, str) or activation not in _CODES:
        names = ", ".join(repr(name) for name in _CODES)
        raise ValueError(f"{op}: activation must be one of {names}, not {activation!r}")
    return _CODES[activation]


cdef int team_for(int kind, bint backward, int64_t rows, int64_t cols) noexcept nogil:
    cdef bint plain = kind in (FASTNN_ACT_NONE, FASTNN_ACT_RELU) or (backward and kind in (FASTNN_ACT_TANH, FASTNN_ACT_SIGMOID))
    return threads_for(<double>rows * cols, GRAIN if plain else EXP_GRAIN)


cdef void forward_share(int kind, int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef int64_t first, last
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        activation_block(kind, 1, last - first, x + first, ldx, y + first, ldy)
    else:
        share(rows, team, thread, &first, &last)
        activation_block(kind, last - first, cols, x + first * ldx, ldx, y + first * ldy, ldy)


cdef void backward_share(int kind, int team, int thread, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *saved,
                         int64_t ldsaved, real *dx, int64_t lddx) noexcept nogil:
    cdef int64_t first, last
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        activation_backward_block(kind, 1, last - first, dy + first, lddy, saved + first, ldsaved, dx + first, lddx, <real*>NULL)
    else:
        share(rows, team, thread, &first, &last)
        activation_backward_block(kind, last - first, cols, dy + first * lddy, lddy, saved + first * ldsaved, ldsaved, dx + first * lddx, lddx,
                                  <real*>NULL)


cdef int forward(int kind, int64_t rows, int64_t cols, const real *x, int64_t ldx, real *y, int64_t ldy) noexcept nogil:
    cdef int team
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    team = team_for(kind, False, rows, cols)
    if team == 1:
        forward_share(kind, 1, 0, rows, cols, x, ldx, y, ldy)
    else:
        with parallel(num_threads=team):
            forward_share(kind, team_size(), thread_id(), rows, cols, x, ldx, y, ldy)
    return OK


cdef int backward(int kind, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *saved, int64_t ldsaved, real *dx,
                  int64_t lddx) noexcept nogil:
    cdef int team
    if kind < FASTNN_ACT_NONE or kind > FASTNN_ACT_LAST or rows < 0 or cols < 0:
        return BAD_ARGUMENT
    if rows > 0 and cols > 0 and (dy is NULL or dx is NULL or (saved is NULL and kind != FASTNN_ACT_NONE)):
        return BAD_ARGUMENT
    team = team_for(kind, True, rows, cols)
    if team == 1:
        backward_share(kind, 1, 0, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)
    else:
        with parallel(num_threads=team):
            backward_share(kind, team_size(), thread_id(), rows, cols, dy, lddy, saved, ldsaved, dx, lddx)
    return OK


cdef int activation_f32(int kind, int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil:
    return forward(kind, rows, cols, x, ldx, y, ldy)


cdef int activation_backward_f32(int kind, int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *saved, int64_t ldsaved,
                                 float *dx, int64_t lddx) noexcept nogil:
    return backward(kind, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)


cdef int relu_f32(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy) noexcept nogil:
    return forward(FASTNN_ACT_RELU, rows, cols, x, ldx, y, ldy)


cdef int relu_backward_f32(int64_t rows, int64_t cols, const float *dy, int64_t lddy, const float *y, int64_t ldy,
                           float *dx, int64_t lddx) noexcept nogil:
    return backward(FASTNN_ACT_RELU, rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int activation_f64(int kind, int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil:
    return forward(kind, rows, cols, x, ldx, y, ldy)


cdef int activation_backward_f64(int kind, int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *saved, int64_t ldsaved,
                                 double *dx, int64_t lddx) noexcept nogil:
    return backward(kind, rows, cols, dy, lddy, saved, ldsaved, dx, lddx)


cdef int relu_f64(int64_t rows, int64_t cols, const double *x, int64_t ldx, double *y, int64_t ldy) noexcept nogil:
    return forward(FASTNN_ACT_RELU, rows, cols, x, ldx, y, ldy)


cdef int relu_backward_f64(int64_t rows, int64_t cols, const double *dy, int64_t lddy, const double *y, int64_t ldy,
                           double *dx, int64_t lddx) noexcept nogil:
    return backward(FASTNN_ACT_RELU, rows, cols, dy, lddy, y, ldy, dx, lddx)


cdef int forward_typed(int typenum, int kind, Rows r, void *x, int64_t ldx, void *y, int64_t ldy) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return forward(kind, r.rows, r.cols, <float*>x, ldx, <float*>y, ldy)
    return forward(kind, r.rows, r.cols, <double*>x, ldx, <double*>y, ldy)


cdef int backward_typed(int typenum, int kind, Rows r, void *dy, int64_t lddy, void *saved, int64_t ldsaved, void *dx,
                        int64_t lddx) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return backward(kind, r.rows, r.cols, <float*>dy, lddy, <float*>saved, ldsaved, <float*>dx, lddx)
    return backward(kind, r.rows, r.cols, <double*>dy, lddy, <double*>saved, ldsaved, <double*>dx, lddx)


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
    if approximate is None:
        return FASTNN_ACT_GELU
    if isinstance(approximate, str) and approximate == "tanh":
        return FASTNN_ACT_GELU_TANH
    raise ValueError(f"{op}: approximate must be None or 'tanh', not {approximate!r}")


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
