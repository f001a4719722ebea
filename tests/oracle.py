"""Plain NumPy in float64: what the kernels should return."""

import numpy as np


def visible(batch, n_queries, n_keys, causal=False, lengths=None):
    """Which keys a query may attend to, (batch, 1, n_queries, n_keys)."""
    seen = np.ones((batch, 1, n_queries, n_keys), bool)
    if causal:
        seen &= np.arange(n_keys) <= np.arange(n_queries)[:, None] + n_keys - n_queries
    if lengths is not None:
        lengths = np.asarray(lengths).reshape(batch, -1 if batch else 1)
        seen &= np.arange(n_keys) < lengths[:, None, :, None]
    return seen


def attention_weights(q, k, *, causal=False, lengths=None, mask=None, scale=None):
    """softmax(scale q k^T + mask), (batch, heads, n_queries, n_keys); rows without a key are 0."""
    q, k = q.astype(np.float64), np.repeat(k.astype(np.float64), q.shape[1] // k.shape[1], 1)
    scale = 1 / np.sqrt(max(1, q.shape[-1])) if scale is None else scale
    seen = visible(q.shape[0], q.shape[2], k.shape[2], causal, lengths)
    with np.errstate(invalid="ignore", over="ignore"):
        scores = scale * (q @ k.swapaxes(2, 3))
        if mask is not None and mask.dtype == bool:
            seen = seen & mask
        elif mask is not None:
            seen = seen & (mask != -np.inf)
            scores = scores + mask
        scores = np.where(seen, scores, -np.inf)
        if scores.shape[-1] == 0:
            return scores
        top = scores.max(-1, keepdims=True)
        p = np.exp(scores - np.where(top == -np.inf, 0, top))
    total = p.sum(-1, keepdims=True)
    return p / np.where(total == 0, 1, total)


def attention(q, k, v, **options):
    """softmax(scale q k^T + mask) v, (batch, heads, n_queries, dv)."""
    group = q.shape[1] // v.shape[1]
    return attention_weights(q, k, **options) @ np.repeat(v.astype(np.float64), group, 1)


def attention_backward(dout, q, k, v, *, kept=1, **options):
    """dq, dk, dv; kept are the factors of dropout."""
    batch, kv_heads, n_keys, d = k.shape
    group = q.shape[1] // kv_heads
    p = attention_weights(q, k, **options)
    q, dout = q.astype(np.float64), dout.astype(np.float64)
    k, v = (np.repeat(x.astype(np.float64), group, 1) for x in (k, v))
    dp = kept * (dout @ v.swapaxes(2, 3))
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    ds *= 1 / np.sqrt(max(1, d)) if options.get("scale") is None else options["scale"]
    dk, dv = ds.swapaxes(2, 3) @ q, (kept * p).swapaxes(2, 3) @ dout
    shape = (batch, kv_heads, group, n_keys, -1)
    return ds @ k, dk.reshape(*shape[:-1], d).sum(2), dv.reshape(*shape[:-1], v.shape[3]).sum(2)
