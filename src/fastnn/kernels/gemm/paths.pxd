"""C := act(alpha A B + beta C + bias) by pointer, without the GIL.

C is m x n, A m x k, B k x n. Strides count elements and may be zero or negative (not zero for c). bias is NULL or n values. activation is one of the
codes of simd/leaves.h. preact is NULL, or receives the argument of the activation with the strides of c. beta == 0 never reads c. c and preact must not
overlap anything else. Returns 0, 1 (no memory) or 2 (a negative size, a missing pointer, an overlap); c is written only when 0 is returned.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from ..ground.dispatch cimport real
from .loops cimport Product

cdef int gemm_real(
    int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa,
    const real *b, int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc,
    const real *bias, int activation, real *preact
) noexcept nogil

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

# A product as a record; the last argument says the real type and is not read.
cdef int multiply(const Product *g, const real *t) noexcept nogil
# How many threads take a product of so many rows with packed matrices of so many elements in all.
cdef int threads_for_packed(int64_t rows, double elements) noexcept nogil
cdef int multiply_stack(const Product *g, const Stack *stack, const real *t) noexcept nogil
