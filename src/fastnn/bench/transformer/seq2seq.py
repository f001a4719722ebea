"""The encoder-decoder in NumPy: parameters and one training step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..operations import Arrays, Shape
from .reference import LABEL_SMOOTHING, Back, Layers, adam, cross_entropy, first, sinusoids

# The encoder-decoder of torch.nn.Transformer: post-norm, ReLU, a norm after each stack; one table
# for both sides and the head. Shape = (layers, heads, width, hidden, vocabulary, batch, length).


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
            shapes |= _block_shapes(f"{side}.{i}", width, hidden, cross=side == "decoder")
        shapes |= {f"{side}.norm.weight": (width,), f"{side}.norm.bias": (width,)}
    return {
        "heads": np.array(heads),
        "src": src,
        "tgt": tgt,
        "src_lengths": src_lengths,
        "targets": targets,
        **{name: first(name, size, real, rng) for name, size in shapes.items()},
    }


def _block_shapes(block: str, width: int, hidden: int, cross: bool) -> dict[str, Shape]:
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


def seq2seq_step(
    heads: np.ndarray,
    src: np.ndarray,
    tgt: np.ndarray,
    src_lengths: np.ndarray,
    targets: np.ndarray,
    **parameters: np.ndarray,
) -> tuple[Any, ...]:
    """Return the loss, the gradient of the shared table, and the table after Adam's step."""
    layers = Layers(parameters, int(heads))
    table = parameters["embedding.weight"]
    g = layers.grads["embedding.weight"]
    n_layers = sum("cross_attention.kv.weight" in name for name in parameters)
    width, scale = table.shape[1], np.sqrt(table.shape[1])
    backs = []

    def add_norm(name: str, x: np.ndarray, h: np.ndarray, back_h: Back) -> np.ndarray:
        y, back = layers.norm(name, x + h)
        backs.append((back, back_h))
        return y

    x = table[src] * scale + sinusoids(src.shape[1], width)
    for i in range(n_layers):
        block = f"encoder.{i}"
        attended = layers.attention(f"{block}.attention", x, lengths=src_lengths)
        x = add_norm(f"{block}.norm1", x, *attended)
        x = add_norm(f"{block}.norm2", x, *layers.feed_forward(f"{block}.feed_forward", x, "relu"))
    memory, back_memory = layers.norm("encoder.norm", x)
    dmemory = np.zeros_like(memory)

    def to_memory(back_cross: Any) -> Back:
        def back(dy: np.ndarray) -> np.ndarray:
            dx, dm = back_cross(dy)
            np.add(dmemory, dm, out=dmemory)
            return dx

        return back

    encoder_backs, backs = backs, []
    x = table[tgt] * scale + sinusoids(tgt.shape[1], width)
    for i in range(n_layers):
        block = f"decoder.{i}"
        x = add_norm(f"{block}.norm1", x, *layers.attention(f"{block}.attention", x, causal=True))
        h, back_cross = layers.cross_attention(f"{block}.cross_attention", x, memory, src_lengths)
        x = add_norm(f"{block}.norm2", x, h, to_memory(back_cross))
        x = add_norm(f"{block}.norm3", x, *layers.feed_forward(f"{block}.feed_forward", x, "relu"))
    h, back_last = layers.norm("decoder.norm", x)
    loss, dlogits = cross_entropy(h @ table.T, targets, LABEL_SMOOTHING)

    g += dlogits.T @ h.reshape(-1, width)
    dx = _down(backs, back_last((dlogits @ table).reshape(h.shape)))
    np.add.at(g, tgt, dx * scale)
    dx = _down(encoder_backs, back_memory(dmemory))
    np.add.at(g, src, dx * scale)
    return loss, g, adam(table, g)


def _down(backs: list[tuple[Back, Back]], dx: np.ndarray) -> np.ndarray:
    """Run backward through blocks of norm(x + part(x))."""
    for back_norm, back_part in reversed(backs):
        dh = back_norm(dx)
        dx = dh + back_part(dh)
    return dx
