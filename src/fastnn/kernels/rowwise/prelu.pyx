"""ReLU with a slope below 0, forward and backward.

    leaky_relu  x if x > 0, else slope x    Maas, Hannun and Ng (2013)
    prelu       x if x > 0, else a_j x      He et al. (2015); a is learned, per column or for all

    dx = dy if x > 0, else a_j dy           da_j += sum over the rows of dy x where x <= 0

Each output is one rounded product. The sums are taken over blocks of ROWS rows, or of UNIT elements
if there is one slope, and added in order, so the bits do not depend on the number of threads. The
derivative at 0 and at NaN is the slope, as in PyTorch.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, NO_MEMORY, OK, Rows, check_in_place, check_overlap, check_status, finish_output,
    flatten, is_output, output_rows, real_like, real_type, refuse_output, shaped_like, with_rows,
)
from ..ground.dispatch cimport past_caches, prelu_backward_block, prelu_block, real
from ..ground.memory cimport give, take
from ..ground.sums cimport add_rows
from ..ground.threads cimport share, team_size, thread_id, threads_for
from ..ground.scalars cimport finite_as

cnp.import_array()

cdef enum:
    ROWS = 64           # rows summed separately for the gradient of a
    UNIT = 8192         # the same in elements for one slope, and the block in which a row is split
    GRAIN = 32768       # minimum elements per thread (docs/tuning.md)
    KEEP_GIL = 16384    # elements below which a call keeps the GIL (docs/tuning.md)


cdef inline int64_t unit_rows(bint shared, int64_t cols) noexcept nogil:
    return max(<int64_t>1, UNIT // max(<int64_t>1, cols)) if shared else ROWS


cdef inline int64_t unit_cols(int64_t rows, int64_t cols) noexcept nogil:
    """Return the columns of a unit. Only a single row is split."""
    return UNIT if rows == 1 else max(<int64_t>1, cols)


cdef inline int64_t units(bint shared, int64_t rows, int64_t cols) noexcept nogil:
    return (rows + unit_rows(shared, cols) - 1) // unit_rows(shared, cols) * (
        (cols + unit_cols(rows, cols) - 1) // unit_cols(rows, cols)
    )


cdef void forward_share(
    int team, int thread, bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *a, real *y, int64_t ldy
) noexcept nogil:
    cdef int64_t first, last
    cdef bint large = past_caches(rows * cols, y, x, x)
    if rows == 1:
        share((cols + UNIT - 1) // UNIT, team, thread, &first, &last)
        first, last = first * UNIT, min(last * UNIT, cols)
        prelu_block(
            shared, 1, last - first, x + first, ldx, a if shared else a + first, y + first, ldy,
            large
        )
    else:
        share(rows, team, thread, &first, &last)
        prelu_block(
            shared, last - first, cols, x + first * ldx, ldx, a, y + first * ldy, ldy, large
        )


cdef void backward_share(
    int team, int thread, bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *x, int64_t ldx, const real *a, real *dx, int64_t lddx, void *sums
) noexcept nogil:
    """Compute this thread's units of dx, and their sums for da unless sums is NULL.

    sums holds one double per unit if shared, else cols reals for every ROWS rows.
    """
    cdef int64_t i, row, column, first, last, at_dy, at_x, at_dx
    cdef int64_t m = unit_rows(shared, cols), n = unit_cols(rows, cols)
    cdef bint large = past_caches(rows * cols, dx, dy, x)
    cdef real *row_sums = NULL
    cdef double total
    share(units(shared, rows, cols), team, thread, &first, &last)
    for i in range(first, last):
        row = 0 if rows == 1 else i * m
        column = i * n if rows == 1 else 0
        at_dy, at_x, at_dx = row * lddy + column, row * ldx + column, row * lddx + column
        if sums is not NULL and not shared:
            row_sums = <real*>sums + row // m * cols + column
        total = prelu_backward_block(
            shared, min(m, rows - row), min(n, cols - column), dy + at_dy, lddy, x + at_x, ldx,
            a if shared else a + column, dx + at_dx, lddx, sums is not NULL, row_sums, large
        )
        if sums is not NULL and shared:
            (<double*>sums)[i] = total


cdef int forward(
    bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *a,
    real *y, int64_t ldy
) noexcept nogil:
    cdef int team
    if rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (x is NULL or a is NULL or y is NULL)):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        forward_share(1, 0, shared, rows, cols, x, ldx, a, y, ldy)
    else:
        with parallel(num_threads=team):
            forward_share(team_size(), thread_id(), shared, rows, cols, x, ldx, a, y, ldy)
    return OK


cdef int backward(
    bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy,
    const real *x, int64_t ldx, const real *a, real *dx, int64_t lddx, real *da
) noexcept nogil:
    cdef int64_t i, count = units(shared, rows, cols)
    cdef int team
    cdef void *sums = NULL
    cdef double total = 0
    if (
        rows < 0
        or cols < 0
        or (rows > 0 and cols > 0 and (dy is NULL or x is NULL or a is NULL or dx is NULL))
    ):
        return BAD_ARGUMENT
    if da is not NULL:
        sums = take(
            count * <int64_t>sizeof(double) if shared
            else (rows + ROWS - 1) // ROWS * cols * <int64_t>sizeof(real)
        )
        if sums is NULL:
            return NO_MEMORY
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        backward_share(1, 0, shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, sums)
    else:
        with parallel(num_threads=team):
            backward_share(
                team_size(), thread_id(), shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, sums
            )
    if da is not NULL and shared:
        for i in range(count):
            total += (<double*>sums)[i]
        da[0] += <real>total
    elif da is not NULL:
        add_rows((rows + ROWS - 1) // ROWS, cols, <real*>sums, cols, da)
    give(sums)
    return OK


cdef int prelu_real(
    bint shared, int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *a, real *y,
    int64_t ldy
) noexcept nogil:
    return forward(shared, rows, cols, x, ldx, a, y, ldy)


cdef int prelu_backward_real(
    bint shared, int64_t rows, int64_t cols, const real *dy, int64_t lddy, const real *x,
    int64_t ldx, const real *a, real *dx, int64_t lddx, real *da
) noexcept nogil:
    return backward(shared, rows, cols, dy, lddy, x, ldx, a, dx, lddx, da)


cdef int forward_typed(
    int typenum, bint shared, Rows r, void *x, int64_t ldx, void *a, void *y, int64_t ldy
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return forward(shared, r.rows, r.cols, <float*>x, ldx, <float*>a, <float*>y, ldy)
    if typenum == cnp.NPY_DOUBLE:
        return forward(shared, r.rows, r.cols, <double*>x, ldx, <double*>a, <double*>y, ldy)
    return BAD_ARGUMENT


cdef int backward_typed(
    int typenum, bint shared, Rows r, void *dy, int64_t lddy, void *x, int64_t ldx, void *a,
    void *dx, int64_t lddx, void *da
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return backward(
            shared, r.rows, r.cols, <float*>dy, lddy, <float*>x, ldx, <float*>a, <float*>dx, lddx,
            <float*>da
        )
    if typenum == cnp.NPY_DOUBLE:
        return backward(
            shared, r.rows, r.cols, <double*>dy, lddy, <double*>x, ldx, <double*>a,
            <double*>dx, lddx, <double*>da
        )
    return BAD_ARGUMENT


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
            f"{np.shape(x)[-1:]}, not {np.shape(s)}"
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
