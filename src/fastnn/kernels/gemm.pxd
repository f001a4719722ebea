"""C := act(alpha A B + beta C + bias) by pointer, without the GIL.

C is m x n, A m x k, B k x n. Strides count elements and may be zero or negative (not zero for c). bias is NULL or n values, activation 0 (none) or
1 (ReLU). beta == 0 never reads c. c must not overlap the others. Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer);
c is written only when 0 is returned.
"""
from libc.stdint cimport int64_t

from .dispatch cimport real

cdef int gemm_f32(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t rsa, int64_t csa,
                  const float *b, int64_t rsb, int64_t csb, float beta, float *c, int64_t rsc, int64_t csc,
                  const float *bias, int activation) noexcept nogil
cdef int gemm_f64(int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t rsa, int64_t csa,
                  const double *b, int64_t rsb, int64_t csb, double beta, double *c, int64_t rsc, int64_t csc,
                  const double *bias, int activation) noexcept nogil

cdef inline int gemm(int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa, const real *b,
                     int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc, const real *bias,
                     int activation) noexcept nogil:
    """The face of the real type, for other kernels."""
    if real is float:
        return gemm_f32(m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation)
    else:
        return gemm_f64(m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc, bias, activation)


cdef enum:
    MOST_AXES = 32

cdef struct Stack:
    # `count` products, the leading axes of a stack of matrices; strides in elements, 0 where an operand is broadcast.
    int64_t count
    int64_t ndim
    int64_t shape[MOST_AXES]
    int64_t a[MOST_AXES]
    int64_t b[MOST_AXES]
    int64_t c[MOST_AXES]

cdef int gemm_stack_f32(const Stack *stack, int64_t m, int64_t n, int64_t k, const float *a, int64_t rsa, int64_t csa,
                        const float *b, int64_t rsb, int64_t csb, float *c, int64_t rsc, int64_t csc, const float *bias,
                        int activation) noexcept nogil
cdef int gemm_stack_f64(const Stack *stack, int64_t m, int64_t n, int64_t k, const double *a, int64_t rsa, int64_t csa,
                        const double *b, int64_t rsb, int64_t csb, double *c, int64_t rsc, int64_t csc, const double *bias,
                        int activation) noexcept nogil

cdef inline int gemm_stack(const Stack *stack, int64_t m, int64_t n, int64_t k, const real *a, int64_t rsa, int64_t csa,
                           const real *b, int64_t rsb, int64_t csb, real *c, int64_t rsc, int64_t csc, const real *bias,
                           int activation) noexcept nogil:
    if real is float:
        return gemm_stack_f32(stack, m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, bias, activation)
    else:
        return gemm_stack_f64(stack, m, n, k, a, rsa, csa, b, rsb, csb, c, rsc, csc, bias, activation)
