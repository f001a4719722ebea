"""A frozen model by pointer, without the GIL: y (rows, n_out) from x (rows, n_in), both C-ordered without gaps and apart from one another.

`plan` is the address of a kernels.Plan, or its capsule's pointer. Any number of threads may run one plan. Returns 0, 1 (no memory), 2 (no plan, a negative
size, a missing pointer, an overlap) or 3 (a plan of the other real type).
"""
from libc.stdint cimport int64_t, intptr_t

cdef int plan_run_f32(const void *plan, const float *x, float *y, int64_t rows) noexcept nogil
cdef int plan_run_f64(const void *plan, const double *x, double *y, int64_t rows) noexcept nogil
cdef int plan_info(const void *plan, int *bits, int64_t *n_in, int64_t *n_out) noexcept nogil
cdef int plan_retain(const void *plan) noexcept nogil
cdef int plan_release(const void *plan) noexcept nogil

# A float64 plan with one output as SciPy calls functions.
cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil
cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil
