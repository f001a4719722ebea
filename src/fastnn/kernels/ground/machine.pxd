"""The machine, and the choices that follow from it: no other module has constants of one box."""
from libc.stdint cimport int64_t

from .dispatch cimport real

cdef struct Machine:
    int64_t l1, l2, l3          # bytes of data cache that a core can use; l3 is the last level
    int64_t cores               # cores that this process may use
    double fma_per_cycle        # float32 multiply-adds of a core and cycle
    # Minimum work per thread (docs/tuning.md):
    double flops_grain          # flops of products
    double math_grain           # elements with an exp, or of rows that are read more than once
    double pass_grain           # elements of one pass that does little with each
    double read_grain           # elements of a matrix of weights that is read once
    # Bytes of cache, and counts, that blocks and paths follow from:
    int64_t block_a             # most bytes of a block of A (MC x KC)
    int64_t row_of_b            # most bytes of a row of a block of B (NC)
    int64_t split_tiles         # with fewer tiles of C than this, a long k is divided
    int64_t strip_of_row        # bytes of the sums of one row that stay in the L1 cache
    int64_t plan_strip          # bytes of scratch of a strip of a program
    int64_t plan_shares         # strips to cut large work into at least
    int64_t fetched_from        # bytes of a matrix from which gemv_few prefetches
    # Bytes of output from which stores are non-temporal:
    int64_t streamed            # by kernels that read an element and store it
    int64_t streamed_norms      # by norms and lookups
    int64_t streamed_rows       # by kernels that first need a copy of each row

cdef Machine machine

# Fill the model of the machine; also called by programs without Python.
cdef void assume(
    int64_t l1, int64_t l2, int64_t l3, int64_t cores, double fma_per_cycle
) noexcept nogil


cdef inline bint past_caches(
    int64_t n, const real *out, const real *x, const real *other
) noexcept nogil:
    """True if n reals of output should use non-temporal stores.

    Never in place: those lines are in cache already.
    """
    return (n * <int64_t>sizeof(real) >= machine.streamed and out is not x
            and out is not other)
