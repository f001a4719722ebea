"""A row times a matrix, used by paths.pyx."""
from ..ground.dispatch cimport real
from .loops cimport Product

cdef int run_row(const Product *g, const real *t) noexcept nogil
