"""A frozen model by pointer, without the GIL: y (rows, n_out) from x (rows, n_in), both C-ordered without gaps and apart from one another.

`plan` is the address of a kernels.Plan, or its capsule's pointer. Any number of threads may run one plan. Returns 0, 1 (no memory), 2 (no plan, a negative
size, a missing pointer, an overlap) or 3 (a plan of the other real type).
"""
from libc.stdint cimport int64_t, intptr_t

from ..ground.dispatch cimport real
from ..gemm.loops cimport Product

cdef int plan_run_f32(const void *plan, const float *x, float *y, int64_t rows) noexcept nogil
cdef int plan_run_f64(const void *plan, const double *x, double *y, int64_t rows) noexcept nogil
cdef int plan_info(const void *plan, int *bits, int64_t *n_in, int64_t *n_out) noexcept nogil
cdef int plan_retain(const void *plan) noexcept nogil
cdef int plan_release(const void *plan) noexcept nogil

# A float64 plan with one output as SciPy calls functions.
cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil
cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil

# What plan.pyx fills.
cdef enum:
    STRIP = 128             # rows of a strip at most
    FEW_ROWS = 16           # rows that are not worth cutting into strips, whatever their work
    STACK = 65_536          # bytes of the stack that a call may take
    WORKSPACES = 64         # that a plan keeps: threads that may run it at once without allocating
    # The codes of steps that no activation is.
    SOFTMAX = -1
    LOG_SOFTMAX = -2
    LAYER_NORM = -3
    RMS_NORM = -4
    PRELU = -5              # LeakyReLU too: one slope for all columns
    KEEP = -6               # what goes into a residual branch is put aside
    ADD = -7                # and added to what comes out

cdef struct Layer:
    int64_t n_in, n_out
    int kind                # an activation or one of the codes
    void *w                 # what pack_whole of gemm/loops.pxd wrote, or NULL: nothing but what `kind` says
    void *bias              # n_out values, or NULL
    void *weight            # of a norm, n_out values or NULL; slopes, n_out or one
    bint shared             # one slope
    double eps
    int64_t slot            # of KEEP and ADD: where

cdef struct Record:
    int64_t holders
    int bits                # 32 or 64: the real type
    int count               # of the layers; -1: the plan is a Transformer, transformer_run.pxd, and what follows n_out but destroy differs
    int64_t n_in, n_out
    void (*destroy)(void *plan) noexcept nogil      # of other kinds of plans; NULL here
    int64_t hidden          # columns between layers at most
    int64_t strip           # rows at most
    int64_t slots           # inputs of residual branches, one in the other, at most
    int64_t packing         # reals that GEMM needs for packing, a strip
    int64_t workspace       # bytes; 0: the stack is enough
    int64_t nbytes          # all in all
    double work             # flops of a row
    Layer *layers
    void *workspaces[WORKSPACES]

cdef void describe(Product *g, const Layer *layer, int64_t rows, const real *x, real *y) noexcept nogil
cdef int run(const Record *p, const real *x, real *y, int64_t rows) noexcept nogil
