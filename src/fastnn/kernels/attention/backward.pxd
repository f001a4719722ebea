"""The backward pass of softmax attention, on the record of attention_parts.pxd."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from .parts cimport Attention
cdef struct Gradients:
    # dout and out are like each other, dq, dk, dv like q, k, v; strides along batch, head and
    # position. lse and normalizer are what attention_forward wrote; one may be NULL.
    const void *dout
    const void *out
    const void *lse
    const void *normalizer
    void *dq
    void *dk
    void *dv
    int64_t dos[3]
    int64_t os[3]
    int64_t dqs[3]
    int64_t dks[3]
    int64_t dvs[3]

# 0 or 1 (no memory). The last argument says the real type and is not read.
cdef int attention_gradients(const Attention *a, const Gradients *g, const real *t) noexcept nogil
