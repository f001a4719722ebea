"""Softmax attention beside PyTorch's ``scaled_dot_product_attention``.

The kernels are forward, forward with backward, lengths and decode. Shapes are (batch, heads,
length, size); the kernel's name says if it is causal. ``attention_lengths`` has lengths drawn from
1 to T, which PyTorch takes as a boolean mask. ``attention_decode`` is one query against ``length``
keys.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..operations import Arrays, Operation, Shape, size


def _inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {name: rng.standard_normal(shape, real) for name in "qkv"}


def _passes_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {**_inputs(shape, real, rng), "dout": rng.standard_normal(shape, real)}


def _lengths_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    return {**_inputs(shape, real, rng), "lengths": rng.integers(1, shape[2] + 1, shape[0])}


def _decode_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    arrays = _inputs(shape, real, rng)
    return {**arrays, "q": arrays["q"][:, :, :1].copy()}


def _by_head(function: Any, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Apply a function of (n, d) arrays to each head, one at a time to save memory."""
    heads = zip(*(x.reshape(-1, *x.shape[2:]) for x in arrays), strict=True)
    results = zip(*(function(*head) for head in heads), strict=True)
    lead = arrays[0].shape[:2]
    return tuple(np.stack(r).reshape(*lead, *r[0].shape) for r in results)


def _weights(q: np.ndarray, k: np.ndarray, seen: np.ndarray) -> np.ndarray:
    s = np.where(seen, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def _seen(n: int, causal: bool) -> np.ndarray:
    return np.tri(n, dtype=bool) if causal else np.ones((1, n), bool)


def _forward(q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool) -> tuple[Any, ...]:
    seen = _seen(k.shape[2], causal)
    return _by_head(lambda q, k, v: (_weights(q, k, seen) @ v,), q, k, v)


def _passes(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, dout: np.ndarray, causal: bool
) -> tuple[Any, ...]:
    seen = _seen(k.shape[2], causal)

    def of_head(q: np.ndarray, k: np.ndarray, v: np.ndarray, dout: np.ndarray) -> tuple[Any, ...]:
        p = _weights(q, k, seen)
        dp = dout @ v.T
        ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(q.shape[1])
        return p @ v, ds @ k, ds.T @ q, p.T @ dout

    return _by_head(of_head, q, k, v, dout)


def _with_lengths(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, lengths: np.ndarray
) -> tuple[Any, ...]:
    seen = np.arange(k.shape[2]) < lengths[:, None].astype(int)
    each = np.broadcast_to(seen[:, None, None], (*q.shape[:2], 1, k.shape[2]))
    return _by_head(lambda q, k, v, seen: (_weights(q, k, seen) @ v,), q, k, v, each)


def _decode(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[Any, ...]:
    return _forward(q, k, v, causal=False)


def _flops(shape: Shape, share: float, passes: float) -> int:
    batch, heads, n, d = shape
    return int(4 * batch * heads * n * n * d * share * passes)


def _operation(inputs: Any, reference: Any, share: float, passes: float, arrays: int) -> Operation:
    """Return an operation on a fraction `share` of the pairs; `passes` 3.5 is 7 products to 2."""
    return Operation(
        inputs,
        reference,
        lambda shape: _flops(shape, share, passes),
        lambda shape: arrays * size(shape),
        lambda shape: arrays * size(shape),
        lambda shape: 40,
        "fma",
    )


OPERATIONS = {
    "attention": _operation(_inputs, partial(_forward, causal=False), 1, 1, 4),
    "attention_causal": _operation(_inputs, partial(_forward, causal=True), 0.5, 1, 4),
    "attention_passes": _operation(_passes_inputs, partial(_passes, causal=False), 1, 3.5, 8),
    "attention_causal_passes": _operation(
        _passes_inputs, partial(_passes, causal=True), 0.5, 3.5, 8
    ),
    "attention_lengths": _operation(_lengths_inputs, _with_lengths, 0.5, 1, 4),
    "attention_decode": Operation(
        _decode_inputs,
        _decode,
        lambda shape: 4 * size(shape),
        lambda shape: 2 * size(shape),
        lambda shape: 2 * size(shape),
        lambda shape: 40,
        "read",
    ),
}
SHAPES: list[Shape] = [
    (4, 6, 256, 64),
    (8, 4, 32, 16),
    (1, 12, 1024, 64),
    (12, 6, 256, 64),
    (1, 8, 4096, 64),
    (12, 4, 64, 32),
    (1, 1, 64, 64),
    (32, 8, 20, 16),
]
TOKENS: list[Shape] = [(1, 12, 512, 64), (1, 12, 4096, 64)]
CASES = [
    ("quick", "attention", SHAPES[:2]),
    ("quick", "attention_causal_passes", SHAPES[:1]),
    ("quick", "attention_decode", TOKENS[:1]),
    *(("default", name, SHAPES[:3]) for name in OPERATIONS if name != "attention_decode"),
    *(("full", name, SHAPES) for name in OPERATIONS if name != "attention_decode"),
    ("full", "attention_decode", TOKENS),
]


def _ours(inputs: Arrays, causal: bool) -> Any:
    from fastnn import kernels
    from fastnn.kernels.ground import memory

    q, k, v = (inputs[name] for name in "qkv")
    out = memory.empty(q.shape, q.dtype)
    lengths = inputs.get("lengths")
    return lambda: (kernels.attention(q, k, v, causal=causal, lengths=lengths, out=out),)


def _ours_passes(inputs: Arrays, causal: bool) -> Any:
    from fastnn import kernels

    q, k, v, dout = (inputs[name] for name in ("q", "k", "v", "dout"))

    def call() -> tuple[Any, ...]:
        out, lse = kernels.attention(q, k, v, causal=causal, return_lse=True)
        return out, *kernels.attention_backward(dout, q, k, v, out, lse, causal=causal)

    return call


def _torch(inputs: Arrays, causal: bool) -> Any:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    q, k, v = (torch.from_numpy(inputs[name]) for name in "qkv")
    mask = None
    if "lengths" in inputs:
        seen = np.arange(k.shape[2]) < inputs["lengths"][:, None, None, None]
        mask = torch.from_numpy(seen).expand(q.shape[0], 1, q.shape[2], k.shape[2])

    def call() -> tuple[Any, ...]:
        with torch.no_grad():
            return (scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal),)

    return call


def _torch_passes(inputs: Arrays, causal: bool) -> Any:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    q, k, v = (torch.from_numpy(inputs[name]).requires_grad_() for name in "qkv")
    dout = torch.from_numpy(inputs["dout"])

    def call() -> tuple[Any, ...]:
        out = scaled_dot_product_attention(q, k, v, is_causal=causal)
        return out.detach(), *torch.autograd.grad(out, (q, k, v), dout)

    return call


def _jax(inputs: Arrays, causal: bool) -> Any:
    """Call ``jax.nn.dot_product_attention``, whose arrays are (batch, length, heads, size)."""
    import jax

    q, k, v = (jax.numpy.asarray(inputs[name].swapaxes(1, 2)) for name in "qkv")
    attend = jax.jit(partial(jax.nn.dot_product_attention, is_causal=causal))
    return lambda: (attend(q, k, v).block_until_ready().swapaxes(1, 2),)


PREPARE: dict[str, dict[str, Any]] = {
    library: {
        "attention": partial(forward, causal=False),
        "attention_causal": partial(forward, causal=True),
        "attention_passes": partial(passes, causal=False),
        "attention_causal_passes": partial(passes, causal=True),
        "attention_lengths": partial(forward, causal=False),
        "attention_decode": partial(forward, causal=False),
    }
    for library, forward, passes in (
        ("fastnn", _ours, _ours_passes),
        ("torch", _torch, _torch_passes),
    )
}
PREPARE["jax"] = {
    "attention": partial(_jax, causal=False),
    "attention_causal": partial(_jax, causal=True),
}
