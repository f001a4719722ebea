"""Transformers in NumPy: parameters, one training step, one decode step.

Written to be read: each layer is a function that returns its output and its backward function.
Parameters are named as in fastnn's models, weights are (in, out).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..operations import ADAM, Arrays, Shape

# nanoGPT's settings: vocabulary of characters, weight decay and gradient clipping.
CHARACTERS, DECAY, MAX_NORM = 65, 0.1, 1.0
LABEL_SMOOTHING = 0.1
EPS = 1e-5
Back = Callable[[np.ndarray], np.ndarray]


class Layers:
    """Layers over named parameters; gradients accumulate by name in `grads`."""

    def __init__(self, parameters: Mapping[str, np.ndarray], heads: int) -> None:
        self.parameters, self.heads = parameters, heads
        self.grads = {name: np.zeros_like(value) for name, value in parameters.items()}

    def linear(self, name: str, x: np.ndarray) -> tuple[np.ndarray, Back]:
        w, b = self.parameters[f"{name}.weight"], self.parameters.get(f"{name}.bias")
        rows = x.reshape(-1, len(w))

        def back(dy: np.ndarray) -> np.ndarray:
            dy = dy.reshape(-1, w.shape[1])
            self.grads[f"{name}.weight"] += rows.T @ dy
            if b is not None:
                self.grads[f"{name}.bias"] += dy.sum(0)
            return (dy @ w.T).reshape(x.shape)

        y = rows @ w if b is None else rows @ w + b
        return y.reshape(*x.shape[:-1], -1), back

    def norm(self, name: str, x: np.ndarray) -> tuple[np.ndarray, Back]:
        w, b = self.parameters[f"{name}.weight"], self.parameters.get(f"{name}.bias")
        centred = x - x.mean(-1, keepdims=True)
        inverse = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPS)
        unit = centred * inverse

        def back(dy: np.ndarray) -> np.ndarray:
            self.grads[f"{name}.weight"] += (dy * unit).reshape(-1, len(w)).sum(0)
            if b is not None:
                self.grads[f"{name}.bias"] += dy.reshape(-1, len(w)).sum(0)
            g = dy * w
            along = (g * unit).mean(-1, keepdims=True)
            return inverse * (g - g.mean(-1, keepdims=True) - unit * along)

        return (unit * w if b is None else unit * w + b), back

    def feed_forward(self, name: str, x: np.ndarray, activation: str) -> tuple[np.ndarray, Back]:
        z, back_up = self.linear(f"{name}.up", x)
        h, slope = _gelu(z) if activation == "gelu" else (np.maximum(z, 0), z > 0)
        y, back_down = self.linear(f"{name}.down", h)
        return y, lambda dy: back_up(back_down(dy) * slope)

    def attention(
        self, name: str, x: np.ndarray, *, causal: bool = False, lengths: Any = None
    ) -> tuple[np.ndarray, Back]:
        """Apply self-attention; the columns of its first weight are queries, keys, values."""
        qkv, back_in = self.linear(f"{name}.qkv", x)
        y, back_heads = self._heads(*np.split(qkv, 3, -1), causal, lengths)
        y, back_out = self.linear(f"{name}.out", y)
        return y, lambda dy: back_in(np.concatenate(back_heads(back_out(dy)), -1))

    def cross_attention(
        self, name: str, x: np.ndarray, memory: np.ndarray, lengths: Any = None
    ) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
        """Let x attend to memory; backward returns the gradients of both."""
        q, back_q = self.linear(f"{name}.q", x)
        kv, back_kv = self.linear(f"{name}.kv", memory)
        y, back_heads = self._heads(q, *np.split(kv, 2, -1), False, lengths)
        y, back_out = self.linear(f"{name}.out", y)

        def back(dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            dq, dk, dv = back_heads(back_out(dy))
            return back_q(dq), back_kv(np.concatenate((dk, dv), -1))

        return y, back

    def _heads(
        self, q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool, lengths: Any
    ) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[np.ndarray, ...]]]:
        """Return softmax(q k' / sqrt d) v for each head; q, k, v (B, T, heads d)."""
        q, k, v = (_split(x, self.heads) for x in (q, k, v))
        scale = 1 / np.sqrt(q.shape[-1])
        seen = np.ones((1, 1, q.shape[2], k.shape[2]), bool)
        if causal:
            seen = np.tri(q.shape[2], k.shape[2], k.shape[2] - q.shape[2], bool)[None, None]
        if lengths is not None:
            seen = seen & (np.arange(k.shape[2]) < np.asarray(lengths)[:, None, None, None])
        p = _softmax(np.where(seen, q @ k.swapaxes(2, 3) * scale, -np.inf))

        def back(dy: np.ndarray) -> tuple[np.ndarray, ...]:
            dy = _split(dy, self.heads)
            dp = dy @ v.swapaxes(2, 3)
            ds = p * (dp - (p * dp).sum(-1, keepdims=True)) * scale
            gradients = ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ dy
            return tuple(_merge(x) for x in gradients)

        return _merge(p @ v), back


def _split(x: np.ndarray, heads: int) -> np.ndarray:
    """Split heads: (B, T, heads d) -> (B, heads, T, d)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _merge(x: np.ndarray) -> np.ndarray:
    """Merge heads: (B, heads, T, d) -> (B, T, heads d)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def _gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x Phi(x) and its derivative."""
    from scipy.special import ndtr

    phi = ndtr(x)
    return x * phi, phi + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> tuple[float, np.ndarray]:
    """Return the mean loss over targets >= 0, and the gradient of the logits."""
    classes = logits.shape[-1]
    logits, targets = logits.reshape(-1, classes), targets.ravel()
    counted = targets >= 0
    wanted = np.full(logits.shape, smoothing / classes)
    wanted[counted, targets[counted]] += 1 - smoothing
    p = _softmax(logits)
    top = logits.max(-1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    loss = -(wanted * log_p).sum(-1)[counted].sum() / counted.sum()
    return loss, (p - wanted) * counted[:, None] / counted.sum()


def sinusoids(length: int, width: int) -> np.ndarray:
    """Return sines in even and cosines in odd columns: Vaswani et al. 2017, section 3.5."""
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return np.stack((np.sin(angles), np.cos(angles)), -1).reshape(length, width)


def adam(p: np.ndarray, g: np.ndarray, decay: float = 0.0) -> np.ndarray:
    """Return p after the first step."""
    return p * (1 - ADAM["lr"] * decay) - ADAM["lr"] * g / (np.abs(g) + ADAM["eps"])


# The language model is GPT-2 without biases, as in nanoGPT. Shape = (layers, heads, width, context,
# batch).


def lm_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    _, _, _, context, batch = shape
    text = rng.integers(0, CHARACTERS, (batch, context + 1))
    return {
        "heads": np.array(shape[1]),
        "ids": text[:, :-1].copy(),
        "targets": text[:, 1:].copy(),
        **lm_parameters(shape, real, rng),
    }


def lm_parameters(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    layers, _, width, context = shape[:4]
    shapes: dict[str, Shape] = {
        "embedding.weight": (CHARACTERS, width),
        "positions.weight": (context, width),
    }
    for i in range(layers):
        block = f"blocks.{i}"
        shapes[f"{block}.attention.qkv.weight"] = (width, 3 * width)
        shapes[f"{block}.attention.out.weight"] = (width, width)
        shapes[f"{block}.norm1.weight"] = (width,)
        shapes[f"{block}.feed_forward.up.weight"] = (width, 4 * width)
        shapes[f"{block}.feed_forward.down.weight"] = (4 * width, width)
        shapes[f"{block}.norm2.weight"] = (width,)
    shapes["blocks.norm.weight"] = (width,)
    return {name: first(name, size, real, rng) for name, size in shapes.items()}


def first(name: str, shape: Shape, real: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw gains near 1, biases near 0, weights with GPT-2's deviation."""
    middle = 1.0 if "norm" in name and name.endswith("weight") else 0.0
    return rng.normal(middle, 0.02, shape).astype(real)


def lm_forward(layers: Layers, ids: np.ndarray) -> tuple[np.ndarray, Callable[..., None]]:
    """Return logits (batch, length, CHARACTERS)."""
    p, g = layers.parameters, layers.grads
    table = p["embedding.weight"]
    x = table[ids] + p["positions.weight"][: ids.shape[1]]
    backs = []
    for i in range(sum(name.endswith("qkv.weight") for name in p)):
        for norm, part in (("norm1", "attention"), ("norm2", "feed_forward")):
            h, back_norm = layers.norm(f"blocks.{i}.{norm}", x)
            if part == "attention":
                h, back_part = layers.attention(f"blocks.{i}.{part}", h, causal=True)
            else:
                h, back_part = layers.feed_forward(f"blocks.{i}.{part}", h, "gelu")
            x = x + h
            backs.append((back_norm, back_part))
    h, back_last = layers.norm("blocks.norm", x)

    def back(dlogits: np.ndarray) -> None:
        rows = dlogits.reshape(-1, len(table))
        g["embedding.weight"] += rows.T @ h.reshape(len(rows), -1)
        dx = back_last((rows @ table).reshape(h.shape))
        for back_norm, back_part in reversed(backs):
            dx = dx + back_norm(back_part(dx))
        g["positions.weight"][: ids.shape[1]] += dx.sum(0)
        np.add.at(g["embedding.weight"], ids, dx)

    return h @ table.T, back


def lm_step(
    heads: np.ndarray, ids: np.ndarray, targets: np.ndarray, **parameters: np.ndarray
) -> tuple[Any, ...]:
    """Return the loss, the gradient norm, and the positions after a clipped AdamW step."""
    layers = Layers(parameters, int(heads))
    logits, back = lm_forward(layers, ids)
    loss, dlogits = cross_entropy(logits, targets)
    back(dlogits)
    norm = np.sqrt(sum(np.vdot(g, g) for g in layers.grads.values()))
    g = layers.grads["positions.weight"] * min(1, MAX_NORM / norm)
    return loss, norm, adam(parameters["positions.weight"], g, DECAY)


def decode_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return the ids up to the position, included; (layers, heads, width, context, position)."""
    return {
        "heads": np.array(shape[1]),
        "ids": rng.integers(0, CHARACTERS, (1, shape[4] + 1)),
        **lm_parameters(shape, real, rng),
    }


def decode(heads: np.ndarray, ids: np.ndarray, **parameters: np.ndarray) -> tuple[Any, ...]:
    """Return the logits after the last id, (1, CHARACTERS)."""
    logits, _ = lm_forward(Layers(parameters, int(heads)), ids)
    return (logits[:, -1],)
