"""Training with products in bfloat16: only operands are rounded, everything else is float32.

For y = x W + b and the gradient dz of x W + b, with r(x) the bfloat16 nearest to x:

    y = r(x) r(W) + b        dx = r(dz) r(W)^T        dW += r(x)^T r(dz)        db += sum of dz
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_choice
from ..keywords import explained
from .randomness import in_inference

Array = NDArray[Any]

PRECISIONS = (None, "float32", "bf16")
_products: ContextVar[str | None] = ContextVar("fastnn_products", default=None)


@explained
@contextmanager
def precision(products: str | None) -> Iterator[None]:
    """Compute the products of linear layers in bfloat16 inside the block, in training.

    It holds for `forward`, `backward` and `loss_and_grad` of layers and models of float32: those of
    `nn.Linear`, so also of attention's projections and feed-forward networks, and of the logits of
    token models. Their operands are rounded to bfloat16 and the products are summed in float32.
    Weights, gradients, activations, attention, norms, losses and the optimizer stay float32, as
    does inference. It applies to this thread (or asyncio task) only and may be nested.

    Each pass has the precision of the block that it runs in. Results are the same on every CPU but
    for the order of sums; `fastnn.fit` has it as an option. docs/low-precision.md says when it is
    faster.

    Parameters
    ----------
    products : {"bf16", "float32"}
        "float32" (or None) ends an outer block's "bf16".

    Raises
    ------
    ValueError
        `products` is unknown.

    Examples
    --------
    >>> layer, x = nn.Linear(2, 1, rng=0), np.float32([[1.001, 1]])
    >>> layer.weight.data[...] = 1
    >>> with nn.precision("bf16"):
    ...     layer.forward(x)[0]
    array([[2.]], dtype=float32)
    """
    token = _products.set(check_choice("products", products, PRECISIONS))
    try:
        yield
    finally:
        _products.reset(token)


def is_bf16(x: Array | None = None) -> bool:
    """True in a training pass in bfloat16, if x is float32."""
    if _products.get() != "bf16" or in_inference():
        return False
    return x is None or x.dtype == np.float32


def rounded(x: Array) -> Array:
    """Return the bfloat16 numbers nearest to x, as float32."""
    return kernels.widen(kernels.narrow(x))


def packed(w: Array) -> kernels.PackedMatrix:
    """Return the right operand of a product, rounded."""
    return kernels.pack(w, "bf16")


def product(a: Array, b: Array) -> Array:
    """Return a b, for a (..., k) and b (k, n)."""
    return kernels.matmul(rounded(a), packed(b)) if is_bf16(a) else kernels.matmul(a, b)


def add_bf16(a: Array, b: Array, c: Array, scale: float = 1.0, store: bool = False) -> None:
    """Add c += scale r(a)^T r(b); with `store`, c is not read."""
    found = kernels.matmul(rounded(a).T, packed(b))
    if scale != 1:
        found *= found.dtype.type(scale)
    if store:
        c[...] = found
    else:
        np.add(c, found, out=c)


def backward_bf16(
    dy: Array,
    x: Array,
    w: Array,
    *,
    dw: Array | None,
    store_dw: bool,
    db: Array | None,
    activation: Any,
    need_dx: bool,
    overwrite_dy: bool,
    **saved: Any,
) -> Array | None:
    """`kernels.linear_backward` with products in bfloat16."""
    dz = dy
    if activation is not None:
        dz = np.ascontiguousarray(dy) if overwrite_dy else np.array(dy, order="C")
    # no columns of x: the derivative of the activation in place, and db
    how: dict[str, Any] = {"activation": activation, "overwrite_dy": activation is not None}
    kernels.linear_backward(dz, x[:, :0], w[:0], db=db, need_dx=False, **how, **saved)
    if dw is not None:
        add_bf16(x, dz, dw, store=store_dw)
    return product(dz, w.T) if need_dx else None
