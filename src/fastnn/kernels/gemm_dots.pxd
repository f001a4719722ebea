"""Narrow products as dot products, for gemm.pyx."""
from .dispatch cimport real
from .gemm_loops cimport Product

cdef void gather_columns(const Product *g, real *columns) noexcept nogil
cdef void dots_share(int team, int thread, const Product *g, const real *columns) noexcept nogil
