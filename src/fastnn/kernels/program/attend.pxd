"""The operations that know of sequences, for run.pyx."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real
from .ops cimport Frame, Op, Record

cdef int64_t table_rows(const Record *p) noexcept nogil
cdef int run_sequence_op(const Op *op, const Frame *f, real *x, real *y) noexcept nogil
# kv (rows, k | v) of the memory that a cross-attention attends to.
cdef int project_memory(const Record *p, const Op *op, int64_t rows, const void *memory,
                        void *kv) noexcept nogil
