"""BLAS by pointer, as products: a dot product is a GEMM of one element, axpy one of k = 1.

Sums are therefore nested like those of a product, and their bits do not depend on the threads.
"""
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK
from ..ground.dispatch cimport real, scale_run
from .paths cimport gemm_real


cdef inline int64_t first_of(int n, int inc) noexcept nogil:
    """Return the offset of element 0 of a vector from its lowest address."""
    return (1 - <int64_t>n) * inc if inc < 0 else 0


cdef int blas_gemm_real(
    int trans_a, int trans_b, int m, int n, int k, real alpha, const real *a, int lda,
    const real *b, int ldb, real beta, real *c, int ldc
) noexcept nogil:
    if lda < (m if trans_a else k) or ldb < (k if trans_b else n) or ldc < n:
        return BAD_ARGUMENT
    return gemm_real(
        m, n, k, alpha, a, 1 if trans_a else lda, lda if trans_a else 1, b,
        1 if trans_b else ldb, ldb if trans_b else 1, beta, c, ldc, 1, <real*>NULL, 0, <real*>NULL
    )


cdef int blas_gemv_real(
    int trans_a, int m, int n, real alpha, const real *a, int lda, const real *x, int incx,
    real beta, real *y, int incy
) noexcept nogil:
    cdef int rows = n if trans_a else m, terms = m if trans_a else n
    if m < 0 or n < 0 or lda < n or incy == 0:
        return BAD_ARGUMENT
    if rows > 0 and (y is NULL or (terms > 0 and (a is NULL or x is NULL))):
        return BAD_ARGUMENT
    if rows == 0:
        return OK
    return gemm_real(
        rows, 1, terms, alpha, a, 1 if trans_a else lda, lda if trans_a else 1,
        x + first_of(terms, incx), incx, 1, beta, y + first_of(rows, incy), incy, 1, <real*>NULL,
        0, <real*>NULL
    )


cdef int blas_axpy_real(
    int n, real alpha, const real *x, int incx, real *y, int incy
) noexcept nogil:
    cdef real one = 1
    if n < 0 or incy == 0 or (n > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if n == 0:
        return OK
    return gemm_real(
        1, n, 1, alpha, &one, 1, 1, x + first_of(n, incx), 1, incx, one, y + first_of(n, incy), 1,
        incy, <real*>NULL, 0, <real*>NULL
    )


cdef int blas_scal_real(int n, real alpha, real *x, int incx) noexcept nogil:
    cdef int64_t i, step = -<int64_t>incx if incx < 0 else incx
    if n < 0 or incx == 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    if step == 1:
        scale_run(n, alpha, x)
    else:
        for i in range(n):
            x[i * step] *= alpha
    return OK


cdef int blas_dot_real(
    int n, const real *x, int incx, const real *y, int incy, real *result
) noexcept nogil:
    if n < 0 or result is NULL or (n > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if n == 0:
        result[0] = 0
        return OK
    return gemm_real(
        1, 1, n, <real>1, x + first_of(n, incx), 0, incx, y + first_of(n, incy), incy, 0, <real>0,
        result, 1, 1, <real*>NULL, 0, <real*>NULL
    )
