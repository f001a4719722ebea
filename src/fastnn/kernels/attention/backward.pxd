"""The backward pass of softmax attention, on the record of parts.pxd."""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

from .parts cimport Attention

cdef struct Gradients:
    # dout and out (batch, heads, n_queries, dv); dq, dk, dv as q, k, v. Strides are along batch,
    # head and position. attention_forward wrote lse and normalizer; one of them may be NULL.
    const void *dout
    const void *out
    const void *lse
    const void *normalizer
    void *dq
    void *dk
    void *dv
    # Gradient of a mask that is a function of the key's position minus the query's, (heads,
    # n_queries + n_keys - 1), which is added to; NULL if it is not wanted.
    void *dbias
    void *dbias_parts       # the same of each example, head and block of keys
    int64_t dos[3]
    int64_t os[3]
    int64_t dqs[3]
    int64_t dks[3]
    int64_t dvs[3]

# Returns 0 or 1 (no memory). The last argument carries the real type and is not read.
cdef int attention_gradients(const Attention *a, const Gradients *g, const real *t) noexcept nogil
