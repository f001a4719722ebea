"""The weights of a frozen Transformer: copied, and laid out for products, one after the other in one block."""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport real_like, stride
from ..gemm.loops cimport pack_whole, packed_size
from ..attention.rotary cimport rotary_table_f32, rotary_table_f64
from .transformer_run cimport Dense, Norm, Transformer

cnp.import_array()

cdef enum:
    ALIGNED = 64        # bytes: each weight begins at a cache line


cdef struct Weights:
    # Copies of arrays, one after the other in the plan's block, of which `used` bytes are.
    Transformer *plan
    int64_t used
    int typenum


cdef const void *add(Weights *weights, object array, tuple shape, str name) except? NULL:
    """A C-ordered copy; NULL for None."""
    cdef cnp.ndarray x, copy
    if array is None:
        return NULL
    x = real_like(array, weights.typenum, "TransformerPlan", name, "the first weight")
    if np.shape(x) != shape:
        raise ValueError(f"TransformerPlan: {name} must be {shape}, not {np.shape(x)}")
    cdef char *to = <char*>weights.plan.weights + weights.used
    copy = cnp.PyArray_SimpleNewFromData(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), weights.typenum, to)
    copy[...] = x
    weights.used += padded(x)
    return to


cdef int set_norm(Weights *weights, Norm *norm, tuple arrays, str name) except -1:
    norm.weight = add(weights, arrays[0], (weights.plan.d,), f"{name}.weight")
    norm.bias = add(weights, arrays[1], (weights.plan.d,), f"{name}.bias")
    return 0


cdef int set_dense(Weights *weights, Dense *layer, tuple arrays, int64_t n_in, int64_t n_out, int activation, str name) except -1:
    cdef cnp.ndarray x = real_like(arrays[0], weights.typenum, "TransformerPlan", name, "the first weight")
    cdef void *to = <char*>weights.plan.weights + weights.used
    if np.shape(x) != (n_in, n_out):
        raise ValueError(f"TransformerPlan: {name}.weight must be {(n_in, n_out)}, not {np.shape(x)}")
    layer.n_in, layer.n_out, layer.activation, layer.w = n_in, n_out, activation, to
    if weights.typenum == cnp.NPY_FLOAT:
        pack_whole(n_in, n_out, <float*>cnp.PyArray_DATA(x), stride(x, 0), stride(x, 1), <float*>to)
    else:
        pack_whole(n_in, n_out, <double*>cnp.PyArray_DATA(x), stride(x, 0), stride(x, 1), <double*>to)
    weights.used += packed_bytes(x)
    layer.bias = add(weights, arrays[1], (n_out,), f"{name}.bias")
    return 0


cdef int64_t packed_bytes(cnp.ndarray w) except -1:
    if cnp.PyArray_NDIM(w) != 2:
        raise ValueError(f"TransformerPlan: a weight must be (in, out), not {np.shape(w)}")
    cdef int64_t k = cnp.PyArray_DIM(w, 0), n = cnp.PyArray_DIM(w, 1)
    cdef int64_t bytes = packed_size(k, n, <float*>NULL) * 4 if cnp.PyArray_TYPE(w) == cnp.NPY_FLOAT else packed_size(k, n, <double*>NULL) * 8
    return (bytes + ALIGNED - 1) // ALIGNED * ALIGNED


cdef int64_t padded(object array) except -1:
    return 0 if array is None else (array.nbytes + ALIGNED - 1) // ALIGNED * ALIGNED


cdef int fill(Transformer *t, int typenum, int activation, list blocks, object last, object embedding, object positions, object head) except -1:
    """Copy the weights into t.weights, which is large enough, and set the records that point there."""
    cdef Weights weights = Weights(t, 0, typenum)
    cdef int64_t i, wide = t.d + 2 * t.kv_heads * (t.d // t.heads)
    for i in range(t.layers):
        block = blocks[i]
        set_norm(&weights, &t.blocks[i].norm1, block["norm1"], "norm1")
        set_dense(&weights, &t.blocks[i].qkv, block["qkv"], t.d, wide, 0, "qkv")
        set_dense(&weights, &t.blocks[i].out, block["out"], t.d, t.d, 0, "out")
        set_norm(&weights, &t.blocks[i].norm2, block["norm2"], "norm2")
        set_dense(&weights, &t.blocks[i].up, block["up"], t.d, t.d_ff, activation, "up")
        set_dense(&weights, &t.blocks[i].down, block["down"], t.d_ff, t.d, 0, "down")
    if last is not None:
        t.has_last = True
        set_norm(&weights, &t.last, last, "norm")
    t.n_in = t.n_out = t.d
    if embedding is not None:
        t.vocabulary = t.n_out = len(embedding)
        t.embedding = add(&weights, embedding, (t.vocabulary, t.d), "embedding")
        t.positions = add(&weights, positions, (t.max_len, t.d), "positions")
        set_dense(&weights, &t.head, (head, None), t.d, t.vocabulary, 0, "head")
    if t.table_positions > 0:
        t.table = <char*>t.weights + weights.used
        if typenum == cnp.NPY_FLOAT:
            rotary_table_f32(t.table_positions, t.d // t.heads, 10000.0, <float*>t.table)
        else:
            rotary_table_f64(t.table_positions, t.d // t.heads, 10000.0, <double*>t.table)
    return 0
