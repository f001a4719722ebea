"""Running a program: its operations on a frame, and the two schedules of rows by themselves.

Many rows go through all operations in strips that stay in the cache, so what is between the layers
never reaches memory; threads share the strips. Few rows go through layer by layer, and threads
share the work of each layer. An operation gives a row the same bits whatever rows it comes with:
the bits depend neither on the threads nor on the schedule, nor on where strips are cut.
Accuracy: that of the layers' kernels.
"""
from libc.math cimport NAN
from libc.stdint cimport int64_t, intptr_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from ..gemm.loops cimport Product, ceil_div
from ..gemm.paths cimport multiply
from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, WRONG_TYPE
from ..ground.dispatch cimport real
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport run_team, share, threads_for
from ..rowwise.activation cimport activation_real
from ..rowwise.gate cimport gate_real
from ..rowwise.norms cimport layer_norm_real
from ..rowwise.prelu cimport prelu_real
from ..rowwise.softmax cimport log_softmax_real, softmax_real
from .attend cimport run_sequence_op
from .ops cimport (ACTIVATION, ADD, COPY, DENSE, GATE, INPUT, LOG_SOFTMAX, NORM, NORM_HEADS, PRELU,
                   SOFTMAX, Frame, Op, Record)

cdef extern from "atomic.h" nogil:
    int64_t count_holders "fastnn_count"(int64_t *count, int64_t change) noexcept

cdef enum:
    SMALL = 8192            # bytes of scratch that a call takes from the stack


cdef int dense(const Op *op, const Frame *f, const real *x, real *y, real *preact) noexcept nogil:
    cdef bint strided = op.x == INPUT
    cdef Product g = Product(f.rows, op.n_out, op.n_in, x, f.rsx if strided else op.n_in,
                             f.csx if strided else 1, op.weight, op.rsw, op.csw, y, op.n_out, 1, 1,
                             0, op.bias, 1, op.activation, preact, op.format)
    return multiply(&g, x)


cdef int norm_heads(const Op *op, int64_t rows, const real *x, real *y) noexcept nogil:
    """Normalize q and k of rows q | k | v; y may be x."""
    cdef int64_t[2] heads = [op.heads, op.kv_heads]
    cdef const real *weight
    cdef int64_t part, h, i, at = 0, n, groups
    cdef int status = OK
    for part in range(2):
        groups = 1 if op.flag else heads[part]
        n = heads[part] * op.size // groups
        weight = <const real*>(op.weight if part == 0 else op.bias)
        for h in range(groups):
            if status == OK:
                status = layer_norm_real(True, rows, n, x + at, op.n_out, <real*>NULL, 0, 0, 0, 0,
                                         weight, <real*>NULL, op.factor, <real*>NULL, 0, y + at,
                                         op.n_out, <real*>NULL)
            at += n
    for i in range(0 if y == x else rows):
        memcpy(y + i * op.n_out + at, x + i * op.n_out + at, (op.n_out - at) * sizeof(real))
    return status


cdef int rowwise(const Op *op, int64_t rows, const real *x, const real *residual, real *h,
                 real *y) noexcept nogil:
    """The operations that know no other row, and no product."""
    cdef int64_t n = op.n_out, i
    if op.kind == ACTIVATION:
        n *= rows
        return activation_real(op.activation, 1, n, x, n, y, n)
    if op.kind == ADD:
        for i in range(rows * n):
            y[i] = x[i] + residual[i]
    elif op.kind == COPY:
        memcpy(y, x, rows * n * sizeof(real))
    elif op.kind == SOFTMAX:
        return softmax_real(rows, n, x, n, y, n)
    elif op.kind == LOG_SOFTMAX:
        return log_softmax_real(rows, n, x, n, y, n)
    elif op.kind == PRELU:
        return prelu_real(op.flag, rows, n, x, n, <const real*>op.weight, y, n)
    elif op.kind == GATE:
        return gate_real(op.activation, rows, n, x, 2 * n, y, n)
    elif op.kind == NORM_HEADS:
        return norm_heads(op, rows, x, y)
    else:
        return layer_norm_real(op.flag, rows, n, x, n, residual, n, 0, 0, 0,
                               <const real*>op.weight, <const real*>op.bias, op.factor,
                               h, n, y, n, <real*>NULL)
    return OK


cdef int run_real(const Op *ops, int first, int last, const Frame *f, const real *t) noexcept nogil:
    cdef const Op *op
    cdef real *x
    cdef real *y
    cdef real *residual
    cdef real *h
    cdef int i, status = OK
    for i in range(first, last):
        op = &ops[i]
        x, y = <real*>f.at[op.x], <real*>f.at[op.y]
        if op.kind == DENSE:
            status = dense(op, f, x, y, NULL if f.preacts is NULL else <real*>f.preacts[i])
        elif op.kind > COPY:
            status = run_sequence_op(op, f, x, y)
        else:
            residual = NULL if op.residual < 0 else <real*>f.at[op.residual]
            h = NULL if op.h < 0 else <real*>f.at[op.h]
            status = rowwise(op, f.rows, x, residual, h, y)
        if status != OK:
            return status
    return OK


cdef int run_ops(const Record *p, int first, int last, const Frame *f) noexcept nogil:
    if p.bits == 32:
        return run_real(p.ops, first, last, f, <float*>NULL)
    if p.bits == 64:
        return run_real(p.ops, first, last, f, <double*>NULL)
    return WRONG_TYPE


cdef void place(const Record *p, Frame *f, int64_t rows, void *scratch) noexcept nogil:
    cdef int i
    for i in range(p.buffers):
        f.at[i] = <char*>scratch + rows * p.starts[i] * (p.bits // 8)


cdef int run_frame(const Record *p, Frame *f, const void *x, void *y) noexcept nogil:
    cdef void *scratch = take(f.rows * p.starts[p.buffers] * (p.bits // 8))
    cdef int status
    if scratch is NULL:
        return NO_MEMORY
    place(p, f, f.rows, scratch)
    f.at[INPUT], f.at[p.output] = <void*>x, y
    status = run_ops(p, 0, p.count, f)
    give(scratch)
    return status


# Rows by themselves.

cdef int64_t strip_rows(const Record *p, int64_t rows) noexcept nogil:
    """Rows of a strip: as even as can be, and enough strips for the threads if there is work."""
    cdef int64_t strips = ceil_div(rows, p.strip)
    if rows <= min(<int64_t>FEW_ROWS, p.strip):
        return rows
    if rows * p.work >= 2 * machine.flops_grain:
        strips = max(strips, min(machine.plan_shares, rows // FEW_ROWS))
    return ceil_div(rows, max(<int64_t>1, strips))


cdef void run_strips(int team, int thread, const Record *p, int64_t rows, int64_t strip,
                     const char *x, char *y, char *scratch, int *failed) noexcept nogil:
    """This thread's strips; *failed becomes the status of one that fails."""
    cdef Frame f
    cdef int64_t size = p.bits // 8, i, row, first, last
    cdef int status
    f.rsx, f.csx, f.preacts, f.sequences = p.n_in, 1, NULL, NULL
    share(ceil_div(rows, strip), team, thread, &first, &last)
    place(p, &f, strip, scratch + thread * strip * p.starts[p.buffers] * size)
    for i in range(first, last):
        row = i * strip
        f.rows = min(strip, rows - row)
        f.at[INPUT] = <void*>(x + row * p.n_in * size)
        f.at[p.output] = y + row * p.n_out * size
        status = run_ops(p, 0, p.count, &f)
        if status != OK:
            failed[0] = status


cdef int run_small(const Record *p, const char *x, char *y, int64_t rows,
                   int64_t strip) noexcept nogil:
    """One thread, with its scratch on the stack."""
    cdef char stack[SMALL + 64]
    cdef int status = OK
    run_strips(1, 0, p, rows, strip, x, y, <char*>((<uintptr_t>stack + 63) // 64 * 64), &status)
    return status


cdef int run_rows(const Record *p, const char *x, char *y, int64_t rows) noexcept nogil:
    cdef int64_t strip = strip_rows(p, rows), bytes
    cdef int team = 1 if strip == rows else threads_for(rows * p.work, machine.flops_grain)
    cdef int status = OK
    cdef char *scratch
    if rows == 0:
        return OK
    bytes = team * strip * p.starts[p.buffers] * (p.bits // 8)
    if team == 1 and bytes <= SMALL:
        return run_small(p, x, y, rows, strip)
    scratch = <char*>take(bytes)
    if scratch is NULL:
        return NO_MEMORY
    run_team(team, run_strips, p, rows, strip, x, y, scratch, &status)
    give(scratch)
    return status


# The functions of fastnn.h.

cdef int plan_run_real(const void *plan, const real *x, real *y, int64_t rows) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    cdef uintptr_t a = <uintptr_t>x, b = <uintptr_t>y
    if p is NULL or rows < 0 or (rows > 0 and (x is NULL or y is NULL)):
        return BAD_ARGUMENT
    if p.bits != 8 * sizeof(real) or p.vocabulary > 0 or p.sequences:
        return WRONG_TYPE
    if rows > (<int64_t>1 << 58) // max(p.n_in, p.n_out):
        return BAD_ARGUMENT
    if a < b + rows * p.n_out * sizeof(real) and b < a + rows * p.n_in * sizeof(real):
        return BAD_ARGUMENT     # they overlap
    return run_rows(p, <const char*>x, <char*>y, rows)


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
    for i in range(p.owned_count):
        give(p.owned[i])
    free(p.owned)
    free(p.starts)
    free(p.ops)
    free(p)
    return OK


cdef double plan_integrand(int n, double *x, void *plan) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    cdef double y = NAN
    if p is NULL or p.n_in != n or p.n_out != 1:
        return NAN
    if plan_run_real(plan, <const double*>x, &y, 1) != OK:
        return NAN
    return y


cdef int plan_filter(double *window, intptr_t n, double *result, void *plan) noexcept nogil:
    cdef const Record *p = <const Record*>plan
    if p is NULL or p.n_in != n or p.n_out != 1:
        return False
    return plan_run_real(plan, <const double*>window, result, 1) == OK
