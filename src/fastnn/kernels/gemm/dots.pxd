"""Narrow products as dot products, used by paths.pyx."""
from ..ground.dispatch cimport real
from .loops cimport Product

cdef void gather_columns(const Product *g, real *columns) noexcept nogil
cdef void dots_share(int team, int thread, const Product *g, const real *columns) noexcept nogil
