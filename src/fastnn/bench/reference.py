"""References in float64: layers in NumPy, whose gradients a `Tensor` passes back by itself.

Written to be read, and independent of every library that is compared. `gradients` makes the
reference of a forward and backward pass from the forward pass alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from math import sqrt
from typing import Any

import numpy as np

from .operations import ADAM

EPS = 1e-5
Parameters = Mapping[str, "Tensor"]
_orders = count()


class Tensor:
    """An array with the operations on it recorded, so that `backward` can undo them.

    ``parents`` are pairs of a tensor and a function from this gradient to the parent's.
    """

    __array_ufunc__ = None  # array * tensor is the tensor's

    def __init__(self, value: Any, *parents: tuple[Tensor, Callable[[Any], Any]]) -> None:
        self.value, self.parents = np.asarray(value, float), parents
        self.order, self.grad = next(_orders), np.zeros(())

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def backward(self, gradient: Any = 1.0) -> None:
        """Add to the gradient of every tensor that this one was computed from."""
        reached, todo = {self}, [self]
        while todo:
            for parent, _ in todo.pop().parents:
                if parent not in reached:
                    reached.add(parent)
                    todo.append(parent)
        self.grad = np.broadcast_to(gradient, self.shape)
        for tensor in sorted(reached, key=lambda tensor: -tensor.order):
            for parent, back in tensor.parents:
                parent.grad = parent.grad + back(tensor.grad)
            if tensor.parents:
                tensor.grad = np.zeros(())  # only those of the leaves are read

    def __add__(self, other: Any) -> Tensor:
        b = other if isinstance(other, Tensor) else Tensor(other)
        parents = [(x, lambda g, x=x: _sum_to(g, x.shape)) for x in (self, b)]
        return Tensor(self.value + b.value, *parents)

    def __mul__(self, other: Any) -> Tensor:
        b = other if isinstance(other, Tensor) else Tensor(other)
        pairs = ((self, b), (b, self))
        parents = [(x, lambda g, x=x, y=y: _sum_to(g * y.value, x.shape)) for x, y in pairs]
        return Tensor(self.value * b.value, *parents)

    def __matmul__(self, other: Tensor) -> Tensor:
        a, b = self.value, other.value
        of_a, of_b = (lambda g: g @ b.swapaxes(-1, -2)), (lambda g: a.swapaxes(-1, -2) @ g)
        return Tensor(a @ b, (self, of_a), (other, of_b))

    def __getitem__(self, at: Any) -> Tensor:
        def back(g: Any) -> Any:
            whole = np.zeros(self.shape)
            np.add.at(whole, at, g)
            return whole

        return Tensor(self.value[at], (self, back))

    __radd__, __rmul__ = __add__, __mul__

    def mean(self) -> Tensor:
        """Return the mean of the last axis, which stays."""
        n, shape = self.shape[-1], self.shape
        mean = self.value.mean(-1, keepdims=True)
        return Tensor(mean, (self, lambda g: np.broadcast_to(g / n, shape)))

    def each(self, value: Any, slope: Any) -> Tensor:
        """Return a function of each element, given with its slope."""
        return Tensor(value, (self, lambda g: g * slope))

    def reshape(self, *shape: int) -> Tensor:
        return Tensor(self.value.reshape(shape), (self, lambda g: g.reshape(self.shape)))

    def swap(self, i: int, j: int) -> Tensor:
        return Tensor(self.value.swapaxes(i, j), (self, lambda g: g.swapaxes(i, j)))

    def split(self, n: int) -> list[Tensor]:
        """Return n equal parts of the last axis."""

        def back(i: int) -> Callable[[Any], Any]:
            return lambda g: np.concatenate([g if i == j else 0 * g for j in range(n)], -1)

        parts = np.split(self.value, n, -1)
        return [Tensor(part, (self, back(i))) for i, part in enumerate(parts)]


def _sum_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes along which an array of that shape was broadcast."""
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    axes = tuple(i for i, n in enumerate(shape) if n < gradient.shape[i])
    return gradient.sum(axes, keepdims=True)


def gradients(forward: Callable[..., Tensor], names: str) -> Callable[..., tuple[Any, ...]]:
    """Return ``reference(dy, **inputs)``: y of the forward pass, and gradients of named inputs."""

    def reference(dy: np.ndarray, **inputs: np.ndarray) -> tuple[Any, ...]:
        leaves = {name: Tensor(x) for name, x in inputs.items()}
        y = forward(**leaves)
        y.backward(dy)
        return y.value, *(leaves[name].grad for name in names.split())

    return reference


# Functions and layers


def relu(x: Tensor) -> Tensor:
    return x.each(np.maximum(x.value, 0), x.value > 0)


def gelu(x: Tensor) -> Tensor:
    from scipy.special import ndtr

    phi = ndtr(x.value)
    density = np.exp(-x.value * x.value / 2) / sqrt(2 * np.pi)
    return x.each(x.value * phi, phi + x.value * density)


def softmax(x: Tensor, seen: Any = True) -> Tensor:
    """Return the softmax of the last axis over what is seen."""
    s = np.where(seen, x.value, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return Tensor(p, (x, lambda g: p * (g - (p * g).sum(-1, keepdims=True))))


def normalized(x: Tensor, rms: bool = False) -> Tensor:
    """Return x, centred unless ``rms``, over the root of its mean square."""
    h = x if rms else x + -1.0 * x.mean()
    v = (h * h).mean()
    root = np.sqrt(v.value + EPS)
    return h * v.each(1 / root, -0.5 / root**3)


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Any = True) -> Tensor:
    """Return softmax(q k' / sqrt d) v of (..., T, d) arrays."""
    return softmax(q @ k.swap(-1, -2) * (1 / sqrt(q.shape[-1])), seen) @ v


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    """Apply the weight (in, out), and the bias if there is one."""
    w, rows = p[f"{name}.weight"], x.reshape(-1, x.shape[-1])
    y = rows @ w + p[f"{name}.bias"] if f"{name}.bias" in p else rows @ w
    return y.reshape(*x.shape[:-1], w.shape[1])


def norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    y = normalized(x) * p[f"{name}.weight"]
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def feed_forward(p: Parameters, name: str, x: Tensor, activation: Any) -> Tensor:
    return linear(p, f"{name}.down", activation(linear(p, f"{name}.up", x)))


def attention(
    p: Parameters, name: str, x: Tensor, heads: int, seen: Any, memory: Tensor | None = None
) -> Tensor:
    """Let x (B, T, heads d) attend to itself, or to a memory."""
    if memory is None:
        parts = linear(p, f"{name}.qkv", x).split(3)
    else:
        parts = [linear(p, f"{name}.q", x), *linear(p, f"{name}.kv", memory).split(2)]
    q, k, v = (part.reshape(*part.shape[:2], heads, -1).swap(1, 2) for part in parts)
    return linear(p, f"{name}.out", attend(q, k, v, seen).swap(1, 2).reshape(*x.shape))


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> tuple[Any, np.ndarray]:
    """Return the mean loss over targets >= 0, and the gradient of the logits (rows, classes)."""
    counted = np.flatnonzero(targets >= 0)
    d = logits - logits.max(-1, keepdims=True)
    g = np.exp(d)
    total = g.sum(-1, keepdims=True)
    g /= total
    picked = (1 - smoothing) * d[counted, targets[counted]] + smoothing * d.mean(-1)[counted]
    loss = (np.log(total[counted, 0]) - picked).mean()
    g -= smoothing / logits.shape[-1]
    g[counted, targets[counted]] -= 1 - smoothing
    g[targets < 0] = 0
    return loss, g / len(counted)


def adam(p: np.ndarray, g: np.ndarray, decay: float = 0.0) -> tuple[np.ndarray, ...]:
    """Return p and the moments after the first step, from moments of zero."""
    beta1, beta2 = ADAM["betas"]
    p = p * (1 - ADAM["lr"] * decay) - ADAM["lr"] * g / (np.abs(g) + ADAM["eps"])
    return p, (1 - beta1) * g, (1 - beta2) * g * g
