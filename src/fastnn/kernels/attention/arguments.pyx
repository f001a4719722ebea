"""Check the array arguments of attention and fill in the record of parts.pxd."""
cimport numpy as cnp
from libc.math cimport sqrt
from libc.stdint cimport INT64_MAX, int64_t

import numpy as np

from ..ground.arrays cimport real_like, real_type, refuse_masked, stride
from ..ground.dispatch cimport FASTNN_MASK_ADDITIVE, FASTNN_MASK_BOOLEAN, FASTNN_MASK_NONE
from ..ground.scalars cimport finite_number, flag, probability, whole_number, word
from .parts cimport bad_length

cnp.import_array()


cdef cnp.ndarray contiguous_last(cnp.ndarray x):
    """Return x, or a copy if its last axis is not contiguous."""
    cdef int last = cnp.PyArray_NDIM(x) - 1
    if cnp.PyArray_DIM(x, last) > 1 and stride(x, last) != 1:
        return cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)
    return x


cdef void strides_of(cnp.ndarray x, int64_t *strides) noexcept:
    """Write the strides of the axes batch, head and position, in elements."""
    cdef int axis
    for axis in range(3):
        strides[axis] = stride(x, axis)


cdef cnp.ndarray operand(object x, int typenum, str op, str name, int64_t *strides):
    """Return x (batch, heads, length, size) with a contiguous last axis, and write its strides."""
    cdef cnp.ndarray y = real_like(x, typenum, op, name, "q")
    if cnp.PyArray_NDIM(y) != 4:
        raise ValueError(f"{op}: {name} must have the shape (batch, heads, length, size), "
                         f"got {np.shape(y)}")
    y = contiguous_last(y)
    strides_of(y, strides)
    return y


cdef int check_shapes(const Attention *a, Arguments args, str op) except -1:
    """Raise ValueError if the shapes of q, k and v do not fit each other."""
    q, k, v = np.shape(args.q), np.shape(args.k), np.shape(args.v)
    if k[0] != q[0] or v[0] != q[0]:
        raise ValueError(f"{op}: q, k and v must have one batch size, not those of {q}, {k} and "
                         f"{v}")
    if k[3] != q[3]:
        raise ValueError(f"{op}: q and k must have one size in the last axis, not those of {q} and "
                         f"{k}")
    if k[1] != v[1] or k[2] != v[2]:
        raise ValueError(f"{op}: k and v must have as many heads and positions as each other, "
                         f"not those of {k} and {v}")
    if (k[1] == 0 and q[1] != 0) or (k[1] > 0 and q[1] % k[1] != 0):
        raise ValueError(f"{op}: the heads of q must be a multiple of those of k and v, "
                         f"got {q[1]} and {k[1]}")
    return 0


cdef int set_lengths(Arguments args, object lengths, str op) except -1:
    """Set the lengths: integers from 0 to n_keys, (batch,) or (batch, n_queries)."""
    cdef Attention *a = &args.a
    cdef cnp.ndarray x
    cdef int64_t b, i
    a.lengths = NULL
    if lengths is None:
        return 0
    refuse_masked(lengths, op, "lengths")
    try:
        given = np.asarray(lengths)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: lengths must be integers, got {type(lengths).__name__}") from None
    if given.dtype.kind not in "iu" and given.size > 0:
        raise TypeError(f"{op}: lengths must be integers, got {given.dtype}")
    if given.shape not in ((a.batch,), (a.batch, a.n_queries)):
        raise ValueError(f"{op}: lengths must have the shape ({a.batch},) or "
                         f"({a.batch}, {a.n_queries}), got {given.shape}")
    x = np.ascontiguousarray(given, np.int64)
    args.lengths = x
    a.lengths = <const int64_t*>cnp.PyArray_DATA(x)
    a.lengths_strides[0] = 1 if cnp.PyArray_NDIM(x) == 1 else a.n_queries
    a.lengths_strides[1] = 0 if cnp.PyArray_NDIM(x) == 1 else 1
    if bad_length(a, &b, &i):
        where = [b, i][:given.ndim]
        raise ValueError(f"{op}: lengths{where} is {given[tuple(where)]}, which is not from 0 to "
                         f"the {a.n_keys} keys")
    return 0


cdef int set_mask(Arguments args, object mask, str op) except -1:
    """Set the mask: bool or q's type, broadcast to (batch, heads, n_queries, n_keys).

    It is read in place; its stride is 0 along axes that it is broadcast over.
    """
    cdef Attention *a = &args.a
    cdef cnp.ndarray x
    cdef int axis, i, ndim
    cdef int64_t[4] full = [a.batch, a.heads, a.n_queries, a.n_keys]
    cdef bint fits
    a.mask_kind = FASTNN_MASK_NONE
    if mask is None:
        return 0
    refuse_masked(mask, op, "mask")
    if cnp.PyArray_Check(mask) and cnp.PyArray_TYPE(<cnp.ndarray>mask) == cnp.NPY_BOOL:
        x = <cnp.ndarray>mask
        a.mask_kind = FASTNN_MASK_BOOLEAN
    elif cnp.PyArray_Check(mask) and mask.dtype.kind == "f":
        x = real_like(mask, args.typenum, op, "mask", "q")
        a.mask_kind = FASTNN_MASK_ADDITIVE
    else:
        kind = mask.dtype if cnp.PyArray_Check(mask) else type(mask).__name__
        raise TypeError(f"{op}: mask must be an array of bool (True: may attend) or of the type "
                        f"of q (added to the scores), got {kind}")
    ndim = cnp.PyArray_NDIM(x)
    fits = ndim <= 4
    for axis in range(4):
        a.mask_strides[axis] = 0
        i = axis - 4 + ndim
        if i >= 0 and fits and cnp.PyArray_DIM(x, i) != 1:
            fits = cnp.PyArray_DIM(x, i) == full[axis]
            a.mask_strides[axis] = stride(x, i)
    if not fits:
        raise ValueError(f"{op}: mask of shape {np.shape(x)} does not broadcast to {tuple(full)} "
                         "(batch, heads, queries, keys)")
    args.mask = x
    a.mask = cnp.PyArray_DATA(x)
    return 0


cdef int set_dropout(Attention *a, object dropout_p, object seed, object step, str op) except -1:
    a.dropout_p = probability(dropout_p, op, "dropout_p")
    if a.dropout_p > 0 and seed is None:
        raise ValueError(f"{op}: dropout needs a seed")
    a.seed = 0 if seed is None else word(seed, op, "seed")
    a.step = word(step, op, "step")
    return 0


cdef Arguments read_arguments(str op, object q, object k, object v, object causal, object lengths,
                              object mask, object scale, object dropout_p, object seed,
                              object step, object window):
    """Check all arguments and fill in the record."""
    cdef Arguments args = Arguments.__new__(Arguments)
    cdef Attention *a = &args.a
    args.typenum = real_type(q, op, "q")
    args.q = operand(q, args.typenum, op, "q", a.qs)
    args.k = operand(k, args.typenum, op, "k", a.ks)
    args.v = operand(v, args.typenum, op, "v", a.vs)
    a.batch, a.heads = cnp.PyArray_DIM(args.q, 0), cnp.PyArray_DIM(args.q, 1)
    a.n_queries, a.d = cnp.PyArray_DIM(args.q, 2), cnp.PyArray_DIM(args.q, 3)
    a.kv_heads, a.n_keys, a.dv = (cnp.PyArray_DIM(args.k, 1), cnp.PyArray_DIM(args.k, 2),
                                  cnp.PyArray_DIM(args.v, 3))
    a.q, a.k, a.v = cnp.PyArray_DATA(args.q), cnp.PyArray_DATA(args.k), cnp.PyArray_DATA(args.v)
    if (cnp.PyArray_DIM(args.k, 0) != a.batch or cnp.PyArray_DIM(args.v, 0) != a.batch
            or cnp.PyArray_DIM(args.k, 3) != a.d
            or cnp.PyArray_DIM(args.v, 1) != a.kv_heads or cnp.PyArray_DIM(args.v, 2) != a.n_keys
            or a.kv_heads == 0 or a.heads % a.kv_heads):
        check_shapes(a, args, op)
    a.causal = flag(causal, op, "causal")
    a.window = 0 if window is None else whole_number(window, 1, INT64_MAX // 2, op, "window")
    a.starts = NULL
    if scale is None:
        a.scale = 1 / sqrt(<double>max(<int64_t>1, a.d))
    else:
        a.scale = finite_number(scale, op, "scale")
    set_lengths(args, lengths, op)
    set_mask(args, mask, op)
    set_dropout(a, dropout_p, seed, step, op)
    return args


cdef void *bias_gradient(Arguments args, object dbias) except? NULL:
    """Return the memory of dbias, (heads, n_queries + n_keys - 1); NULL for None."""
    cdef cnp.ndarray x
    if dbias is None:
        return NULL
    x = real_like(dbias, args.typenum, "attention_backward", "dbias", "q")
    shape = args.a.heads, max(0, args.a.n_queries + args.a.n_keys - 1)
    if np.shape(x) != shape or not cnp.PyArray_ISCARRAY(x):
        raise ValueError(f"attention_backward: dbias must be C-contiguous, writable and of the "
                         f"shape {shape}, got {np.shape(x)}")
    return cnp.PyArray_DATA(x)
