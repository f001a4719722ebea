"""Softmax attention: the Python and the pointer API.

    O = softmax(scale Q K^T + mask) V

Vaswani et al. 2017; *Dive into Deep Learning*, section 11.3. forward.pyx, decode.pyx and
backward.pyx have the loops; docs/attention.md explains them. Accuracy: sums are computed in the
type of q, and powers of two to 1.2 ulp. Tests hold results within 2e-6 (float32) or 1e-14 (float64)
of a float64 reference, relative to the largest element.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from ..ground.arrays cimport (BAD_ARGUMENT, OK, call_typed, check_overlap, check_status,
                              real_like, shaped_output, stride)
from .arguments cimport Arguments, bias_gradient, contiguous_last, read_arguments, strides_of
from .backward cimport Gradients, attention_gradients
from .forward cimport attention_forward, attention_weights
from .parts cimport Attention, bad_length
from ..ground.dispatch cimport real
from ..ground.memory cimport new_array
from ..ground.scalars cimport flag, is_finite, is_probability

cnp.import_array()


# The pointer API.

cdef int describe(
    Attention *a, const int64_t *sizes, const void *q, const int64_t *q_strides,
    const void *k, const int64_t *k_strides, const void *v, const int64_t *v_strides, double scale,
    int causal, const int64_t *lengths, const int64_t *lengths_strides, int mask_kind,
    const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil:
    """Fill in the record from plain arguments; return BAD_ARGUMENT if they are not valid."""
    cdef int i
    cdef int64_t b, query
    if (sizes is NULL or q_strides is NULL or k_strides is NULL or v_strides is NULL
            or (lengths is not NULL and lengths_strides is NULL)):
        return BAD_ARGUMENT
    a.batch, a.heads, a.kv_heads, a.n_queries, a.n_keys, a.d, a.dv = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6])
    for i in range(7):
        if sizes[i] < 0:
            return BAD_ARGUMENT
    if a.kv_heads == 0 or a.heads % a.kv_heads or mask_kind < 0 or mask_kind > 2:
        return BAD_ARGUMENT
    if not is_probability(dropout_p) or not is_finite(scale):
        return BAD_ARGUMENT
    if mask_kind != 0 and (mask is NULL or mask_strides is NULL):
        return BAD_ARGUMENT
    if (a.batch * a.heads * a.n_queries > 0
            and (q is NULL or ((k is NULL or v is NULL) and a.n_keys > 0))):
        return BAD_ARGUMENT
    a.q, a.k, a.v, a.scale, a.causal, a.lengths, a.mask_kind, a.mask = (
        q, k, v, scale, causal, lengths, mask_kind, mask)
    a.dropout_p, a.seed, a.step, a.window, a.starts = dropout_p, seed, step, 0, NULL
    a.format = 0
    for i in range(3):
        a.qs[i], a.ks[i], a.vs[i] = q_strides[i], k_strides[i], v_strides[i]
    for i in range(2):
        a.lengths_strides[i] = 0 if lengths is NULL else lengths_strides[i]
    for i in range(4):
        a.mask_strides[i] = 0 if mask_kind == 0 else mask_strides[i]
    return BAD_ARGUMENT if bad_length(a, &b, &query) else OK


cdef int attention_real(
    const int64_t *sizes, const real *q, const int64_t *q_strides, const real *k,
    const int64_t *k_strides, const real *v, const int64_t *v_strides, real *out,
    const int64_t *out_strides, real *lse, double scale, int causal, const int64_t *lengths,
    const int64_t *lengths_strides, int mask_kind, const void *mask, const int64_t *mask_strides,
    double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil:
    cdef Attention a
    cdef int status = describe(&a, sizes, q, q_strides, k, k_strides, v, v_strides, scale, causal,
                               lengths, lengths_strides, mask_kind, mask, mask_strides, dropout_p,
                               seed, step)
    if status == OK and (out is NULL or out_strides is NULL):
        return BAD_ARGUMENT
    return attention_forward(&a, out, out_strides, lse, <real*>NULL) if status == OK else status


cdef int attention_backward_real(
    const int64_t *sizes, const real *dout, const real *q, const int64_t *q_strides, const real *k,
    const int64_t *k_strides, const real *v, const int64_t *v_strides, const real *out,
    const int64_t *out_strides, const real *lse, real *dq, real *dk, real *dv, double scale,
    int causal, const int64_t *lengths, const int64_t *lengths_strides, int mask_kind,
    const void *mask, const int64_t *mask_strides, double dropout_p, uint64_t seed, uint64_t step
) noexcept nogil:
    cdef Attention a
    cdef Gradients g
    cdef int status = describe(&a, sizes, q, q_strides, k, k_strides, v, v_strides, scale, causal,
                               lengths, lengths_strides, mask_kind, mask, mask_strides, dropout_p,
                               seed, step)
    if status != OK:
        return status
    if (dout is NULL or out is NULL or out_strides is NULL or lse is NULL
            or dq is NULL or dk is NULL or dv is NULL):
        return BAD_ARGUMENT
    g.dout, g.out, g.lse, g.normalizer, g.dbias = dout, out, lse, NULL, NULL
    g.dq, g.dk, g.dv = dq, dk, dv
    memcpy(g.dos, out_strides, sizeof(g.dos))
    memcpy(g.os, out_strides, sizeof(g.os))
    memcpy(g.dqs, q_strides, sizeof(g.dqs))
    memcpy(g.dks, k_strides, sizeof(g.dks))
    memcpy(g.dvs, v_strides, sizeof(g.dvs))
    return attention_gradients(&a, &g, dout)


cdef cnp.ndarray checked_output(Arguments args, object out):
    """Return out, which must fit the result and not overlap an operand, or a new array."""
    cdef cnp.npy_intp[4] shape = [args.a.batch, args.a.heads, args.a.n_queries, args.a.dv]
    cdef cnp.ndarray o = shaped_output(out, "attention", "out", "q", args.typenum, 4, shape,
                                       "(batch, heads, n_queries, size of v)")
    if out is None:
        return o
    for name, x in (("q", args.q), ("k", args.k), ("v", args.v), ("mask", args.mask)):
        if x is not None:
            check_overlap(o, x, "attention", "out", name)
    return o


cdef int run_forward(const Attention *a, real *out, const int64_t *os, real *lse, real *normalizer,
                     real *weights) noexcept nogil:
    cdef int status = attention_forward(a, out, os, lse, normalizer)
    if status == OK and weights is not NULL:
        status = attention_weights(a, normalizer, weights)
    return status


def attention(q, k, v, *, causal=False, lengths=None, mask=None, scale=None, dropout_p=0.0,
              seed=None, step=0, need_weights=False, return_lse=False, return_normalizer=False,
              out=None, window=None):
    """Compute softmax attention: average the values, weighted by the softmax of a query's scores.

    Parameters
    ----------
    q : ndarray of float32 or float64, shape (batch, heads, n_queries, d)
    k : ndarray like q, shape (batch, kv_heads, n_keys, d)
    v : ndarray like q, shape (batch, kv_heads, n_keys, dv)
        Any strides; read in place if the last axis is contiguous, as in views of a projection.
        ``heads`` is a multiple of ``kv_heads``: head h attends to ``h // (heads // kv_heads)``.
    causal : bool
        A query attends to no key behind its own position; the last query is at the last key.
    lengths : integers of shape (batch,) or (batch, n_queries), optional
        Number of leading keys that a query may attend to. Keys and values beyond are not read.
    mask : ndarray, optional
        Broadcasts to the scores. Bool: True where a query may attend. Of q's type: added to the
        scores, clamped to 0.69 times the largest number of the type; only -inf hides a key. It is
        read in place: a bias of the distance is a view of (heads, 2 n_keys - 1) with a stride of -1
        along the queries.
    scale : float, optional
        Factor of the scores; default ``1 / sqrt(d)``.
    dropout_p : float
        Drop weights by this probability, depending on `seed`, `step` and their index alone.
    seed, step : int
        As for `dropout`. A seed is required unless dropout_p is 0.
    need_weights : bool
        Also return the weights, an array with an element for each score.
    return_lse : bool
        Also return the log-sum-exp, from which `attention_backward` recomputes the weights.
    return_normalizer : bool
        Also return it; it replaces lse in `attention_backward`, accurate at large offsets too.
    out : ndarray of shape (batch, heads, n_queries, dv), optional
        Any strides, such as a view of (batch, n_queries, heads, dv); overlaps no operand.
    window : int, optional
        A query attends only to keys less than this many positions from its own: with `causal` the
        last `window` keys (Beltagy et al., 2020). Blocks of other keys are neither read nor
        computed.

    Returns
    -------
    out : ndarray of shape (batch, heads, n_queries, dv)
    lse : ndarray of shape (batch, heads, n_queries), if return_lse
    normalizer : ndarray of shape (2, batch, heads, n_queries), if return_normalizer
        A shift and a factor: a query's weights are ``factor * 2**(score / log(2) - shift)``.
    weights : ndarray of shape (batch, heads, n_queries, n_keys), if need_weights

    A query that attends to no key gets zeros, zero weights and an lse of -inf. NaN and Inf in keys
    and values that are hidden from a query do not reach it; others propagate as in NumPy.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an array of float32 or float64, types differ, shapes do not fit (they
        are named), a number is out of range, or out is read-only or overlaps an operand.

    Examples
    --------
    >>> q = k = v = np.eye(2, dtype=np.float32)[None, None]  # 1 batch, 1 head, 2 positions
    >>> fastnn.attention(q, k, v, causal=True)[0, 0, 0]  # the first attends to itself alone
    array([1., 0.], dtype=float32)
    """
    cdef Arguments args = read_arguments("attention", q, k, v, causal, lengths, mask, scale,
                                         dropout_p, seed, step, window)
    cdef cnp.npy_intp[5] shape = [2, args.a.batch, args.a.heads, args.a.n_queries, args.a.n_keys]
    cdef cnp.ndarray given = checked_output(args, out), o = given
    cdef cnp.ndarray lse = None, normalizer = None, weights = None
    cdef bint with_lse = flag(return_lse, "attention", "return_lse")
    cdef bint with_normalizer = flag(return_normalizer, "attention", "return_normalizer")
    cdef bint with_weights = flag(need_weights, "attention", "need_weights")
    cdef int64_t[3] os
    cdef void *p_lse = NULL
    cdef void *p_normalizer = NULL
    cdef void *p_weights = NULL
    if cnp.PyArray_DIM(o, 3) > 1 and stride(o, 3) != 1:
        o = new_array(4, cnp.PyArray_DIMS(o), args.typenum)
    strides_of(o, os)
    if with_lse:
        lse = new_array(3, shape + 1, args.typenum)
        p_lse = cnp.PyArray_DATA(lse)
    if with_normalizer or with_weights:
        normalizer = new_array(4, shape, args.typenum)
        p_normalizer = cnp.PyArray_DATA(normalizer)
    if with_weights:
        weights = new_array(4, shape + 1, args.typenum)
        p_weights = cnp.PyArray_DATA(weights)
    check_status(
        call_typed(args.typenum, True, run_forward[float], run_forward[double], &args.a,
                   cnp.PyArray_DATA(o), os, p_lse, p_normalizer, p_weights), "attention"
    )
    if o is not given:
        cnp.PyArray_CopyInto(given, o)
    if not with_lse and not with_normalizer and not with_weights:
        return given
    results = ((given, True), (lse, with_lse), (normalizer, with_normalizer),
               (weights, with_weights))
    return tuple([x for x, wanted in results if wanted])


cdef cnp.ndarray like_output(Arguments args, object x, str name):
    cdef cnp.ndarray y = real_like(x, args.typenum, "attention_backward", name, "q")
    shape = (args.a.batch, args.a.heads, args.a.n_queries, args.a.dv)
    if np.shape(y) != shape:
        raise ValueError(f"attention_backward: {name} must have the shape {shape} of the output "
                         f"for q and v, got {np.shape(y)}")
    return contiguous_last(y)


cdef cnp.ndarray gradient_like(
    Arguments args, cnp.ndarray x, object out, str name, int64_t *strides
):
    """Return the array for the gradient of x: out, with a contiguous last axis, or a new array."""
    cdef cnp.ndarray y = shaped_output(out, "attention_backward", name, "q", args.typenum, 4,
                                       cnp.PyArray_DIMS(x), "of its operand")
    # NumPy gives an empty array strides of 0
    if cnp.PyArray_SIZE(y) > 0 and cnp.PyArray_DIM(y, 3) > 1 and stride(y, 3) != 1:
        raise ValueError(f"attention_backward: the last axis of {name} must be contiguous")
    strides_of(y, strides)
    return y


def attention_backward(dout, q, k, v, out, lse, *, causal=False, lengths=None, mask=None,
                       scale=None, dropout_p=0.0, seed=None, step=0, dq=None, dk=None, dv=None,
                       window=None, dbias=None):
    """Compute the gradients of the operands of `attention`.

    Parameters
    ----------
    dout : ndarray like out
        Gradient of the output.
    q, k, v, causal, lengths, mask, scale, dropout_p, seed, step, window
        As passed to `attention`.
    out, lse : ndarray
        As `attention` returned them; instead of lse also the normalizer. An lse beyond 16 is too
        coarse for accurate weights; the normalizer is then recomputed from the scores.
    dq, dk, dv : ndarray like q, k, v, optional
        With a contiguous last axis, as views of a fused projection's gradient; without overlap.
    dbias : ndarray of shape (heads, n_queries + n_keys - 1), optional
        The gradient of a mask whose elements are those n_queries - 1 + j - i of a bias is added.

    Returns
    -------
    dq, dk, dv : ndarray
        Same shapes as q, k and v; zero for keys without a query and queries without a key.

    Raises
    ------
    TypeError, ValueError, as `attention`.

    Examples
    --------
    >>> q = k = v = np.ones((1, 1, 2, 2), np.float32)
    >>> out, lse = fastnn.attention(q, k, v, return_lse=True)
    >>> dq, dk, dv = fastnn.attention_backward(out, q, k, v, out, lse)
    """
    cdef Arguments args = read_arguments("attention_backward", q, k, v, causal, lengths, mask,
                                         scale, dropout_p, seed, step, window)
    cdef Gradients g
    cdef cnp.ndarray d_out = like_output(args, dout, "dout"), o = like_output(args, out, "out")
    cdef cnp.ndarray sums = real_like(lse, args.typenum, "attention_backward", "lse", "q")
    if np.shape(sums) not in (np.shape(o)[:3], (2, *np.shape(o)[:3])):
        raise ValueError(f"attention_backward: lse must have the shape {np.shape(o)[:3]}, or as a "
                         f"normalizer {(2, *np.shape(o)[:3])}, got {np.shape(sums)}")
    sums = sums if cnp.PyArray_IS_C_CONTIGUOUS(sums) else cnp.PyArray_NewCopy(sums, cnp.NPY_CORDER)
    strides_of(d_out, g.dos)
    strides_of(o, g.os)
    cdef cnp.ndarray grad_q = gradient_like(args, args.q, dq, "dq", g.dqs)
    cdef cnp.ndarray grad_k = gradient_like(args, args.k, dk, "dk", g.dks)
    cdef cnp.ndarray grad_v = gradient_like(args, args.v, dv, "dv", g.dvs)
    g.dbias = bias_gradient(args, dbias)
    check_gradients_apart(args, d_out, o, sums, (("dq", dq), ("dk", dk), ("dv", dv),
                                                 ("dbias", dbias)))
    g.dout, g.out, g.lse, g.normalizer = cnp.PyArray_DATA(d_out), cnp.PyArray_DATA(o), NULL, NULL
    if cnp.PyArray_NDIM(sums) == 3:
        g.lse = cnp.PyArray_DATA(sums)
    else:
        g.normalizer = cnp.PyArray_DATA(sums)
    g.dq, g.dk, g.dv = cnp.PyArray_DATA(grad_q), cnp.PyArray_DATA(grad_k), cnp.PyArray_DATA(grad_v)
    check_status(
        call_typed(args.typenum, True, attention_gradients[float], attention_gradients[double],
                   &args.a, &g, NULL), "attention_backward"
    )
    return grad_q, grad_k, grad_v


cdef int check_gradients_apart(
    Arguments args, cnp.ndarray dout, cnp.ndarray out, cnp.ndarray lse, tuple given
) except -1:
    """Raise ValueError if a given gradient overlaps an input or another of them."""
    cdef int i, j
    read = (("q", args.q), ("k", args.k), ("v", args.v), ("dout", dout), ("out", out), ("lse", lse),
            ("mask", args.mask))
    for i in range(4):
        for name, x in (*read, *given[:i]) if given[i][1] is not None else ():
            if x is not None:
                check_overlap(<cnp.ndarray>given[i][1], <cnp.ndarray>x, "attention_backward",
                              given[i][0], name)
    return 0
