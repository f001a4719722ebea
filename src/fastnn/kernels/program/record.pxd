"""From a builder to a record."""
from libc.stdint cimport int64_t

from .ops cimport Format, Op, Record

cdef class Recorder:
    cdef Record *record
    cdef readonly int typenum
    cdef readonly bint live, keeps
    cdef Format format              # of the weights of products
    cdef readonly dict made         # what is copied already
    cdef readonly list kept         # arrays that pointers point into
    cdef readonly list parameters   # of each operation: the weight if it is large, or None
    cdef void *own(self, object bytes) except NULL
    cdef const void *matrix(self, Op *o, object array) except NULL
    cdef void *stored(self, object array, Format format) except NULL
    cdef void *kept_at(self, object array, str name) except? NULL
    cdef void *copied(self, object array, str name) except? NULL
    cdef void *in_place(self, object array, str name) except? NULL
    cdef void *gradient(self, object weight, str name) except? NULL
    cdef void *rotary_table(self, int64_t size, object rates, double factor) except NULL
    cdef int fill(self, int i, object op, dict buffers) except -1
    cdef int fill_attention(self, int i, object op) except -1
    cdef int lay_out(self, list sizes, dict buffers, int values) except -1
