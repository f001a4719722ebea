"""A frozen model: dense layers, activations and softmax in a row, y_i = act_i(y_(i-1) W_i + b_i), weights packed once.

Rows go through all layers in strips that stay in the cache, so what is between the layers never reaches memory, and threads share the strips out. A strip's
rows are fixed by the shape alone, so the bits do not depend on the number of threads. Few rows with much work are divided within each layer instead.
A plan never changes and is counted by its holders: many threads may run it at once. A call allocates nothing: what is between the layers lies on the stack
or in a workspace, which the plan keeps for the next call.
Accuracy: that of the layers' kernels, gemm.pyx, activation.pyx and softmax.pyx.
"""
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport NAN
from libc.stdint cimport int64_t, intptr_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

from .activation cimport activation_code
from .arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, WRONG_TYPE, check_overlap, check_status, is_output, real_like, real_type, refuse_output, stride
from .dispatch cimport FASTNN_ACT_NONE, activation_block, real, softmax_block, tile_rows
from .gemm cimport multiply
from .gemm_loops cimport Blocks, Product, ceil_div, choose_blocks, pack_whole, packed_size, worker
from .memory cimport give, new_array, take
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef extern from "atomic.h" nogil:
    int64_t count_holders "fastnn_count"(int64_t *count, int64_t change) noexcept
    void *slot_take "fastnn_slot_take"(void **slot) noexcept
    bint slot_put "fastnn_slot_put"(void **slot, void *pointer) noexcept

cdef enum:
    STRIP = 128             # rows of a strip at most
    FEW_ROWS = 16           # rows that are not worth cutting into strips, whatever their work
    SHARES = 8              # strips to cut large work into at least, so that so many threads find some
    STACK = 65_536          # bytes of the stack that a call may take
    WORKSPACES = 64         # that a plan keeps: threads that may run it at once without allocating
    MOST_TEAM = 1024        # threads.pyx gives no more
    GRAIN = 750_000         # flops a thread should have, as in gemm.pyx
    KEEP_GIL = 100_000      # flops below which the GIL is kept, as in matmul.pyx
    SOFTMAX = -1            # the code of a step that no activation is

cdef struct Layer:
    int64_t n_in, n_out
    int kind                # an activation or SOFTMAX
    void *w                 # what pack_whole of gemm_loops.pxd wrote, or NULL: nothing but the activation
    void *bias              # n_out values, or NULL

cdef struct Record:
    int64_t holders
    int bits                # 32 or 64: the real type
    int count
    int64_t n_in, n_out
    int64_t hidden          # columns between layers at most
    int64_t strip           # rows at most
    int64_t packing         # reals that GEMM needs for packing, a strip
    int64_t workspace       # bytes; 0: the stack is enough
    int64_t nbytes          # all in all
    double work             # flops of a row
    Layer *layers
    void *workspaces[WORKSPACES]


cdef void describe(Product *g, const Layer *layer, int64_t rows, const real *x, real *y) noexcept nogil:
    g[0] = Product(rows, layer.n_out, layer.n_in, x, layer.n_in, 1, layer.w, 0, 0, y, layer.n_out, 1, 1, 0, layer.bias, 1, layer.kind, NULL, True)


cdef void without_weights(const Layer *layer, int64_t rows, const real *x, real *y) noexcept nogil:
    cdef int64_t n = layer.n_out
    if layer.kind == SOFTMAX:
        softmax_block(rows, n, x, n, y, n, False)
    else:
        activation_block(layer.kind, rows, n, x, n, y, n, False)


cdef void run_strip(const Record *p, int64_t rows, const real *x, real *y, real *scratch) noexcept nogil:
    """All layers for one strip, by one thread. scratch: two strips of `hidden` columns, taken by turns, and room for packing."""
    cdef Product g
    cdef Blocks s
    cdef Layer *layer
    cdef real *target
    cdef int i
    for i in range(p.count):
        layer = &p.layers[i]
        target = y if i == p.count - 1 else scratch + (i % 2) * p.strip * p.hidden
        if layer.w is NULL:
            without_weights(layer, rows, x, target)
        else:
            describe(&g, layer, rows, x, target)
            choose_blocks(&g, &s, x)
            worker(1, 0, &g, &s, scratch + 2 * p.strip * p.hidden)
        x = target


cdef int run_layers(const Record *p, int64_t rows, const real *x, real *y, real *scratch) noexcept nogil:
    """All layers for few rows, the threads dividing each."""
    cdef Product g
    cdef Layer *layer
    cdef real *target
    cdef int i, status
    for i in range(p.count):
        layer = &p.layers[i]
        target = y if i == p.count - 1 else scratch + (i % 2) * p.strip * p.hidden
        if layer.w is NULL:
            without_weights(layer, rows, x, target)
        else:
            describe(&g, layer, rows, x, target)
            status = multiply(&g, x)
            if status != OK:
                return status
        x = target
    return OK


cdef int64_t strip_rows(const Record *p, int64_t rows) noexcept nogil:
    """Rows of a strip, by the shape alone: as even as can be, and enough strips for several threads if there is work for them."""
    cdef int64_t strips = ceil_div(rows, p.strip)
    if rows * p.work >= 2 * GRAIN:
        strips = max(strips, min(<int64_t>SHARES, rows // FEW_ROWS))
    return ceil_div(rows, max(<int64_t>1, strips))


cdef void strips_share(int team, int thread, const Record *p, int64_t rows, const real *x, real *y, void *workspace) noexcept nogil:
    """This thread's strips."""
    cdef char stack[STACK + 64]
    cdef real *scratch = <real*>workspace
    cdef int64_t strip = strip_rows(p, rows), i, row, first, last
    if scratch is NULL:
        scratch = <real*>((<uintptr_t>stack + 63) // 64 * 64)
    share(ceil_div(rows, strip), team, thread, &first, &last)
    for i in range(first, last):
        row = i * strip
        run_strip(p, min(strip, rows - row), x + row * p.n_in, y + row * p.n_out, scratch)


# Workspaces.

cdef void *acquire(Record *p) noexcept nogil:
    cdef void *workspace
    cdef int i
    for i in range(WORKSPACES):
        workspace = slot_take(&p.workspaces[i])
        if workspace is not NULL:
            return workspace
    return take(p.workspace)


cdef void release(Record *p, void *workspace) noexcept nogil:
    cdef int i
    for i in range(WORKSPACES):
        if slot_put(&p.workspaces[i], workspace):
            return
    give(workspace)


cdef int acquire_all(Record *p, int team, void **workspaces) noexcept nogil:
    """One for each of the team; NULL where the stack will do."""
    cdef int i, j
    for i in range(team):
        workspaces[i] = NULL if p.workspace == 0 else acquire(p)
        if p.workspace > 0 and workspaces[i] is NULL:
            for j in range(i):
                release(p, workspaces[j])
            return NO_MEMORY
    return OK


cdef int run_few(const Record *p, int64_t rows, const real *x, real *y, void *workspace) noexcept nogil:
    cdef char stack[STACK + 64]
    cdef real *scratch = <real*>workspace
    if scratch is NULL:
        scratch = <real*>((<uintptr_t>stack + 63) // 64 * 64)
    return run_layers(p, rows, x, y, scratch)


cdef int run(const Record *p, const real *x, real *y, int64_t rows) noexcept nogil:
    cdef void *workspaces[MOST_TEAM]
    cdef int team, i, status
    cdef bint few = rows <= min(<int64_t>FEW_ROWS, p.strip)
    if rows == 0:
        return OK
    team = threads_for(rows * p.work, GRAIN)
    status = acquire_all(<Record*>p, 1 if few else team, workspaces)
    if status != OK:
        return status
    if few and team > 1:
        status = run_few(p, rows, x, y, workspaces[0])
    elif team == 1:
        strips_share(1, 0, p, rows, x, y, workspaces[0])
    else:
        with parallel(num_threads=team):
            strips_share(team_size(), thread_id(), p, rows, x, y, workspaces[thread_id()])
    for i in range(1 if few else team):
        if workspaces[i] is not NULL:
            release(<Record*>p, workspaces[i])
    return status


cdef inline bint overlap(const real *x, int64_t n, const real *y, int64_t m) noexcept nogil:
    return <uintptr_t>x < <uintptr_t>(y + m) and <uintptr_t>y < <uintptr_t>(x + n)


cdef int checked_run(const Record *p, const real *x, real *y, int64_t rows) noexcept nogil:
    if p is NULL or rows < 0 or (rows > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if p.bits != 8 * <int>sizeof(real):
        return WRONG_TYPE
    if rows > (<int64_t>1 << 58) // max(p.n_in, p.n_out) or overlap(x, rows * p.n_in, y, rows * p.n_out):
        return BAD_ARGUMENT
    return run(p, x, y, rows)


# The faces.

cdef int plan_run_f32(const void *plan, const float *x, float *y, int64_t rows) noexcept nogil:
    return checked_run(<const Record*>plan, x, y, rows)


cdef int plan_run_f64(const void *plan, const double *x, double *y, int64_t rows) noexcept nogil:
    return checked_run(<const Record*>plan, x, y, rows)


cdef int plan_info(const void *plan, int *bits, int64_t *n_in, int64_t *n_out) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    if p is NULL:
        return BAD_ARGUMENT
    if bits is not NULL:
        bits[0] = p.bits
    if n_in is not NULL:
        n_in[0] = p.n_in
    if n_out is not NULL:
        n_out[0] = p.n_out
    return OK


cdef int plan_retain(const void *plan) noexcept nogil:
    if plan is NULL:
        return BAD_ARGUMENT
    count_holders(&(<Record*>plan).holders, 1)
    return OK


cdef int plan_release(const void *plan) noexcept nogil:
    cdef Record *p = <Record*>plan
    cdef int i
    if p is NULL:
        return BAD_ARGUMENT
    if count_holders(&p.holders, -1) > 0:
        return OK
    for i in range(WORKSPACES):
        give(p.workspaces[i])
    for i in range(p.count):
        give(p.layers[i].w)
        free(p.layers[i].bias)
    free(p.layers)
    free(p)
    return OK


cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    cdef double y = NAN
    if p is NULL or p.n_in != n or p.n_out != 1 or plan_run_f64(plan, x, &y, 1) != OK:
        return NAN
    return y


cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    return p is not NULL and p.n_in == n and p.n_out == 1 and plan_run_f64(plan, window, result, 1) == OK


# Making one.

cdef int add_weights(Record *p, Layer *layer, object w, object b) except -1:
    """Pack w, copy b."""
    cdef int typenum = cnp.NPY_FLOAT if p.bits == 32 else cnp.NPY_DOUBLE
    cdef cnp.ndarray x = real_like(w, typenum, "Plan", "w", "the first w"), row
    cdef int64_t k = layer.n_in, n = layer.n_out, rs = stride(x, 0), cs = stride(x, 1), size = p.bits // 8
    cdef int64_t packed = (packed_size(k, n, <float*>NULL) if p.bits == 32 else packed_size(k, n, <double*>NULL)) * size
    layer.w = take(packed)
    if layer.w is NULL:
        raise MemoryError(f"Plan: no memory for {packed} bytes")
    if p.bits == 32:
        pack_whole(k, n, <float*>cnp.PyArray_DATA(x), rs, cs, <float*>layer.w)
    else:
        pack_whole(k, n, <double*>cnp.PyArray_DATA(x), rs, cs, <double*>layer.w)
    p.nbytes += packed
    p.work += 2.0 * k * n
    if b is None:
        return 0
    row = cnp.PyArray_GETCONTIGUOUS(real_like(b, typenum, "Plan", "b", "the first w"))
    if np.shape(row) != (n,):
        raise ValueError(f"Plan: b must have the shape ({n},), not {np.shape(row)}")
    layer.bias = calloc(n, size)
    if layer.bias is NULL:
        raise MemoryError(f"Plan: no memory for {n * size} bytes")
    memcpy(layer.bias, cnp.PyArray_DATA(row), n * size)
    p.nbytes += n * size
    return 0


cdef int64_t packing_of(const Layer *layer, int64_t strip, const real *t) noexcept nogil:
    """Reals in which the product of a strip, or of fewer rows, packs A."""
    cdef Product g
    cdef Blocks s
    describe(&g, layer, strip, t, <real*>NULL)
    choose_blocks(&g, &s, t)
    return ceil_div(strip, tile_rows(t)) * tile_rows(t) * s.kc if s.pack_a else 0


cdef int lay_out(Record *p, int64_t batch_max) except -1:
    """How many rows a strip has, and where what is between the layers goes."""
    cdef int64_t size = p.bits // 8, i, need
    p.strip = min(batch_max, <int64_t>STRIP)
    for i in range(p.count):
        if p.layers[i].w is not NULL:
            need = packing_of(&p.layers[i], p.strip, <float*>NULL) if p.bits == 32 else packing_of(&p.layers[i], p.strip, <double*>NULL)
            p.packing = max(p.packing, need)
        if i < p.count - 1:
            p.hidden = max(p.hidden, p.layers[i].n_out)
    cdef int64_t fit = STACK // (2 * p.hidden * size) if p.hidden > 0 else p.strip
    if p.packing == 0 and fit >= min(p.strip, <int64_t>FEW_ROWS):
        p.strip = min(p.strip, fit)
        return 0
    p.workspace = (2 * p.strip * p.hidden + p.packing) * size
    p.workspaces[0] = take(p.workspace)
    if p.workspaces[0] is NULL:
        raise MemoryError(f"Plan: no memory for {p.workspace} bytes")
    return 0


cdef void release_capsule(object capsule) noexcept:
    plan_release(PyCapsule_GetPointer(capsule, "fastnn.plan"))


cdef class Plan:
    """Dense layers, activations and softmax in a row, frozen: ``model.freeze()`` makes one.

    Parameters
    ----------
    steps : sequence of tuples
        ``(w, b, activation)``, a layer act(x w + b) with w (in, out), b (out,) or None and the name of an activation or None; ``(activation,)``; or
        ``("softmax",)``. The first has a w. Weights are copied.
    batch_max : int
        Rows that a call brings at most, as a rule: work space is laid out for them. More are taken in parts.

    Attributes
    ----------
    n_in, n_out : int
        Columns of the input and of the output.
    dtype : numpy.dtype
    batch_max, nbytes : int
    address : int
        For ctypes and numba; valid as long as this object lives.
    capsule : PyCapsule
        Named "fastnn.plan"; keeps the plan alive by itself.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or the types differ.
    ValueError
        If there is no step, the first has no w, shapes do not fit, an activation is unknown, or batch_max is below 1.
    """
    cdef Record *record
    cdef readonly int64_t batch_max

    def __cinit__(self, steps, int64_t batch_max=1024):
        cdef Record *p
        cdef Layer *layer
        cdef int64_t width = -1
        if batch_max < 1:
            raise ValueError(f"Plan: batch_max must be at least 1, not {batch_max}")
        if not steps or len(steps[0]) == 1:
            raise ValueError("Plan: the first step must be a layer with weights")
        self.batch_max = batch_max
        self.record = p = <Record*>calloc(1, sizeof(Record))
        if p is not NULL:
            p.layers = <Layer*>calloc(len(steps), sizeof(Layer))
        if p is NULL or p.layers is NULL:
            raise MemoryError("Plan: no memory")
        p.holders = 1
        p.bits = 32 if real_type(steps[0][0], "Plan", "w") == cnp.NPY_FLOAT else 64
        for i, step in enumerate(steps):
            layer = &p.layers[i]
            p.count = i + 1
            activation = step[len(step) - 1]
            layer.kind = SOFTMAX if activation == "softmax" and len(step) == 1 else activation_code(activation, "Plan")
            if len(step) == 1:
                layer.n_in = layer.n_out = width
                continue
            if np.ndim(step[0]) != 2 or 0 in np.shape(step[0]) or (i > 0 and np.shape(step[0])[0] != width):
                wanted = "(in, out)" if i == 0 else f"({width}, out)"
                raise ValueError(f"Plan: w of step {i} must be {wanted} and not empty, not {np.shape(step[0])}")
            layer.n_in, layer.n_out = np.shape(step[0])
            width = layer.n_out
            add_weights(p, layer, step[0], step[1])
        p.n_in, p.n_out = p.layers[0].n_in, width
        lay_out(p, batch_max)

    def __dealloc__(self):
        if self.record is not NULL:
            plan_release(self.record)

    @property
    def n_in(self):
        return self.record.n_in

    @property
    def n_out(self):
        return self.record.n_out

    @property
    def dtype(self):
        return np.dtype(np.float32 if self.record.bits == 32 else np.float64)

    @property
    def nbytes(self):
        return self.record.nbytes

    @property
    def address(self):
        return <uintptr_t>self.record

    @property
    def capsule(self):
        plan_retain(self.record)
        return PyCapsule_New(self.record, "fastnn.plan", release_capsule)

    def __repr__(self):
        return f"Plan({self.n_in} -> {self.n_out}, {self.record.count} steps, {self.dtype}, {self.nbytes} bytes)"

    def __call__(self, x, *, out=None):
        """The output for x.

        Parameters
        ----------
        x : ndarray, shape (..., n_in), of the plan's type, any strides
        out : ndarray, shape (..., n_out), C-contiguous, optional
            Where to write; must not overlap x.

        Raises
        ------
        TypeError
            If x or out is not an array of the plan's type.
        ValueError
            If a shape does not fit, or out is read-only, not C-contiguous or overlaps x.
        """
        cdef const Record *p = self.record
        cdef int typenum = cnp.NPY_FLOAT if p.bits == 32 else cnp.NPY_DOUBLE, status
        cdef cnp.ndarray a = real_like(x, typenum, "Plan", "x", "the weights")
        cdef cnp.npy_intp shape[64]
        cdef int i, last = cnp.PyArray_NDIM(a) - 1
        if last < 0 or cnp.PyArray_DIM(a, last) != p.n_in:
            raise ValueError(f"Plan: x must be (..., {p.n_in}), not {np.shape(a)}")
        for i in range(last):
            shape[i] = cnp.PyArray_DIM(a, i)
        shape[last] = p.n_out
        cdef cnp.ndarray y = new_array(last + 1, shape, typenum) if out is None else self.output(out, a)
        a = cnp.PyArray_GETCONTIGUOUS(a)
        cdef int64_t rows = cnp.PyArray_SIZE(a) // p.n_in
        cdef void *px = cnp.PyArray_DATA(a)
        cdef void *py = cnp.PyArray_DATA(y)
        if rows * p.work < KEEP_GIL:
            status = run(p, <float*>px, <float*>py, rows) if p.bits == 32 else run(p, <double*>px, <double*>py, rows)
        else:
            with nogil:
                status = run(p, <float*>px, <float*>py, rows) if p.bits == 32 else run(p, <double*>px, <double*>py, rows)
        check_status(status, "Plan")
        return y

    cdef cnp.ndarray output(self, object out, cnp.ndarray x):
        cdef cnp.ndarray y = real_like(out, cnp.PyArray_TYPE(x), "Plan", "out", "the weights")
        shape = np.shape(x)[:-1] + (self.n_out,)
        if np.shape(y) != shape:
            raise ValueError(f"Plan: out must be {shape} for x {np.shape(x)}, not {np.shape(y)}")
        if not is_output(y):
            refuse_output(y, "Plan", "out")
        if not cnp.PyArray_IS_C_CONTIGUOUS(y):
            raise ValueError("Plan: out must be C-contiguous")
        check_overlap(y, x, "Plan", "out", "x")
        return y
