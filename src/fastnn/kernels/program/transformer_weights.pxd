"""What transformer_plan.pyx lays weights out with."""
from libc.stdint cimport int64_t

cimport numpy as cnp

from .transformer_run cimport Transformer

cdef int64_t padded(object array) except -1             # bytes that a copy of an array takes, or 0 for None
cdef int64_t packed_bytes(cnp.ndarray w) except -1      # bytes that a packed matrix takes
cdef int fill(Transformer *t, int typenum, int activation, list blocks, object last, object embedding, object positions, object head) except -1
