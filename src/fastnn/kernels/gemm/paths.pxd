"""The pointer API of C := act(alpha A B + beta C + bias), without the GIL.

C is m x n, A m x k, B k x n. Strides count elements and may be zero or negative (not zero for c).
bias is NULL or n values. activation is a code of fastnn_activations.h. preact is NULL, or an array
with the strides of c that receives the input of the activation. beta == 0 never reads c. c and
preact must not overlap anything else. Returns 0, 1 (no memory) or 2 (a negative size, a missing
pointer, an unknown activation, an overlap); c is written only if 0 is returned.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real
from .loops cimport Product

cdef int gemm_real(
    int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t rsa, int64_t csa,
    const real *b, int64_t rsb, int64_t csb, real beta, real *c, int64_t rsc, int64_t csc,
    const real *bias, int activation, real *preact
) noexcept nogil

# A product as a record. The last argument carries the real type and is not read.
cdef int multiply(const Product *g, const real *t) noexcept nogil
# The number of threads for `rows` rows times packed weights of `elements` elements in all.
cdef int threads_for_packed(int64_t rows, double elements) noexcept nogil
