"""Heads of attention: views of vectors by head, and the checks of sizes and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count, to_array
from .module import Shapes
from .normalization import RMSNorm
from .registry import prefixed

Array = NDArray[Any]


def split_heads(x: Array, n_heads: int) -> Array:
    """Return x (B, T, n_heads * head_dim) as a view (B, n_heads, T, head_dim)."""
    B, T, d = x.shape
    return x.reshape(B, T, n_heads, d // n_heads).transpose(0, 2, 1, 3)


def norm_heads(norm: RMSNorm, x: Array) -> tuple[Array, Any]:
    """Return the norms of heads of x (B, T, columns), each of norm.dim columns, and the context."""
    y, ctx = norm.forward(x.reshape(*x.shape[:2], -1, norm.dim))
    return y.reshape(x.shape), ctx


def by_head(
    q: Array, kv: Array, n_heads: int, n_kv_heads: int, norms: Sequence[RMSNorm]
) -> tuple[Array, Array, Array, list[Any]]:
    """Return q, k and v by head, q and k normalized, and a list of what backward needs if any."""
    k, v = np.split(kv, 2, axis=-1)
    contexts = []
    if norms:
        (q, ctx_q), (k, ctx_k) = map(norm_heads, norms, (q, k))
        contexts.append((ctx_q, ctx_k))
    return split_heads(q, n_heads), split_heads(k, n_kv_heads), split_heads(v, n_kv_heads), contexts


def norm_heads_backward(norm: RMSNorm, dy: Array, ctx: Any) -> Array:
    """Return the gradient of x (B, T, columns) of `norm_heads`."""
    dx = norm.backward(dy.reshape(ctx[0].shape), ctx)
    assert dx is not None
    return dx.reshape(dy.shape)


def check_vectors(name: str, x: Array, d: int | None) -> None:
    """Raise TypeError or ValueError unless x is an array (B, T, d)."""
    if not isinstance(x, np.ndarray):
        hint = to_array(x, name.split()[-1])
        raise TypeError(f"{name} must be a NumPy array, got {type(x).__name__}{hint}")
    if x.ndim != 3 or x.shape[-1] != d:
        raise ValueError(f"{name} must be (batch, positions, {d}), got {x.shape}")


def check_heads(d_model: int, n_heads: int, n_kv_heads: int, head_dim: int | None = None) -> int:
    """Return the size of a head, by default d_model / n_heads.

    Raises ValueError unless n_kv_heads divides n_heads and, without head_dim, n_heads d_model.
    """
    if head_dim is None and d_model % n_heads:
        raise ValueError(
            f"d_model {d_model} must be a multiple of n_heads {n_heads}, or head_dim be given"
        )
    if n_heads % n_kv_heads:
        raise ValueError(f"n_heads {n_heads} must be a multiple of n_kv_heads {n_kv_heads}")
    return d_model // n_heads if head_dim is None else check_count("head_dim", head_dim)


def linear_shapes(sizes: dict[str, tuple[int, int]], bias: bool, dtype: str) -> Shapes:
    """Return name -> (shape, dtype) of the parameters of linear layers of these (in, out) sizes."""
    shapes: Shapes = {}
    for name, (n, m) in sizes.items():
        shapes[f"{name}.weight"] = ((n, m), dtype)
        if bias:
            shapes[f"{name}.bias"] = ((m,), dtype)
    return shapes


def attention_shapes(fields: dict[str, Any]) -> Shapes:
    """Return the shapes of the parameters of `MultiHeadAttention`."""
    d, n_heads, n_kv_heads = (
        check_count(name, fields[name]) for name in ("d_model", "n_heads", "n_kv_heads")
    )
    size = check_heads(d, n_heads, n_kv_heads, fields.get("head_dim"))
    d_q, d_kv, d_memory = n_heads * size, 2 * n_kv_heads * size, fields["d_memory"]
    bias, dtype, how = fields["bias"], fields["dtype"], fields.get("qk_norm")
    qkv_bias = bias if fields.get("qkv_bias") is None else fields["qkv_bias"]
    inner = (
        {"qkv": (d, d_q + d_kv)} if d_memory is None else {"q": (d, d_q), "kv": (d_memory, d_kv)}
    )
    shapes = linear_shapes(inner, qkv_bias, dtype)
    if how is not None:
        sizes = (size, size) if how == "head" else (d_q, d_kv // 2)
        names = zip(("q_norm", "k_norm"), sizes, strict=True)
        shapes |= prefixed({name: {"weight": ((n,), dtype)} for name, n in names})
    return shapes | linear_shapes({"out": (d_q, d)}, bias, dtype)
