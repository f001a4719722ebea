"""Transformers in NumPy: parameters, one training step, one decode step.

Parameters are named as in fastnn's models, weights are (in, out).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ..operations import Arrays, Shape
from ..reference import Tensor, adam, attention, cross_entropy, feed_forward, gelu, norm, relu
from . import CHARACTERS, DECAY, LABEL_SMOOTHING, MAX_NORM


def _drawn(shapes: dict[str, Shape], real: Any, rng: np.random.Generator) -> Arrays:
    """Draw gains near 1, biases near 0, weights with GPT-2's deviation."""
    return {
        name: rng.normal("norm" in name and name.endswith("weight"), 0.02, shape).astype(real)
        for name, shape in shapes.items()
    }


def _leaves(parameters: Arrays) -> dict[str, Tensor]:
    return {name: Tensor(value) for name, value in parameters.items()}


# The language model is GPT-2 without biases, as in nanoGPT. Shape = (layers, heads, width, context,
# batch).


def lm_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    _, _, _, context, batch = shape
    text = rng.integers(0, CHARACTERS, (batch, context + 1))
    ids, targets = text[:, :-1].copy(), text[:, 1:].copy()
    more = _drawn(lm_shapes(*shape[:4]), real, rng)
    return {"heads": np.array(shape[1]), "ids": ids, "targets": targets, **more}


def lm_shapes(layers: int, heads: int, width: int, context: int) -> dict[str, Shape]:
    """Return the shape of each parameter."""
    shapes: dict[str, Shape] = {"embedding.weight": (CHARACTERS, width)}
    shapes["positions.weight"] = (context, width)
    for i in range(layers):
        block = _block_shapes(f"blocks.{i}", width, 4 * width)
        shapes |= {name: shape for name, shape in block.items() if name.endswith("weight")}
    return {**shapes, "blocks.norm.weight": (width,)}


def _block_shapes(block: str, width: int, hidden: int, cross: bool = False) -> dict[str, Shape]:
    """Return the shapes of a block's parameters, biases included."""
    columns = {"attention.qkv": 3 * width, "attention.out": width, "norm1": None}
    if cross:
        columns |= {"cross_attention.q": width, "cross_attention.kv": 2 * width}
        columns |= {"cross_attention.out": width, "norm2": None}
    columns |= {"feed_forward.up": hidden, "feed_forward.down": width}
    columns |= {"norm3" if cross else "norm2": None}
    shapes: dict[str, Shape] = {}
    for name, n in columns.items():
        rows = hidden if name.endswith("down") else width
        shapes[f"{block}.{name}.weight"] = (rows,) if n is None else (rows, n)
        shapes[f"{block}.{name}.bias"] = (n or rows,)
    return shapes


def _lm_logits(p: dict[str, Tensor], heads: int, ids: np.ndarray) -> Tensor:
    """Return logits (batch * length, CHARACTERS)."""
    length, table = ids.shape[1], p["embedding.weight"]
    causal = np.tri(length, dtype=bool)
    x = table[ids] + p["positions.weight"][:length]
    for i in range(sum(name.endswith("qkv.weight") for name in p)):
        block = f"blocks.{i}"
        h = norm(p, f"{block}.norm1", x)
        x = x + attention(p, f"{block}.attention", h, heads, causal)
        x = x + feed_forward(p, f"{block}.feed_forward", norm(p, f"{block}.norm2", x), gelu)
    return norm(p, "blocks.norm", x).reshape(-1, table.shape[1]) @ table.swap(0, 1)


def lm_step(
    heads: np.ndarray, ids: np.ndarray, targets: np.ndarray, **parameters: np.ndarray
) -> tuple[Any, ...]:
    """Return the loss, the gradient norm, and the positions after a clipped AdamW step."""
    p = _leaves(parameters)
    logits = _lm_logits(p, int(heads), ids)
    loss, dlogits = cross_entropy(logits.value, targets.ravel())
    logits.backward(dlogits)
    length = np.sqrt(sum(np.vdot(leaf.grad, leaf.grad) for leaf in p.values()))
    positions = p["positions.weight"]
    return loss, length, adam(positions.value, positions.grad * min(1, MAX_NORM / length), DECAY)[0]


def decode_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return the ids up to the position, included; (layers, heads, width, context, position)."""
    ids = rng.integers(0, CHARACTERS, (1, shape[4] + 1))
    return {"heads": np.array(shape[1]), "ids": ids, **_drawn(lm_shapes(*shape[:4]), real, rng)}


def decode(heads: np.ndarray, ids: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    """Return the logits after the last id, (1, CHARACTERS)."""
    return (_lm_logits(_leaves(parameters), int(heads), ids).value[-1:],)


# The encoder-decoder of torch.nn.Transformer: post-norm, ReLU, a norm after each stack; one table
# for both sides and the head. Shape = (layers, heads, width, hidden, vocabulary, batch, length).


def sinusoids(length: int, width: int) -> np.ndarray:
    """Return sines in even and cosines in odd columns: Vaswani et al. 2017, section 3.5."""
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return np.stack((np.sin(angles), np.cos(angles)), -1).reshape(length, width)


def seq2seq_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Draw sentences of similar length, as in batches by length, padded with id 0."""
    layers, heads, width, hidden, words, batch, length = shape
    src, tgt = rng.integers(1, words, (2, batch, length))
    src_lengths, tgt_lengths = rng.integers(length - length // 8, length + 1, (2, batch))
    targets = np.concatenate((tgt[:, 1:], np.full((batch, 1), 2)), 1)
    src[np.arange(length) >= src_lengths[:, None]] = 0
    tgt[np.arange(length) >= tgt_lengths[:, None]] = 0
    targets[np.arange(length) >= tgt_lengths[:, None]] = -100
    shapes: dict[str, Shape] = {"embedding.weight": (words, width)}
    for side in ("encoder", "decoder"):
        for i in range(layers):
            shapes |= _block_shapes(f"{side}.{i}", width, hidden, side == "decoder")
        shapes |= {f"{side}.norm.weight": (width,), f"{side}.norm.bias": (width,)}
    ids = {"src": src, "tgt": tgt, "src_lengths": src_lengths, "targets": targets}
    return {"heads": np.array(heads), **ids, **_drawn(shapes, real, rng)}


def _post_norm(
    p: dict[str, Tensor], name: str, x: Tensor, heads: int, activation: Any, seen: Any, *cross: Any
) -> Tensor:
    """Return the output of a post-norm block; `cross` is what is seen of a memory, and that."""
    x, last = norm(p, f"{name}.norm1", x + attention(p, f"{name}.attention", x, heads, seen)), 2
    if cross:
        h = attention(p, f"{name}.cross_attention", x, heads, *cross)
        x, last = norm(p, f"{name}.norm2", x + h), 3
    h = feed_forward(p, f"{name}.feed_forward", x, activation)
    return norm(p, f"{name}.norm{last}", x + h)


def _seq2seq_logits(
    p: dict[str, Tensor], heads: int, src: np.ndarray, tgt: np.ndarray, src_lengths: np.ndarray
) -> Tensor:
    table = p["embedding.weight"]
    width, n_layers = table.shape[1], sum("cross_attention.kv.weight" in name for name in p)
    seen = np.arange(src.shape[1]) < src_lengths[:, None, None, None]
    causal = np.tri(tgt.shape[1], dtype=bool)

    def embedded(ids: np.ndarray) -> Tensor:
        return table[ids] * sqrt(width) + sinusoids(ids.shape[1], width)

    x = embedded(src)
    for i in range(n_layers):
        x = _post_norm(p, f"encoder.{i}", x, heads, relu, seen)
    memory, x = norm(p, "encoder.norm", x), embedded(tgt)
    for i in range(n_layers):
        x = _post_norm(p, f"decoder.{i}", x, heads, relu, causal, seen, memory)
    return norm(p, "decoder.norm", x).reshape(-1, width) @ table.swap(0, 1)


def seq2seq_step(
    heads: np.ndarray,
    src: np.ndarray,
    tgt: np.ndarray,
    src_lengths: np.ndarray,
    targets: np.ndarray,
    **parameters: np.ndarray,
) -> tuple[Any, ...]:
    """Return the loss, the gradient of the shared table, and the table after Adam's step."""
    p = _leaves(parameters)
    logits = _seq2seq_logits(p, int(heads), src, tgt, src_lengths)
    loss, dlogits = cross_entropy(logits.value, targets.ravel(), LABEL_SMOOTHING)
    logits.backward(dlogits)
    table = p["embedding.weight"]
    return loss, table.grad, adam(table.value, table.grad)[0]


# An encoder of sentences, as MiniLM: post-norm, GELU, the mean of the vectors of a text's tokens.
# Shape = (layers, heads, width, hidden, vocabulary, texts, longest).


def encode_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Draw texts of 8 tokens up to the longest, padded with id 0."""
    layers, heads, width, hidden, words, texts, longest = shape
    lengths = rng.integers(8, longest + 1, texts)
    lengths[0] = longest
    ids = rng.integers(1, words, (texts, longest))
    ids[np.arange(longest) >= lengths[:, None]] = 0
    shapes: dict[str, Shape] = {"embedding.weight": (words, width)}
    shapes |= {"positions.weight": (longest, width), "norm.weight": (width,), "norm.bias": (width,)}
    for i in range(layers):
        shapes |= _block_shapes(f"blocks.{i}", width, hidden)
    return {"heads": np.array(heads), "ids": ids, "lengths": lengths, **_drawn(shapes, real, rng)}


def encode(
    heads: np.ndarray, ids: np.ndarray, lengths: np.ndarray, **parameters: np.ndarray
) -> tuple[Any, ...]:
    """Return a vector for each text."""
    p, is_token = _leaves(parameters), np.arange(ids.shape[1]) < lengths[:, None]
    x = norm(p, "norm", p["embedding.weight"][ids] + p["positions.weight"])
    for i in range(sum(name.endswith("qkv.weight") for name in p)):
        x = _post_norm(p, f"blocks.{i}", x, int(heads), gelu, is_token[:, None, None])
    return ((x.value * is_token[..., None]).sum(1) / lengths[:, None],)
