"""64-byte-aligned blocks: scratch for kernels, recycled storage for large results."""
cimport numpy as cnp
from libc.stdint cimport int64_t

cdef void *take(int64_t bytes) noexcept nogil   # scratch, contents unknown; NULL when there is no memory
cdef void give(void *block) noexcept nogil      # back to the pool; NULL is allowed

cdef cnp.ndarray new_array(int ndim, cnp.npy_intp *shape, int typenum)
