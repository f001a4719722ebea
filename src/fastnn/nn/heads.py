"""Heads of attention: views of vectors by head, and the checks of sizes and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_flag
from .module import Shapes

Array = NDArray[Any]


def split_heads(x: Array, n_heads: int) -> Array:
    """Return x (B, T, n_heads * head_dim) as a view (B, n_heads, T, head_dim)."""
    B, T, d = x.shape
    return x.reshape(B, T, n_heads, d // n_heads).transpose(0, 2, 1, 3)


def check_vectors(name: str, x: Array, d: int | None) -> None:
    """Raise TypeError or ValueError unless x is an array (B, T, d)."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(x).__name__}")
    if x.ndim != 3 or x.shape[-1] != d:
        raise ValueError(f"{name} must be (batch, positions, {d}), got {x.shape}")


def check_heads(d_model: int, n_heads: int, n_kv_heads: int) -> None:
    """Raise ValueError unless n_heads divides d_model and n_kv_heads divides n_heads."""
    if d_model % n_heads:
        raise ValueError(f"d_model {d_model} must be a multiple of n_heads {n_heads}")
    if n_heads % n_kv_heads:
        raise ValueError(f"n_heads {n_heads} must be a multiple of n_kv_heads {n_kv_heads}")


def check_rotary(rotary: bool, head_dim: int, d_memory: int | None) -> bool:
    """Return `rotary`; raise ValueError if positions cannot be rotated."""
    if check_flag("rotary", rotary) and (head_dim % 2 or d_memory is not None):
        why = f"an even head_dim, not {head_dim}" if head_dim % 2 else "self-attention"
        raise ValueError(f"rotary positions need {why}")
    return rotary


def linear_shapes(sizes: dict[str, tuple[int, int]], bias: bool, dtype: str) -> Shapes:
    """Return name -> (shape, dtype) of the parameters of linear layers of these (in, out) sizes."""
    shapes: Shapes = {}
    for name, (n, m) in sizes.items():
        shapes[f"{name}.weight"] = ((n, m), dtype)
        if bias:
            shapes[f"{name}.bias"] = ((m,), dtype)
    return shapes
