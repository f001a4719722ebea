"""Frozen programs of rows by pointer, without the GIL; fastnn.h has the contracts.

`plan` is the address of a kernels.Plan, or its capsule's pointer.
"""
from libc.stdint cimport int64_t, intptr_t

from ..ground.dispatch cimport real
from .ops cimport Frame, Record

cdef int plan_run_real(const void *plan, const real *x, real *y, int64_t rows) noexcept nogil
cdef int plan_info(const void *plan, int *bits, int64_t *n_in, int64_t *n_out) noexcept nogil
cdef int plan_retain(const void *plan) noexcept nogil
cdef int plan_release(const void *plan) noexcept nogil

# A float64 plan with one output as SciPy calls functions.
cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil
cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil

cdef enum:
    STRIP = 128             # rows of a strip at most
    FEW_ROWS = 16           # rows that are not worth cutting into strips, whatever their work

# Every buffer but the input and the output into one block of scratch with room for `rows` rows.
cdef void place(const Record *p, Frame *f, int64_t rows, void *scratch) noexcept nogil
# Operations first..last-1; where threads divide the work, they divide that of each operation.
cdef int run_ops(const Record *p, int first, int last, const Frame *f) noexcept nogil
# The same of all, with scratch of its own.
cdef int run_frame(const Record *p, Frame *f, const void *x, void *y) noexcept nogil
# All of a program of rows: strips, or layer by layer.
cdef int run_rows(const Record *p, const char *x, char *y, int64_t rows) noexcept nogil
