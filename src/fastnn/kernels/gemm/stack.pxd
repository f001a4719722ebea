"""Stacks of matrix products, as one call without the GIL; used by arrays.pyx."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real
from .loops cimport Product

cdef enum:
    MOST_AXES = 32

cdef struct Stack:
    # The leading axes of a stack of `count` products. Strides count elements and are 0 along axes
    # that an operand is broadcast over.
    int64_t count
    int64_t ndim
    int64_t shape[MOST_AXES]
    int64_t a[MOST_AXES]
    int64_t b[MOST_AXES]
    int64_t c[MOST_AXES]

# g describes the first product. The last argument carries the real type and is not read.
cdef int multiply_stack(const Product *g, const Stack *stack, const real *t) noexcept nogil
