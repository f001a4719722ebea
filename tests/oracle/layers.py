"""Layers of `fastnn.nn`: *Dive into Deep Learning*, chapters 5, 10 and 11.

Each function takes the layer's parameters by name and returns a function x -> (y, back), where
back(dy) returns the gradients of the inputs and adds those of the parameters to `grads`.
"""

import numpy as np

from . import elementwise, heads, rows
from .products import embedding_backward
from .real import Real, concatenate, real


class Parameters:
    """The parameters of a layer, and the gradients that backward finds."""

    def __init__(self, arrays, prefix=""):
        self.arrays, self.prefix = arrays, prefix
        self.grads = {}

    def child(self, name):
        """The parameters whose names begin with `name`; the gradients are shared."""
        part = Parameters(self.arrays, f"{self.prefix}{name}.")
        part.grads = self.grads
        return part

    def __getitem__(self, name):
        return real(self.arrays[self.prefix + name])

    def __contains__(self, name):
        return self.prefix + name in self.arrays

    def add(self, name, gradient):
        key = self.prefix + name
        self.grads[key] = self.grads[key] + gradient if key in self.grads else gradient


def chain(*layers):
    """One layer after another."""

    def forward(x):
        backs = []
        for layer in layers:
            x, back = layer(x)
            backs.append(back)

        def backward(dy):
            for back in reversed(backs):
                dy = back(dy)
            return dy

        return x, backward

    return forward


def linear(p, act=None):
    def forward(x):
        w = p["weight"]
        z = x.rows() @ w
        z = z + p["bias"] if "bias" in p else z
        y = elementwise.activation(act, z)

        def backward(dy):
            dz = dy.rows()
            if act is not None:
                saved = y if act in elementwise.FROM_OUTPUT else z
                dz = elementwise.activation_backward(act, dz, saved)
            p.add("weight", x.rows().T @ dz)
            if "bias" in p:
                p.add("bias", dz.sum(0))
            return (dz @ w.T).reshape(*x.shape)

        return y.reshape(*x.shape[:-1], w.shape[1]), backward

    return forward


def activation(name):
    def forward(x):
        y = elementwise.activation(name, x)
        saved = y if name in elementwise.FROM_OUTPUT else x
        return y, lambda dy: elementwise.activation_backward(name, dy, saved)

    return forward


def leaky_relu(slope):
    def forward(x):
        a = real(np.array([slope], x.kind.real))
        return elementwise.prelu(x, a), lambda dy: elementwise.prelu_backward(dy, x, a)[0]

    return forward


def prelu(p):
    def forward(x):
        def backward(dy):
            dx, da = elementwise.prelu_backward(dy, x, p["weight"])
            p.add("weight", da)
            return dx

        return elementwise.prelu(x, p["weight"]), backward

    return forward


def softmax(x):
    y = rows.softmax(x)
    return y, lambda dy: rows.softmax_backward(dy, y)


def log_softmax(x):
    y = rows.log_softmax(x)
    return y, lambda dy: rows.log_softmax_backward(dy, y)


def dropout(p, seed, step):
    def forward(x):
        y = elementwise.dropout(x, p, seed, step)
        return y, lambda dy: elementwise.dropout(dy, p, seed, step)

    return forward


def norm(p, kind, eps):
    """Layer or RMS norm with the weight and bias that it has."""

    def forward(x):
        weight = p["weight"] if "weight" in p else None
        bias = p["bias"] if "bias" in p else None
        y, _, _ = rows.norm(x, weight, bias, kind, eps)

        def backward(dy):
            dx, dweight, dbias = rows.norm_backward(dy, x, weight, kind, eps)
            if weight is not None:
                p.add("weight", dweight)
            if bias is not None:
                p.add("bias", dbias)
            return dx

        return y, backward

    return forward


def add_norm(p, kind, eps):
    """norm(x + residual): backward returns the gradient of the sum, for both."""
    normed = norm(p, kind, eps)
    return lambda x, residual: normed(x + residual)


def embedding(p, scale, padding_idx):
    def forward(ids):
        weight = p["weight"]

        def backward(dy):
            found = embedding_backward(ids, dy, weight.shape[0], scale, padding_idx)
            p.add("weight", found)

        return weight[ids] * scale if scale != 1 else weight[ids], backward

    return forward


def positions(n, d, kind):
    """P[i, 2j] = sin(i / 10000^(2j/d)), P[i, 2j + 1] = cos(i / 10000^(2j/d))."""
    angle = np.arange(n)[:, None] * np.longdouble(10000) ** -(np.arange(0, d, 2) / np.longdouble(d))
    table = np.empty((n, d), np.longdouble)
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)[:, : d // 2]
    off = n * 4 * np.finfo(np.float64).eps
    return Real(kind, table.astype(kind.wide), off + kind.u)


def positional_encoding(p):
    """x + P, sinusoidal or learned."""

    def forward(x):
        n, d = x.shape[1:]
        learned = "weight" in p
        table = p["weight"][:n] if learned else positions(n, d, x.kind)

        def backward(dy):
            if learned:
                rest = real(np.zeros((p["weight"].shape[0] - n, d)), x.kind.real)
                p.add("weight", concatenate([dy.sum(0), rest], 0))
            return dy

        return x + table, backward

    return forward


def split(x, n):
    """(B, T, n d) -> (B, n, T, d)."""
    b, t, d = x.shape
    return x.reshape(b, t, n, d // n).swap(1, 2)


def merge(x):
    """(B, n, T, d) -> (B, T, n d)."""
    b, n, t, d = x.shape
    return x.swap(1, 2).reshape(b, t, n * d)


def attention(p, n_heads, n_kv_heads, rotary=False, **how):
    """Projections, softmax attention by heads, and the output projection."""
    out = linear(p.child("out"))

    def forward(x, memory=None):
        d = x.shape[-1]
        d_kv = n_kv_heads * (d // n_heads)
        if memory is None:
            qkv, back_qkv = linear(p.child("qkv"))(x)
            parts = qkv[..., :d], qkv[..., d : d + d_kv], qkv[..., d + d_kv :]
        else:
            q, back_q = linear(p.child("q"))(x)
            kv, back_kv = linear(p.child("kv"))(memory)
            parts = q, kv[..., :d_kv], kv[..., d_kv:]
        q, k, v = (
            split(a, n) for a, n in zip(parts, (n_heads, n_kv_heads, n_kv_heads), strict=True)
        )
        if rotary:
            q, k = heads.rotary(q), heads.rotary(k)
        y, back_out = out(merge(heads.forward(q, k, v, **how)[0]))

        def backward(dy):
            dq, dk, dv = heads.backward(split(back_out(dy), n_heads), q, k, v, **how)
            if rotary:
                dq, dk = heads.rotary(dq, inverse=True), heads.rotary(dk, inverse=True)
            dq, dk, dv = merge(dq), merge(dk), merge(dv)
            if memory is None:
                return back_qkv(concatenate([dq, dk, dv]))
            return back_q(dq), back_kv(concatenate([dk, dv]))

        return y, backward

    return forward


def dot_product_attention(lengths=None, kept=None):
    """Attention of one head, without projections."""
    how = {"lengths": lengths, "kept": kept}

    def forward(*qkv):
        qkv = [x[:, None] for x in qkv]
        y = heads.forward(*qkv, **how)[0][:, 0]
        return y, lambda dy: tuple(x[:, 0] for x in heads.backward(dy[:, None], *qkv, **how))

    return forward


def additive_attention(p, lengths=None):
    """Projections, w . tanh(q + k), softmax over the first keys, and the mean of the values."""

    def forward(queries, keys, values):
        q, back_q = linear(p.child("q"))(queries)
        k, back_k = linear(p.child("k"))(keys)
        weights = rows.softmax(heads.additive_scores(q, k, p["w"]), lengths)
        y = weights @ values

        def backward(dy):
            dscores = rows.softmax_backward(dy @ values.T, weights, lengths)
            dq, dk, dw = heads.additive_scores_backward(dscores, q, k, p["w"])
            p.add("w", dw)
            return back_q(dq), back_k(dk), weights.T @ dy

        return y, backward

    return forward


def feed_forward(p, act):
    return chain(linear(p.child("up"), act), linear(p.child("down")))


def block(p, n_heads, n_kv_heads, act, kind, eps, norm_first, rotary, causal, how, seen=None):
    """Attention, attention to a memory if `seen` is given, and a feed-forward network.

    Each adds its result to its input; a norm follows the sum, or comes before the part.
    """
    own = attention(p.child("attention"), n_heads, n_kv_heads, rotary, causal=causal, **how)
    parts = [own, feed_forward(p.child("feed_forward"), act)]
    if seen is not None:
        cross = attention(p.child("cross_attention"), n_heads, n_kv_heads, lengths=seen["lengths"])
        parts.insert(1, lambda x: cross(x, seen["memory"]))
    norms = [norm(p.child(f"norm{i + 1}"), kind, eps) for i in range(len(parts))]

    def forward(x):
        backs = []
        for part, normed in zip(parts, norms, strict=True):
            if norm_first:
                y, back_norm = normed(x)
                y, back = part(y)
                x = x + y
            else:
                y, back = part(x)
                x, back_norm = normed(x + y)
            backs.append((back, back_norm))

        def backward(dx):
            for back, back_norm in reversed(backs):
                if norm_first:
                    dx = dx + back_norm(inner(back(dx)))
                else:
                    dx = back_norm(dx)
                    dx = dx + inner(back(dx))
            return dx

        return x, backward

    def inner(dy):
        if not isinstance(dy, tuple):
            return dy
        dy, dmemory = dy
        seen["gradient"] = dmemory + seen["gradient"] if "gradient" in seen else dmemory
        return dy

    return forward
