"""States of other libraries: read their arrays and copy them into fastnn's models.

A pair of names is (theirs, ours). If several of ours share one of theirs (queries, and keys with
values, in PyTorch's cross-attention), they are its rows in that order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import nn
from ..files.tensors import BFLOAT16, headers, open_tensors, read_widened
from ..interop import asarray
from .folders import weight_files

Array = NDArray[Any]
Source = Mapping[str, Any] | str | os.PathLike[str]
Names = list[tuple[str, str]]  # (theirs, ours)

# Switches of attention and blocks that GPT-2 and torch.nn lack, and what they have instead.
_SWITCHES = {"gated": False, "qk_norm": None, "window": None, "placement": None, "rotary": False}
_SWITCHES |= {"attention_norm": True, "embedding_scale": None}

# Parameters that are never transposed.
TABLES = ("embedding.weight", "positions.weight")


def read(source: Source, prefix: str = "") -> dict[str, Array]:
    """Return the arrays whose names begin with prefix, without the prefix.

    Half-precision arrays become float32, which is exact.
    """
    if isinstance(source, Mapping):
        return {
            name.removeprefix(prefix): _widened(name, value)
            for name, value in source.items()
            if name.startswith(prefix)
        }
    found: dict[str, Array] = {}
    for path in weight_files(source):
        with open_tensors(path) as file:
            for name in headers(file):
                if name.startswith(prefix):
                    found[name.removeprefix(prefix)] = read_widened(file, path, name)
    return found


def _widened(name: str, value: Any) -> Array:
    """Return a value of a mapping as an array; raise a TypeError with its name if it is not one."""
    if str(getattr(value, "dtype", "")).rpartition(".")[2] == BFLOAT16:
        value = value.float() if hasattr(value, "float") else value.astype(np.float32)
    try:
        array = asarray(value)
    except TypeError as error:
        raise TypeError(f"{name!r}: {error}") from error
    return array.astype(np.float32) if array.dtype == np.float16 else array


def matrix(arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        some = ", ".join(list(arrays)[:5])
        raise ValueError(f"the state has no {name!r}; its {len(arrays)} names begin with {some}")
    if arrays[name].ndim != 2:
        raise ValueError(f"{name!r} must have two axes, not the shape {arrays[name].shape}")
    return arrays[name]


def dtype_of(arrays: Mapping[str, Array], dtype: DTypeLike | None) -> DTypeLike:
    """Return `dtype` if given; else float64 if all arrays are float64, otherwise float32."""
    if dtype is not None:
        return dtype
    return np.float64 if all(x.dtype == np.float64 for x in arrays.values()) else np.float32


def count_layers(arrays: Mapping[str, Array], stem: str) -> int:
    found = (re.match(rf"{stem}\.(\d+)\.", name) for name in arrays)
    return 1 + max((int(match[1]) for match in found if match), default=0)


def both_ends(parts: Iterable[tuple[str, str]]) -> Names:
    """Return the names of the weight and the bias of each part."""
    return [(theirs + end, ours + end) for theirs, ours in parts for end in ("weight", "bias")]


def _views(model: nn.Module, names: Names, turned: bool) -> dict[str, list[Array]]:
    """Return, for each of their names, views of our parameters that its rows correspond to."""
    own = dict(model.parameters().named())
    found: dict[str, list[Array]] = {}
    for theirs, ours in names:
        if ours in own:
            view = own[ours].data.T if turned and ours not in TABLES else own[ours].data
            found.setdefault(theirs, []).append(view)
    return found


def fill(model: nn.Module, arrays: Mapping[str, Array], names: Names, turned: bool = True) -> None:
    """Copy their arrays into the model's parameters; `turned` if their weights are (out, in).

    Raises ValueError if names are missing or unexpected or a shape does not fit, and TypeError if
    an array does not hold floating-point numbers.
    """
    views = _views(model, names, turned)
    missing = [name for name in views if name not in arrays]
    unexpected = [name for name in arrays if name not in views]
    if missing or unexpected:
        problems = [f"missing {missing!r:.300}"] * bool(missing)
        problems += [f"unexpected {unexpected!r:.300}"] * bool(unexpected)
        raise ValueError(f"the names do not fit: {' and '.join(problems)}")
    for name, own in views.items():
        shape = (sum(map(len, own)), *own[0].shape[1:])
        if arrays[name].shape != shape:
            raise ValueError(f"{name!r} has the shape {arrays[name].shape}, not {shape}")
        if arrays[name].dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{name!r} is {arrays[name].dtype}, weights must be float16, bfloat16, float32 "
                "or float64: convert it first"
            )
        start = 0
        for view in own:
            view[...] = arrays[name][start : start + len(view)]
            start += len(view)


def switches(module: nn.Module) -> list[str]:
    """Return the switches that are on in an attention layer, a stack or a language model."""
    values = module.field_values()
    found = [name for name, off in _SWITCHES.items() if values.get(name, off) not in (off, None)]
    if values["n_heads"] * values["head_dim"] != values["d_model"]:
        found.append("head_dim")
    if values["qkv_bias"] not in (None, values["bias"]):
        found.append("qkv_bias")
    return found


def taken(model: nn.Module, names: Names, turned: bool = True) -> dict[str, Array]:
    """Return C-contiguous copies of the model's parameters under their names."""
    views = _views(model, names, turned)
    return {name: np.ascontiguousarray(np.concatenate(own)) for name, own in views.items()}
