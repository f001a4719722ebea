"""Running a frozen model: dense layers y_i = act_i(y_(i-1) W_i + b_i), weights packed once, and norms, activations, softmax and residual sums between them.

Rows go through all layers in strips that stay in the cache, so what is between the layers never reaches memory, and threads share the strips out. A strip's
rows are fixed by the shape alone, so the bits do not depend on the number of threads. Few rows with much work are divided within each layer instead.
A plan never changes and is counted by its holders: many threads may run it at once. A call allocates nothing: what is between the layers lies on the stack
or in a workspace, which the plan keeps for the next call.
Accuracy: that of the layers' kernels, gemm.pyx, activation.pyx and softmax.pyx.
"""
from cython.parallel cimport parallel
from libc.math cimport NAN
from libc.stdint cimport int64_t, intptr_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, WRONG_TYPE
from ..ground.dispatch cimport activation_block, log_softmax_block, norm_block, prelu_block, real, softmax_block
from ..gemm.paths cimport multiply, threads_for_packed
from ..gemm.loops cimport Blocks, Product, ceil_div, choose_blocks, worker
from ..ground.memory cimport give, take
from ..ground.threads cimport share, team_size, thread_id, threads_for

cdef extern from "atomic.h" nogil:
    int64_t count_holders "fastnn_count"(int64_t *count, int64_t change) noexcept
    void *slot_take "fastnn_slot_take"(void **slot) noexcept
    bint slot_put "fastnn_slot_put"(void **slot, void *pointer) noexcept

cdef enum:
    SHARES = 8              # strips to cut large work into at least, so that so many threads find some
    MOST_TEAM = 1024        # threads.pyx gives no more
    GRAIN = 750_000         # flops a thread should have, as in gemm.pyx


cdef void describe(Product *g, const Layer *layer, int64_t rows, const real *x, real *y) noexcept nogil:
    g[0] = Product(rows, layer.n_out, layer.n_in, x, layer.n_in, 1, layer.w, 0, 0, y, layer.n_out, 1, 1, 0, layer.bias, 1, layer.kind, NULL, True)


cdef void without_product(const Layer *layer, int64_t rows, const real *x, const real *kept, real *y) noexcept nogil:
    """kept: what ADD adds."""
    cdef int64_t n = layer.n_out
    cdef int64_t i
    if layer.kind == SOFTMAX:
        softmax_block(rows, n, x, n, y, n, False)
    elif layer.kind == LOG_SOFTMAX:
        log_softmax_block(rows, n, x, n, y, n, False)
    elif layer.kind == LAYER_NORM or layer.kind == RMS_NORM:
        norm_block(layer.kind == RMS_NORM, rows, n, x, n, layer.eps, <const real*>layer.weight, <const real*>layer.bias, <real*>NULL, y, n, False)
    elif layer.kind == PRELU:
        prelu_block(layer.shared, rows, n, x, n, <const real*>layer.weight, y, n, False)
    elif layer.kind == ADD:
        for i in range(rows * n):
            y[i] = x[i] + kept[i]
    else:
        activation_block(layer.kind, rows, n, x, n, y, n, False)


cdef real *target_of(const Record *p, int i, const real *x, real *y, real *scratch) noexcept nogil:
    """Where step i writes: y in the end, else the one of the first two strips of scratch that x does not lie in."""
    if i == p.count - 1:
        return y
    return scratch + p.strip * p.hidden if x == scratch else scratch


cdef real *slot_of(const Record *p, const Layer *layer, real *scratch) noexcept nogil:
    return scratch + (2 + layer.slot) * p.strip * p.hidden


cdef int run_layers(const Record *p, int64_t rows, const real *x, real *y, real *scratch, bint alone) noexcept nogil:
    """All layers: by one thread, for one strip; or, unless alone, for few rows, the threads dividing each product.

    scratch: two strips of `hidden` columns, taken by turns, one for each slot, and room for packing.
    """
    cdef Product g
    cdef Blocks s
    cdef Layer *layer
    cdef real *target
    cdef int i, status
    for i in range(p.count):
        layer = &p.layers[i]
        if layer.kind == KEEP:
            memcpy(slot_of(p, layer, scratch), x, rows * layer.n_out * sizeof(real))
            continue
        target = target_of(p, i, x, y, scratch)
        if layer.w is NULL:
            without_product(layer, rows, x, slot_of(p, layer, scratch), target)
        else:
            describe(&g, layer, rows, x, target)
            if alone:
                choose_blocks(&g, &s, x)
                worker(1, 0, &g, &s, scratch + (2 + p.slots) * p.strip * p.hidden)
            else:
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
        run_layers(p, min(strip, rows - row), x + row * p.n_in, y + row * p.n_out, scratch, True)


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
    return run_layers(p, rows, x, y, scratch, False)


cdef int run(const Record *p, const real *x, real *y, int64_t rows) noexcept nogil:
    cdef void *workspaces[MOST_TEAM]
    cdef int team, i, status
    cdef bint few = rows <= min(<int64_t>FEW_ROWS, p.strip)
    if rows == 0:
        return OK
    team = threads_for_packed(rows, p.work / 2) if few else threads_for(rows * p.work, GRAIN)
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
    if p.bits != 8 * <int>sizeof(real) or p.count < 0:
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
    if p.destroy is not NULL:
        p.destroy(p)
        return OK
    for i in range(WORKSPACES):
        give(p.workspaces[i])
    for i in range(p.count):
        give(p.layers[i].w)
        free(p.layers[i].bias)
        free(p.layers[i].weight)
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
