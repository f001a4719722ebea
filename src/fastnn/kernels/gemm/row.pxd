from libc.stdint cimport int64_t

from ..ground.dispatch cimport real
from .loops cimport Product

# C := act(alpha A B + beta C + bias) for one row of A, or a few rows and contiguous columns of B.
cdef int run_row(const Product *g, int team, const real *t) noexcept nogil
# What a team needs for run_row: the rows of A, copied unless contiguous, then sums.
cdef int64_t row_scratch(const Product *g) noexcept nogil
cdef const real *contiguous_rows(const Product *g, real *scratch) noexcept nogil
cdef void row_share(
    int team, int thread, const Product *g, const real *x, real *y
) noexcept nogil
