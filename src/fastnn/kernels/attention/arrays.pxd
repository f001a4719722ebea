"""The pointer API of softmax attention, without the GIL.

sizes holds batch, heads, kv_heads, n_queries, n_keys, d and dv; heads is a multiple of kv_heads.
Strides count elements, along batch, head and position; last axes are contiguous.

lengths is NULL, or the number of keys that a query may attend to (0..n_keys), with strides along
batch and query. mask_kind is 0 (no mask), 1 (bytes; nonzero: may attend) or 2 (reals added to the
scores; only -inf hides a key). The strides of the mask, along batch, head, query and key, may be 0.
lse (batch, heads, n_queries) is C-contiguous; forward accepts NULL.

Backward overwrites dq, dk and dv, which have the strides of q, k and v; dout has those of out.
Outputs must not overlap anything. Returns 0, 1 (no memory) or 2 (a negative size, a missing
pointer, heads that are not a multiple, a length or probability out of range, a scale that is not
finite).
"""
from libc.stdint cimport int64_t, uint64_t

from ..ground.dispatch cimport real

cdef int attention_real(
    const int64_t *sizes, const real *q, const int64_t *q_strides, const real *k,
    const int64_t *k_strides, const real *v, const int64_t *v_strides, real *out,
    const int64_t *out_strides, real *lse, double scale, int causal, const int64_t *lengths,
    const int64_t *lengths_strides, int mask_kind, const void *mask, const int64_t *mask_strides,
    double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil
cdef int attention_backward_real(
    const int64_t *sizes, const real *dout, const real *q, const int64_t *q_strides, const real *k,
    const int64_t *k_strides, const real *v, const int64_t *v_strides, const real *out,
    const int64_t *out_strides, const real *lse, real *dq, real *dk, real *dv, double scale,
    int causal, const int64_t *lengths, const int64_t *lengths_strides, int mask_kind,
    const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil
