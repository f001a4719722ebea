"""Softmax attention beside PyTorch's ``scaled_dot_product_attention``.

The kernels are forward, forward with backward, lengths and decode. Shapes are (batch, heads,
length, size); the kernel's name says if it is causal. ``attention_lengths`` has lengths drawn from
1 to T, which PyTorch takes as a boolean mask. ``attention_decode`` is one query against ``length``
keys, or as many as a fifth number of the shape says.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..operations import Arrays, Call, Operation, Shape, autograd, normal, size
from ..reference import Tensor, attend, gradients


def _lengths_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    arrays = normal("q", "k", "v")(shape, real, rng)
    return {**arrays, "lengths": rng.integers(1, shape[2] + 1, shape[0])}


def _decode_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    arrays = normal("q", "k", "v")(shape[:4], real, rng)
    queries = shape[4] if len(shape) > 4 else 1
    return {**arrays, "q": arrays["q"][:, :, :queries].copy()}


def _by_head(function: Any, **arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Apply a function of (n, d) arrays to each head, one at a time to save memory."""
    lead = arrays["q"].shape[:2]
    heads = [{n: x[i, j] for n, x in arrays.items()} for i, j in np.ndindex(lead)]
    results = zip(*(function(**head) for head in heads), strict=True)
    return tuple(np.stack(r).reshape(*lead, *r[0].shape) for r in results)


def _forward(causal: bool = False, lengths: Any = None, **arrays: np.ndarray) -> tuple[Any, ...]:
    n = arrays["k"].shape[2]
    seen = np.tri(n, dtype=bool) if causal else np.ones((1, n), bool)
    if lengths is not None:
        each = (np.arange(n) < lengths[:, None, None, None]).repeat(arrays["q"].shape[1], axis=1)
        arrays["seen"] = each

    def of_head(q: Any, k: Any, v: Any, seen: Any = seen) -> tuple[Any, ...]:
        return (attend(Tensor(q), Tensor(k), Tensor(v), seen).value,)

    return _by_head(of_head, **arrays)


def _passes(causal: bool = False, **arrays: np.ndarray) -> tuple[Any, ...]:
    n = arrays["k"].shape[2]
    seen = np.tri(n, dtype=bool) if causal else np.ones((1, n), bool)
    return _by_head(gradients(partial(attend, seen=seen), "q k v"), **arrays)


def _operation(inputs: Any, reference: Any, share: float, passes: float, arrays: int) -> Operation:
    """Return an operation on a fraction `share` of the pairs; `passes` 3.5 is 7 products to 2."""

    def flops(shape: Shape) -> int:
        return int(4 * size(shape) * shape[2] * share * passes)

    return Operation(inputs, reference, flops, arrays, 40, "fma")


_QKV, _ALL = normal("q", "k", "v"), normal("q", "k", "v", "dy")
OPERATIONS = {
    "attention": _operation(_QKV, _forward, 1, 1, 4),
    "attention_causal": _operation(_QKV, partial(_forward, causal=True), 0.5, 1, 4),
    "attention_passes": _operation(_ALL, _passes, 1, 3.5, 8),
    "attention_causal_passes": _operation(_ALL, partial(_passes, causal=True), 0.5, 3.5, 8),
    "attention_lengths": _operation(_lengths_inputs, _forward, 0.5, 1, 4),
    "attention_decode": Operation(
        _decode_inputs, _forward, 4, lambda shape: 2 * size(shape[:4]), 40, "read"
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


def _ours(kernels: Any, inputs: Arrays, out: Any, causal: bool = False) -> Call:
    q, k, v, lengths = (inputs.get(name) for name in ("q", "k", "v", "lengths"))
    return lambda: (kernels.attention(q, k, v, causal=causal, lengths=lengths, out=out),)


def _ours_passes(kernels: Any, q: Any, k: Any, v: Any, dy: Any, causal: bool = False) -> Call:
    def call() -> tuple[Any, ...]:
        out, lse = kernels.attention(q, k, v, causal=causal, return_lse=True)
        return out, *kernels.attention_backward(dy, q, k, v, out, lse, causal=causal)

    return call


def _torch(torch: Any, q: Any, k: Any, v: Any, inputs: Arrays, causal: bool = False) -> Call:
    attention, mask = torch.nn.functional.scaled_dot_product_attention, None
    if "lengths" in inputs:
        seen = np.arange(k.shape[2]) < inputs["lengths"][:, None, None, None]
        mask = torch.from_numpy(seen).expand(q.shape[0], 1, q.shape[2], k.shape[2])

    def call() -> tuple[Any, ...]:
        with torch.no_grad():
            return (attention(q, k, v, attn_mask=mask, is_causal=causal),)

    return call


def _torch_passes(torch: Any, q: Any, k: Any, v: Any, dy: Any, causal: bool = False) -> Call:
    attention = torch.nn.functional.scaled_dot_product_attention
    return autograd(torch, lambda: attention(q, k, v, is_causal=causal), (q, k, v), dy)


def _jax(jax: Any, inputs: Arrays, causal: bool = False) -> Call:
    """Call ``jax.nn.dot_product_attention``, whose arrays are (batch, length, heads, size)."""
    q, k, v = (jax.numpy.asarray(inputs[name].swapaxes(1, 2)) for name in "qkv")
    attend = jax.jit(partial(jax.nn.dot_product_attention, is_causal=causal))
    return lambda: (attend(q, k, v).block_until_ready().swapaxes(1, 2),)


PREPARE: dict[str, dict[str, Any]] = {
    library: {
        "attention": forward,
        "attention_causal": partial(forward, causal=True),
        "attention_passes": passes,
        "attention_causal_passes": partial(passes, causal=True),
        "attention_lengths": forward,
        "attention_decode": forward,
    }
    for library, forward, passes in (
        ("fastnn", _ours, _ours_passes),
        ("torch", _torch, _torch_passes),
    )
}
PREPARE["jax"] = {"attention": _jax, "attention_causal": partial(_jax, causal=True)}
