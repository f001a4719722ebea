"""Parts of `TransformerEncoderModel`: checks of ids, and a bias of attention by distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..checks import given
from ..parameters import Parameter

Array = NDArray[Any]

NAME = "TransformerEncoderModel"
FARTHEST = 128  # positions away, from which on all are in the last bucket


def check_ids(ids: Any, types: Any, has_types: bool, max_len: int) -> None:
    """Raise TypeError or ValueError unless ids are (B, T), and types None or like them."""
    shape = getattr(ids, "shape", None)
    if shape is None or len(shape) != 2:
        raise ValueError(f"{NAME}: x must be an array (batch, tokens), got {given(ids)}")
    check_tokens(ids, shape[1], max_len)
    if types is not None and (not has_types or np.shape(types) != shape):
        has = f"needs types of the shape {shape}" if has_types else "has no types"
        raise ValueError(f"{NAME}: this model {has}")


def check_tokens(ids: Array, longest: int, max_len: int) -> None:
    """Raise TypeError or ValueError unless ids are integers in sequences of at most max_len."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{NAME}: x must be integers, got {ids.dtype}")
    if longest > max_len:
        raise ValueError(f"{NAME}: {longest} tokens are more than max_len {max_len}")


class DistanceMask(np.ndarray[Any, Any]):
    """An additive mask of attention, and `gradient`, which backward passes add its gradient to."""

    gradient: Array


def bias_by_distance(table: Array, length: int) -> Array:
    """Return the biases (n_heads, 2 length - 1) of distances for a table (buckets, n_heads)."""
    return np.ascontiguousarray(table[buckets_of(len(table), length)].T)


def mask_by_distance(table: Array, length: int) -> DistanceMask:
    """Return the mask (n_heads, length, length), a view of the biases."""
    values = bias_by_distance(table, length)
    step, row = values.itemsize, values.strides[0]
    shape = len(values), length, length
    mask = as_strided(values[:, max(0, length - 1) :], shape, (row, -step, step)).view(DistanceMask)
    mask.gradient = np.zeros_like(values)
    return mask


def add_to_table(parameter: Parameter, mask: DistanceMask) -> None:
    """Add the gradient of a mask to that of the table."""
    if (grad := parameter.to_add()) is not None:
        np.add.at(grad, buckets_of(len(grad), mask.shape[1]), mask.gradient.T)


def buckets_of(buckets: int, length: int) -> NDArray[np.int64]:
    """Return the bucket of each distance, key minus query, from 1 - length to length - 1.

    Half of the buckets are for keys behind the query. Near distances have one each, farther ones
    share buckets of growing width. Raffel et al., "Exploring the limits of transfer learning with a
    unified text-to-text Transformer", JMLR 2020.
    """
    distance = np.arange(1 - length, length)
    away, half, near = np.abs(distance), buckets // 2, buckets // 4
    with np.errstate(divide="ignore"):
        steps = np.log(away / near) / math.log(FARTHEST / near) * (half - near)
    # the first distance of a bucket is a whole step, whatever the logarithm rounds it to
    far = near + np.floor(np.maximum(steps, 0) + 1e-6)
    bucket = np.where(away < near, away, np.minimum(far, half - 1))
    found: NDArray[np.int64] = (bucket + half * (distance > 0)).astype(np.int64)
    return found
