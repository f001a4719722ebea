"""A row times a matrix, for gemm.pyx."""
from .dispatch cimport real
from .gemm_loops cimport Product

cdef int run_row(const Product *g, const real *t) noexcept nogil
