"""Products with weights of 16 and 8 bits."""
from ..ground.dispatch cimport real
from .loops cimport Product

# C := act(A B + bias) where g.b points to a Low; columns of C are contiguous, alpha 1, beta 0.
cdef int multiply_low(const Product *g, const real *t) noexcept nogil
