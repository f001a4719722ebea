"""The class of states, and checks it shares with plan.pyx."""
from libc.stdint cimport int64_t

cimport numpy as cnp

from .ops cimport Record, State
from .plan cimport Plan

cdef class PlanState:
    cdef State *record
    cdef readonly Plan plan
    cdef object __weakref__
    cdef int lock(self, str op) except -1
    cdef int move(self, Plan plan) except -1

cdef cnp.ndarray integers(object x, str op, str name)
cdef int check_lengths(cnp.ndarray lengths, str op, str name, int64_t batch, int64_t least,
                       int64_t most) except -1
# Say which id of an array is not from 0 to vocabulary - 1.
cdef int refuse_id(cnp.ndarray ids, int64_t vocabulary, str op) except -1
# Say which number of a step was out of range.
cdef int refuse_step(const Record *p, const State *s, cnp.ndarray ids, int64_t n,
                     cnp.ndarray taken) except -1
# out, or a new array, of this shape.
cdef cnp.ndarray output(object out, str op, int typenum, tuple shape)
cdef cnp.ndarray pieces_of(const Record *p, object lengths, int64_t rows)
# memory as a C-ordered array (batch, S, columns); None where a plan takes none.
cdef cnp.ndarray memory_of(const Record *p, int typenum, object memory, int64_t batch, str op)
