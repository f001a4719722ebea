"""The class of frozen programs; run.pxd and step.pxd have the functions by pointer."""
cimport numpy as cnp
from libc.stdint cimport int64_t

from .ops cimport Record, State
from .record cimport Recorder

cdef class Plan:
    cdef Recorder recorder
    cdef readonly int64_t batch_max
    cdef readonly object source
    cdef object __weakref__
    cdef Record *record(self) noexcept
    cdef object step_locked(self, State *s, cnp.ndarray ids, cnp.ndarray taken, object out)
    cdef object call_rows(self, object x, object out)
    cdef object call_sequences(self, object x, object memory, object lengths,
                               object memory_lengths, object out)
