"""Stacks of matrix products: C_i := act(alpha A_i B_i + beta C_i + bias), i over the leading axes.

Large products run one after the other, each by a team. Smaller ones are divided among the threads
as whole products, so the bits do not depend on the number of threads.
"""
from libc.stdint cimport int64_t

from ..ground.arrays cimport NO_MEMORY, OK
from ..ground.dispatch cimport real
from .loops cimport Blocks, Product, choose_blocks, worker
from .paths cimport multiply
from ..ground.machine cimport machine
from ..ground.memory cimport give, take
from ..ground.threads cimport run_team, share, threads_for


cdef void stack_offsets(
    const Stack *stack, int64_t i, int64_t *oa, int64_t *ob, int64_t *oc
) noexcept nogil:
    """Compute the offsets in elements of the operands of product i."""
    cdef int64_t axis, index
    oa[0] = ob[0] = oc[0] = 0
    for axis in range(stack.ndim - 1, -1, -1):
        index = i % stack.shape[axis]
        i //= stack.shape[axis]
        oa[0] += index * stack.a[axis]
        ob[0] += index * stack.b[axis]
        oc[0] += index * stack.c[axis]


cdef Product product_of_stack(
    const Product *g, const Stack *stack, int64_t i, const real *t
) noexcept nogil:
    """Return product i of the stack as a record."""
    cdef int64_t oa, ob, oc
    cdef Product g_i = g[0]
    stack_offsets(stack, i, &oa, &ob, &oc)
    g_i.a, g_i.b, g_i.c = <const real*>g.a + oa, <const real*>g.b + ob, <real*>g.c + oc
    g_i.preact = NULL if g.preact is NULL else <real*>g.preact + oc
    return g_i


cdef void stack_share(
    int team, int thread, const Product *g, const Blocks *s, const Stack *stack, real *scratch
) noexcept nogil:
    """Compute this thread's products, one after the other."""
    cdef int64_t i, first, last
    cdef Product g_i
    scratch += thread * (s.size_a + s.size_b)
    share(stack.count, team, thread, &first, &last)
    for i in range(first, last):
        g_i = product_of_stack(g, stack, i, scratch)
        worker(1, 0, &g_i, s, scratch)


cdef int multiply_stack(const Product *g, const Stack *stack, const real *t) noexcept nogil:
    cdef Blocks s
    cdef Product g_i
    cdef int team
    cdef int64_t i
    cdef double work = 2.0 * g.m * g.n * g.k
    cdef real *scratch
    if stack.count == 0 or g.m == 0 or g.n == 0:
        return OK
    if work >= 2 * machine.flops_grain:       # each product is enough work for a team
        for i in range(stack.count):
            g_i = product_of_stack(g, stack, i, t)
            if multiply(&g_i, t) != OK:
                return NO_MEMORY
        return OK
    choose_blocks(g, &s, t)
    team = threads_for(work * stack.count, machine.flops_grain)
    scratch = <real*>take(team * (s.size_a + s.size_b) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    run_team(team, stack_share[real], g, &s, stack, scratch)
    give(scratch)
    return OK
