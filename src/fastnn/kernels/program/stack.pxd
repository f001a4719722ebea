"""A stack of dense layers and activations by pointer, without the GIL; see stack.pyx.

Step i takes `n_in` columns to `n_out`. With w (n_in, n_out), C-ordered, it is y = act(x w + b), b NULL or n_out values, and dw and db are what backward adds
to; with w NULL it is y = act(x), n_in = n_out. `outputs[i]` is where its (rows, n_out) go, C-ordered; `preacts[i]` is NULL, or where x w + b goes, which
backward needs of activations that do not save their output (activation.pxd). The first step has a w. `dx` is NULL where it is not wanted.
Returns 0 or 1 (no memory).
"""
from libc.stdint cimport int64_t

cdef struct Step:
    int64_t n_in, n_out
    int activation
    const void *w
    const void *b
    void *dw
    void *db

cdef int stack_forward_f32(int count, const Step *steps, int64_t rows, const float *x, int64_t rsx, int64_t csx, float **outputs,
                           float **preacts) noexcept nogil
cdef int stack_forward_f64(int count, const Step *steps, int64_t rows, const double *x, int64_t rsx, int64_t csx, double **outputs,
                           double **preacts) noexcept nogil
cdef int stack_backward_f32(int count, const Step *steps, int64_t rows, const float *dy, const float *x, int64_t rsx, int64_t csx, float **outputs,
                            float **preacts, float *dx) noexcept nogil
cdef int stack_backward_f64(int count, const Step *steps, int64_t rows, const double *dy, const double *x, int64_t rsx, int64_t csx,
                            double **outputs, double **preacts, double *dx) noexcept nogil
