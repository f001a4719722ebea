"""The Python API of the matrix product: `matmul` (NumPy's shape rules) and `gemm` (BLAS's)."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..rowwise.activation cimport activation_code
from ..ground.arrays cimport (call_typed, check_overlap, check_status, is_output, real_like,
                              real_type, refuse_output, stride)
from ..ground.dispatch cimport FASTNN_ACT_NONE
from .paths cimport multiply
from .stack cimport MOST_AXES, Stack, multiply_stack
from .loops cimport PANELS, STRIDED, Product
from ..ground.memory cimport new_array
from ..ground.scalars cimport any_number, flag
from .packed cimport PackedMatrix

cnp.import_array()

cdef enum:
    KEEP_GIL = 100_000      # keep the GIL below this many flops (docs/tuning.md)


cdef inline void set_a(Product *g, cnp.ndarray x, bint transposed) noexcept:
    """Set A to the last two axes of x, transposed if asked for."""
    cdef int last = cnp.PyArray_NDIM(x) - 1
    cdef int row = last if transposed else last - 1, col = last - 1 if transposed else last
    g.a, g.m, g.k, g.rsa, g.csa = (cnp.PyArray_DATA(x), cnp.PyArray_DIM(x, row),
                                   cnp.PyArray_DIM(x, col), stride(x, row), stride(x, col))


cdef inline int64_t set_b(Product *g, cnp.ndarray x, bint transposed) noexcept:
    """Set B likewise, and return its number of rows."""
    cdef int last = cnp.PyArray_NDIM(x) - 1
    cdef int row = last if transposed else last - 1, col = last - 1 if transposed else last
    g.b, g.n, g.rsb, g.csb = (cnp.PyArray_DATA(x), cnp.PyArray_DIM(x, col), stride(x, row),
                              stride(x, col))
    g.format = STRIDED
    return cnp.PyArray_DIM(x, row)


cdef inline void set_c(Product *g, cnp.ndarray x) noexcept:
    cdef int last = cnp.PyArray_NDIM(x) - 1
    g.c, g.rsc, g.csc = cnp.PyArray_DATA(x), stride(x, last - 1), stride(x, last)


cdef inline void set_epilogue(
    Product *g, cnp.ndarray bias, int activation, cnp.ndarray preact
) noexcept:
    g.alpha, g.beta, g.incbias, g.activation = 1, 0, 1, activation
    g.bias = NULL if bias is None else cnp.PyArray_DATA(bias)
    g.preact = NULL if preact is None else cnp.PyArray_DATA(preact)


cdef int run(int typenum, const Product *g, const Stack *stack, str op) except -1:
    """Compute a product, or a stack of products; release the GIL unless the product is short."""
    cdef bint release = 2.0 * g.m * g.n * g.k >= KEEP_GIL
    if stack is NULL:
        return check_status(
            call_typed(typenum, release, multiply[float], multiply[double], g, NULL), op
        )
    return check_status(
        call_typed(typenum, True, multiply_stack[float], multiply_stack[double], g, stack, NULL), op
    )


cdef int refuse_operands(object a, object b, int64_t columns, int64_t rows, str op) except -1:
    raise ValueError(f"{op}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit: "
                     f"{columns} columns of a, {rows} rows of b")


cdef cnp.ndarray checked_bias(object bias, int typenum, int64_t n):
    """Return bias as n contiguous values; None stays None."""
    if bias is None:
        return None
    cdef cnp.ndarray x = real_like(bias, typenum, "matmul", "bias", "a")
    if cnp.PyArray_NDIM(x) != 1 or cnp.PyArray_DIM(x, 0) != n:
        raise ValueError(f"matmul: bias must have the shape ({n},) of a row of the product of a "
                         f"and b, got {np.shape(x)}")
    return x if cnp.PyArray_IS_C_CONTIGUOUS(x) else cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)


cdef cnp.ndarray checked_output(
    object out, str name, cnp.ndarray a, object b, cnp.ndarray bias, int ndim, cnp.npy_intp *shape
):
    """Return out, which must fit the product and not overlap its operands, or a new array."""
    cdef int i
    if out is None:
        return new_array(ndim, shape, cnp.PyArray_TYPE(a))
    cdef cnp.ndarray c = real_like(out, cnp.PyArray_TYPE(a), "matmul", name, "a")
    cdef bint fits = cnp.PyArray_NDIM(c) == ndim
    for i in range(ndim):
        fits = fits and cnp.PyArray_DIM(c, i) == shape[i]
    if not fits:
        raise ValueError(f"matmul: {name} must have the shape "
                         f"{tuple([shape[i] for i in range(ndim)])} of the product of "
                         f"a {np.shape(a)} and b {tuple(b.shape)}, got {np.shape(c)}")
    if not is_output(c):
        refuse_output(c, "matmul", name)
    check_overlap(c, a, "matmul", name, "a")
    if cnp.PyArray_Check(b):
        check_overlap(c, <cnp.ndarray>b, "matmul", name, "b")
    if bias is not None:
        check_overlap(c, bias, "matmul", name, "bias")
    return c


cdef cnp.ndarray checked_preact(
    object preact, cnp.ndarray a, object b, cnp.ndarray bias, cnp.ndarray c
):
    """Return preact, which must have the strides of c and not overlap it; None stays None."""
    if preact is None:
        return None
    cdef cnp.ndarray z = checked_output(preact, "preact", a, b, bias, cnp.PyArray_NDIM(c),
                                        cnp.PyArray_DIMS(c))
    cdef int i
    check_overlap(z, c, "matmul", "preact", "out")
    for i in range(cnp.PyArray_NDIM(c)):
        if cnp.PyArray_STRIDE(z, i) != cnp.PyArray_STRIDE(c, i) and cnp.PyArray_DIM(c, i) > 1:
            raise ValueError("matmul: preact must have the strides of the result (C order, unless "
                             "out has others)")
    return z


def matmul(a, b, *, bias=None, activation=None, out=None, preact=None):
    """Compute ``act(a @ b + bias)`` by NumPy's shape rules; bias and activation are optional.

    *Dive into Deep Learning*, sections 2.3 (matrix multiplication) and 5.1 (H = relu(X W + b)).

    Parameters
    ----------
    a : ndarray of float32 or float64
    b : ndarray of the type of a, or PackedMatrix
        ``(m, k)`` and ``(k, n)``, or stacks ``(..., m, k)`` and ``(..., k, n)`` whose leading
        dimensions broadcast. A 1-D a is one row and a 1-D b is one column; the result lacks that
        axis. Any strides. `pack` a b that is used for many products.
    bias : ndarray of shape (n,), optional
        Added to every row of the product.
    activation : str or None
        A name of `kernels.ACTIVATIONS`, such as "relu" or "gelu". Applied last.
    out : ndarray, optional
        The type and shape of the result, any strides. It must not overlap the operands.
    preact : ndarray, optional
        Receives ``a @ b + bias``, which some activations' gradients read; strides as the result.

    Returns
    -------
    ndarray
        ``out`` if given. k = 0 gives zeros (plus bias). NaN and Inf propagate by IEEE 754.

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of float32 or float64, types differ, shapes do not fit (both
        are named), or out or preact is read-only or overlaps another argument.

    Examples
    --------
    >>> x, w, b = np.float32([[1, -2]]), np.eye(2, dtype=np.float32), np.float32([1, 1])
    >>> fastnn.matmul(x, w, bias=b, activation="relu")
    array([[2., 0.]], dtype=float32)
    """
    cdef int typenum = real_type(a, "matmul", "a")
    cdef cnp.ndarray x = <cnp.ndarray>a, y, c, row, z
    cdef int act = FASTNN_ACT_NONE if activation is None else activation_code(activation, "matmul")
    cdef cnp.npy_intp shape[2]
    cdef Product g
    cdef int64_t k
    if isinstance(b, PackedMatrix):
        return times_packed(x, <PackedMatrix>b, bias, act, out, preact)
    y = real_like(b, typenum, "matmul", "b", "a")
    if cnp.PyArray_NDIM(x) != 2 or cnp.PyArray_NDIM(y) != 2:
        return stacked(x, y, bias, act, out, preact)
    set_a(&g, x, False)
    k = set_b(&g, y, False)
    if g.k != k:
        refuse_operands(x, y, g.k, k, "matmul")
    shape[0], shape[1] = g.m, g.n
    row = checked_bias(bias, typenum, g.n)
    c = checked_output(out, "out", x, y, row, 2, shape)
    z = checked_preact(preact, x, y, row, c)
    set_c(&g, c)
    set_epilogue(&g, row, act, z)
    run(typenum, &g, NULL, "matmul")
    return c


cdef cnp.ndarray times_packed(
    cnp.ndarray x, PackedMatrix b, object bias, int act, object out, object preact
):
    """Multiply by a packed b; the rows of a stack are the rows of a single product."""
    cdef cnp.npy_intp shape[MOST_AXES]
    cdef Product g
    cdef cnp.ndarray c, row, z, rows
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if cnp.PyArray_TYPE(x) != b.typenum:
        raise TypeError(f"matmul: b is a packed matrix of {b.dtype} but a of {x.dtype}; "
                        "all arrays of a call must be of one type")
    if ndim == 0 or ndim > MOST_AXES or cnp.PyArray_DIM(x, ndim - 1) != b.k:
        refuse_operands(x, b, cnp.PyArray_DIM(x, ndim - 1) if ndim else 0, b.k, "matmul")
    for i in range(ndim - 1):
        shape[i] = cnp.PyArray_DIM(x, i)
    shape[ndim - 1] = b.n
    row = checked_bias(bias, b.typenum, b.n)
    c = checked_output(out, "out", x, b, row, ndim, shape)
    z = checked_preact(preact, x, b, row, c)
    if (ndim != 2 or b.layout > PANELS) and not cnp.PyArray_IS_C_CONTIGUOUS(c):
        inner = None if z is None else np.empty_like(z, order="C")
        c[...] = times_packed(x, b, bias, act, None, inner)
        if z is not None:
            z[...] = inner
        return c
    rows = x if ndim == 2 else cnp.PyArray_GETCONTIGUOUS(x).reshape(
        cnp.PyArray_SIZE(x) // b.k if b.k else cnp.PyArray_SIZE(c) // max(1, b.n), b.k
    )
    set_a(&g, rows, False)
    g.n, g.b, g.format, g.rsb, g.csb = b.n, b.data, b.layout, 0, 0
    set_c(&g, c if ndim == 2 else c.reshape(cnp.PyArray_DIM(rows, 0), b.n))
    set_epilogue(&g, row, act, z)
    run(b.typenum, &g, NULL, "matmul")
    return c


cdef cnp.ndarray stacked(
    cnp.ndarray x, cnp.ndarray y, object bias, int act, object out, object preact
):
    """Multiply operands of which at least one is not 2-D."""
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("matmul: operands a and b need at least one dimension, not shapes "
                         f"{np.shape(x)} and {np.shape(y)}")
    cdef cnp.ndarray a = x[None, :] if x.ndim == 1 else x
    cdef cnp.ndarray b = y[:, None] if y.ndim == 1 else y
    cdef Product g
    cdef Stack stack
    cdef cnp.npy_intp shape[MOST_AXES]
    cdef int typenum = cnp.PyArray_TYPE(x), i
    set_a(&g, a, False)
    cdef int64_t k = set_b(&g, b, False)
    if g.k != k:
        refuse_operands(x, y, g.k, k, "matmul")
    try:
        lead = np.broadcast_shapes(np.shape(a)[:-2], np.shape(b)[:-2])
    except ValueError:
        raise ValueError(f"matmul: the leading dimensions of shapes {np.shape(x)} and "
                         f"{np.shape(y)} do not broadcast") from None
    result = lead + (() if x.ndim == 1 else (g.m,)) + (() if y.ndim == 1 else (g.n,))
    if len(lead) > MOST_AXES - 2:
        raise ValueError(f"matmul: {len(result)} dimensions are more than {MOST_AXES}")
    for i, d in enumerate(result):
        shape[i] = d
    cdef cnp.ndarray row = checked_bias(bias, typenum, g.n)
    cdef cnp.ndarray c = checked_output(out, "out", x, y, row, <int>len(result), shape)
    cdef cnp.ndarray z = checked_preact(preact, x, y, row, c)
    cdef cnp.ndarray whole = with_both_axes(c, x.ndim == 1, y.ndim == 1)
    set_c(&g, whole)
    set_epilogue(&g, row, act, z)
    if b.ndim == 2 and cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_IS_C_CONTIGUOUS(whole):
        g.m = cnp.PyArray_SIZE(whole) // g.n if g.n else 0      # a single b: one product
        g.rsa, g.rsc = g.k, g.n
        run(typenum, &g, NULL, "matmul")
        return c
    a, b = np.broadcast_to(a, lead + (g.m, g.k)), np.broadcast_to(b, lead + (g.k, g.n))
    stack.ndim = len(lead)
    stack.count = 1
    for i, d in enumerate(lead):
        stack.count *= <int64_t>d
        stack.shape[i] = d
        stack.a[i], stack.b[i], stack.c[i] = stride(a, i), stride(b, i), stride(whole, i)
    run(typenum, &g, &stack, "matmul")
    return c


cdef cnp.ndarray with_both_axes(cnp.ndarray c, bint no_rows, bint no_columns):
    """Insert the axes of length 1 that the product with a 1-D operand lacks."""
    if no_columns:
        c = c[..., None]
    return c[..., None, :] if no_rows else c


def gemm(a, b, c=None, *, alpha=1.0, beta=0.0, trans_a=False, trans_b=False):
    """Compute the general matrix product of BLAS: ``c := alpha op(a) op(b) + beta c``.

    Parameters
    ----------
    a, b : 2-D ndarray of float32 or float64, both of one type
        op(a) is (m, k), op(b) is (k, n). Any strides; a transposed operand costs no copy.
    c : ndarray of shape (m, n), optional
        Updated in place. beta = 0 overwrites it without reading it, so old NaN do not spread.
    alpha, beta : float
    trans_a, trans_b : bool, True if op transposes

    Returns
    -------
    ndarray of shape (m, n), ``c`` if given

    Raises
    ------
    TypeError, ValueError
        As `matmul`, or if beta is not 0 without a c.

    Examples
    --------
    >>> fastnn.gemm(np.float32([[1, 2]]), np.float32([[3], [4]]), alpha=2)
    array([[22.]], dtype=float32)
    """
    cdef int typenum = real_type(a, "gemm", "a")
    cdef cnp.ndarray x = <cnp.ndarray>a, y = real_like(b, typenum, "gemm", "b", "a"), z
    cdef cnp.npy_intp shape[2]
    cdef Product g
    cdef int64_t k
    if cnp.PyArray_NDIM(x) != 2 or cnp.PyArray_NDIM(y) != 2:
        raise ValueError(f"gemm: a and b must be 2-D, not of shapes {np.shape(x)} and "
                         f"{np.shape(y)}")
    set_a(&g, x, flag(trans_a, "gemm", "trans_a"))
    k = set_b(&g, y, flag(trans_b, "gemm", "trans_b"))
    if g.k != k:
        refuse_operands(x, y, g.k, k, f"gemm with trans_a={trans_a}, trans_b={trans_b}")
    shape[0], shape[1] = g.m, g.n
    cdef double scale = any_number(alpha, "gemm", "alpha"), keep = any_number(beta, "gemm", "beta")
    if c is None:
        if keep != 0:
            raise ValueError(f"gemm: beta = {beta} needs a c to scale")
        z = new_array(2, shape, typenum)
    else:
        z = real_like(c, typenum, "gemm", "c", "a")
        if (cnp.PyArray_NDIM(z) != 2 or cnp.PyArray_DIM(z, 0) != shape[0]
                or cnp.PyArray_DIM(z, 1) != shape[1]):
            raise ValueError(f"gemm: c must have the shape {(shape[0], shape[1])} of the product "
                             f"of op(a) and op(b) ({np.shape(x)}, {np.shape(y)}), "
                             f"got {np.shape(z)}")
        if not is_output(z):
            refuse_output(z, "gemm", "c")
        check_overlap(z, x, "gemm", "c", "a")
        check_overlap(z, y, "gemm", "c", "b")
    set_c(&g, z)
    set_epilogue(&g, None, FASTNN_ACT_NONE, None)
    g.alpha, g.beta = scale, keep
    run(typenum, &g, NULL, "gemm")
    return z
