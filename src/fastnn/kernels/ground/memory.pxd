"""64-byte-aligned blocks: scratch for kernels, and recycled storage for large results."""
cimport numpy as cnp
from libc.stdint cimport int64_t

# Take uninitialized scratch from the pool; NULL if there is no memory.
cdef void *take(int64_t bytes) noexcept nogil
# Return scratch to the pool; NULL is allowed.
cdef void give(void *block) noexcept nogil

cdef cnp.ndarray new_array(int ndim, cnp.npy_intp *shape, int typenum)
