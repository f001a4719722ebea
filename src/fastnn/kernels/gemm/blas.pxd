"""Functions with the arguments of CBLAS, by pointer, without the GIL; sizes are int.

Matrices are row-major and `ld...` is their row stride. A vector of n elements with increment inc
begins at its lowest address: element i is x[i * inc], or x[(i - n + 1) * inc] if inc < 0.
Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer, a row stride below the columns,
an increment of 0 for an output, an overlap); outputs are written only if 0 is returned.
"""
from ..ground.dispatch cimport real

cdef int blas_gemm_real(
    int trans_a, int trans_b, int m, int n, int k, real alpha, const real *a, int lda,
    const real *b, int ldb, real beta, real *c, int ldc
) noexcept nogil
cdef int blas_gemv_real(
    int trans_a, int m, int n, real alpha, const real *a, int lda, const real *x, int incx,
    real beta, real *y, int incy
) noexcept nogil
cdef int blas_axpy_real(
    int n, real alpha, const real *x, int incx, real *y, int incy
) noexcept nogil
cdef int blas_scal_real(int n, real alpha, real *x, int incx) noexcept nogil
cdef int blas_dot_real(
    int n, const real *x, int incx, const real *y, int incy, real *result
) noexcept nogil
