"""The Python faces of the matrix product: `matmul` with NumPy's shape rules and `gemm` with BLAS's. The work is done in gemm.pyx."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from .activation cimport activation_code
from .arrays cimport check_overlap, check_status, real_like, real_type, refuse_output, stride
from .dispatch cimport FASTNN_ACT_NONE, FASTNN_ACT_RELU, real
from .gemm cimport MOST_AXES, Stack, gemm as gemm_real, gemm_stack
from .memory cimport new_array

cnp.import_array()

cdef enum:
    KEEP_GIL = 100_000      # flops below which a call is shorter than handing the GIL over and back


cdef struct Matrix:
    void *data
    int64_t rows, cols, rs, cs


cdef inline Matrix matrix(cnp.ndarray x, bint transposed) noexcept:
    """The last two axes of x, in the order asked for."""
    cdef int last = cnp.PyArray_NDIM(x) - 1
    cdef int row = last if transposed else last - 1, col = last - 1 if transposed else last
    return Matrix(cnp.PyArray_DATA(x), cnp.PyArray_DIM(x, row), cnp.PyArray_DIM(x, col), stride(x, row), stride(x, col))


cdef inline int call(real *_, double alpha, const Matrix *a, const Matrix *b, double beta, const Matrix *c, void *bias, int activation,
                     const Stack *stack) noexcept nogil:
    if stack is not NULL:
        return gemm_stack(stack, c.rows, c.cols, a.cols, <real*>a.data, a.rs, a.cs, <real*>b.data, b.rs, b.cs, <real*>c.data, c.rs, c.cs,
                          <real*>bias, activation)
    return gemm_real(c.rows, c.cols, a.cols, <real>alpha, <real*>a.data, a.rs, a.cs, <real*>b.data, b.rs, b.cs, <real>beta,
                     <real*>c.data, c.rs, c.cs, <real*>bias, activation)


cdef int multiply(int typenum, double alpha, Matrix a, Matrix b, double beta, Matrix c, cnp.ndarray bias, int activation,
                  const Stack *stack, str op) except -1:
    """c := act(alpha a b + beta c + bias), or a stack of such products with alpha = 1 and beta = 0; without the GIL unless it is short."""
    cdef void *pbias = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef int status
    if stack is NULL and 2.0 * c.rows * c.cols * a.cols < KEEP_GIL:
        if typenum == cnp.NPY_FLOAT:
            status = call(<float*>NULL, alpha, &a, &b, beta, &c, pbias, activation, NULL)
        else:
            status = call(<double*>NULL, alpha, &a, &b, beta, &c, pbias, activation, NULL)
    else:
        with nogil:
            if typenum == cnp.NPY_FLOAT:
                status = call(<float*>NULL, alpha, &a, &b, beta, &c, pbias, activation, stack)
            else:
                status = call(<double*>NULL, alpha, &a, &b, beta, &c, pbias, activation, stack)
    return check_status(status, op)


cdef int refuse_operands(cnp.ndarray a, cnp.ndarray b, int64_t columns, int64_t rows, str op) except -1:
    raise ValueError(f"{op}: shapes {np.shape(a)} and {np.shape(b)} do not fit: {columns} columns of a, {rows} rows of b")


cdef cnp.ndarray checked_bias(object bias, int typenum, int64_t n):
    """bias as n contiguous values; None stays None."""
    if bias is None:
        return None
    cdef cnp.ndarray x = real_like(bias, typenum, "matmul", "bias", "a")
    if cnp.PyArray_NDIM(x) != 1 or cnp.PyArray_DIM(x, 0) != n:
        raise ValueError(f"matmul: bias must have the shape ({n},) of a row of the product, not {np.shape(x)}")
    return x if cnp.PyArray_IS_C_CONTIGUOUS(x) else cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)


cdef cnp.ndarray checked_output(object out, cnp.ndarray a, cnp.ndarray b, cnp.ndarray bias, int ndim, cnp.npy_intp *shape):
    """out if it is a writable array of the product's type and shape that no operand shares, or a new array."""
    cdef int i
    if out is None:
        return new_array(ndim, shape, cnp.PyArray_TYPE(a))
    cdef cnp.ndarray c = real_like(out, cnp.PyArray_TYPE(a), "matmul", "out", "a")
    cdef bint fits = cnp.PyArray_NDIM(c) == ndim
    for i in range(ndim):
        fits = fits and cnp.PyArray_DIM(c, i) == shape[i]
    if not fits:
        raise ValueError(f"matmul: out must have the shape {tuple([shape[i] for i in range(ndim)])} of the product of "
                         f"{np.shape(a)} and {np.shape(b)}, not {np.shape(c)}")
    if not cnp.PyArray_ISWRITEABLE(c):
        refuse_output(c, "matmul", "out")
    check_overlap(c, a, "matmul", "out", "a")
    check_overlap(c, b, "matmul", "out", "b")
    if bias is not None:
        check_overlap(c, bias, "matmul", "out", "bias")
    return c


def matmul(a, b, *, bias=None, activation=None, out=None):
    """Matrix product with NumPy's shape rules, optionally with a bias and an activation: ``act(a @ b + bias)``.

    Parameters
    ----------
    a, b : ndarray of float32 or float64, both of one type
        ``(m, k)`` and ``(k, n)``; or stacks ``(..., m, k)`` and ``(..., k, n)`` whose leading dimensions broadcast; or 1-D, which
        stands for one row (a) or one column (b) that the result then lacks. Any strides.
    bias : ndarray of shape (n,), optional
        Added to every row of the product.
    activation : None or "relu"
        Applied last.
    out : ndarray, optional
        Where to write; the type and shape of the result, any strides, not overlapping the operands.

    Returns
    -------
    ndarray
        ``out`` if given. k = 0 gives zeros (plus bias). NaN and Inf propagate as IEEE 754 says.

    Raises
    ------
    TypeError
        If an operand is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit (both are named), or out is read-only or overlaps an operand.

    Notes
    -----
    *Dive into Deep Learning*, sections 2.3 (matrix multiplication) and 5.1 (H = relu(X W + b)).
    """
    cdef int typenum = real_type(a, "matmul", "a")
    cdef cnp.ndarray x = <cnp.ndarray>a, y = real_like(b, typenum, "matmul", "b", "a"), c, row
    cdef int act = activation_code(activation, "matmul")
    if act > FASTNN_ACT_RELU:
        raise ValueError(f"matmul: activation must be None or 'relu', not {activation!r}")
    cdef cnp.npy_intp shape[2]
    if cnp.PyArray_NDIM(x) != 2 or cnp.PyArray_NDIM(y) != 2:
        return stacked(x, y, bias, act, out)
    if cnp.PyArray_DIM(x, 1) != cnp.PyArray_DIM(y, 0):
        refuse_operands(x, y, cnp.PyArray_DIM(x, 1), cnp.PyArray_DIM(y, 0), "matmul")
    shape[0], shape[1] = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(y, 1)
    row = checked_bias(bias, typenum, shape[1])
    c = checked_output(out, x, y, row, 2, shape)
    multiply(typenum, 1, matrix(x, False), matrix(y, False), 0, matrix(c, False), row, act, NULL, "matmul")
    return c


cdef cnp.ndarray stacked(cnp.ndarray x, cnp.ndarray y, object bias, int act, object out):
    """matmul where an operand is not 2-D."""
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(f"matmul: operands need at least one dimension, not shapes {np.shape(x)} and {np.shape(y)}")
    cdef cnp.ndarray a = x[None, :] if x.ndim == 1 else x
    cdef cnp.ndarray b = y[:, None] if y.ndim == 1 else y
    cdef Matrix ma = matrix(a, False), mb = matrix(b, False)
    cdef Stack stack
    cdef cnp.npy_intp shape[MOST_AXES]
    if ma.cols != mb.rows:
        refuse_operands(x, y, ma.cols, mb.rows, "matmul")
    try:
        lead = np.broadcast_shapes(np.shape(a)[:-2], np.shape(b)[:-2])
    except ValueError:
        raise ValueError(f"matmul: the leading dimensions of shapes {np.shape(x)} and {np.shape(y)} do not broadcast") from None
    result = lead + (() if x.ndim == 1 else (ma.rows,)) + (() if y.ndim == 1 else (mb.cols,))
    if len(lead) > MOST_AXES - 2:
        raise ValueError(f"matmul: {len(result)} dimensions are more than {MOST_AXES}")
    for i, d in enumerate(result):
        shape[i] = d
    cdef cnp.ndarray row = checked_bias(bias, cnp.PyArray_TYPE(x), mb.cols)
    cdef cnp.ndarray c = checked_output(out, x, y, row, <int>len(result), shape)
    cdef cnp.ndarray whole = with_both_axes(c, x.ndim == 1, y.ndim == 1)
    cdef Matrix mc = matrix(whole, False)
    if b.ndim == 2 and cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_IS_C_CONTIGUOUS(whole):
        ma.rows = mc.rows = cnp.PyArray_SIZE(whole) // mc.cols if mc.cols else 0    # rows times one matrix: one product
        ma.rs, mc.rs = ma.cols, mc.cols
        multiply(cnp.PyArray_TYPE(x), 1, ma, mb, 0, mc, row, act, NULL, "matmul")
        return c
    stack.ndim = len(lead)
    stack.count = 1
    a, b = np.broadcast_to(a, lead + (ma.rows, ma.cols)), np.broadcast_to(b, lead + (mb.rows, mb.cols))
    for i, d in enumerate(lead):
        stack.count *= <int64_t>d
        stack.shape[i] = d
        stack.a[i], stack.b[i], stack.c[i] = stride(a, <int>i), stride(b, <int>i), stride(whole, <int>i)
    multiply(cnp.PyArray_TYPE(x), 1, ma, mb, 0, mc, row, act, &stack, "matmul")
    return c


cdef cnp.ndarray with_both_axes(cnp.ndarray c, bint no_rows, bint no_columns):
    """c with the axes of length 1 that a product with a 1-D operand lacks."""
    if no_columns:
        c = c[..., None]
    return c[..., None, :] if no_rows else c


def gemm(a, b, c=None, *, alpha=1.0, beta=0.0, trans_a=False, trans_b=False):
    """General matrix product as in BLAS: ``c := alpha op(a) op(b) + beta c``.

    Parameters
    ----------
    a, b : 2-D ndarray of float32 or float64, both of one type
        op(a) is (m, k), op(b) is (k, n). Any strides; a transposed operand costs no copy.
    c : ndarray of shape (m, n), optional
        Updated in place. beta = 0 overwrites it whatever it holds, NaN included.
    alpha, beta : float
    trans_a, trans_b : bool
        Whether op transposes.

    Returns
    -------
    ndarray of shape (m, n)
        ``c`` if given.

    Raises
    ------
    TypeError
        If an operand is not an array of float32 or float64, or the types differ.
    ValueError
        If a shape does not fit, beta is not 0 without a c, or c is read-only or overlaps an operand.
    """
    cdef int typenum = real_type(a, "gemm", "a")
    cdef cnp.ndarray x = <cnp.ndarray>a, y = real_like(b, typenum, "gemm", "b", "a"), z
    cdef cnp.npy_intp shape[2]
    if cnp.PyArray_NDIM(x) != 2 or cnp.PyArray_NDIM(y) != 2:
        raise ValueError(f"gemm: a and b must be 2-D, not of shapes {np.shape(x)} and {np.shape(y)}")
    cdef Matrix ma = matrix(x, trans_a), mb = matrix(y, trans_b)
    if ma.cols != mb.rows:
        refuse_operands(x, y, ma.cols, mb.rows, f"gemm with trans_a={bool(trans_a)}, trans_b={bool(trans_b)}")
    shape[0], shape[1] = ma.rows, mb.cols
    if c is None:
        if beta != 0:
            raise ValueError(f"gemm: beta = {beta} needs a c to scale")
        z = new_array(2, shape, typenum)
    else:
        z = real_like(c, typenum, "gemm", "c", "a")
        if cnp.PyArray_NDIM(z) != 2 or cnp.PyArray_DIM(z, 0) != shape[0] or cnp.PyArray_DIM(z, 1) != shape[1]:
            raise ValueError(f"gemm: c must have the shape {(shape[0], shape[1])} of the product of op(a) and op(b) "
                             f"({np.shape(x)}, {np.shape(y)}), not {np.shape(z)}")
        if not cnp.PyArray_ISWRITEABLE(z):
            refuse_output(z, "gemm", "c")
        check_overlap(z, x, "gemm", "c", "a")
        check_overlap(z, y, "gemm", "c", "b")
    multiply(typenum, alpha, ma, mb, beta, matrix(z, False), None, FASTNN_ACT_NONE, NULL, "gemm")
    return z
