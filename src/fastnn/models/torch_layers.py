"""Convert PyTorch's layers and sequences of them; convert.py has its Transformers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import nn
from ..checks import given
from ..keywords import explained
from .foreign import Array, Source, dtype_of, fill, matrix, read, taken

Made = Callable[[Any, Any], nn.Module]
ENDS = [("weight", "weight"), ("bias", "bias")]
UNSAID = object()

LAYERS: dict[str, Made] = {
    "Dropout": lambda m, dtype: nn.Dropout(m.p),
    "Embedding": lambda m, dtype: nn.Embedding(
        m.num_embeddings, m.embedding_dim, padding_idx=m.padding_idx, dtype=dtype, rng=0
    ),
    "GELU": lambda m, dtype: nn.GELU(None if m.approximate == "none" else m.approximate),
    "LayerNorm": lambda m, dtype: nn.LayerNorm(
        m.normalized_shape[0], m.eps, m.weight is not None, m.bias is not None, dtype=dtype
    ),
    "LeakyReLU": lambda m, dtype: nn.LeakyReLU(m.negative_slope),
    "Linear": lambda m, dtype: nn.Linear(
        m.in_features, m.out_features, m.bias is not None, dtype=dtype, rng=0
    ),
    "PReLU": lambda m, dtype: nn.PReLU(m.num_parameters, dtype=dtype),
    "RMSNorm": lambda m, dtype: nn.RMSNorm(
        m.normalized_shape[0],
        np.finfo(dtype).eps if m.eps is None else m.eps,
        m.weight is not None,
        dtype=dtype,
    ),
    "ReLU": lambda m, dtype: nn.ReLU(),
    "SiLU": lambda m, dtype: nn.SiLU(),
    "Sigmoid": lambda m, dtype: nn.Sigmoid(),
    "Softmax": lambda m, dtype: nn.Softmax(),
    "Softplus": lambda m, dtype: nn.Softplus(),
    "Tanh": lambda m, dtype: nn.Tanh(),
}

# What ours lack: an attribute of theirs, and the values that are the same layer here.
SAME: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "Embedding": ("max_norm", lambda value: value is None),
    "LayerNorm": ("normalized_shape", lambda value: len(value) == 1),
    "RMSNorm": ("normalized_shape", lambda value: len(value) == 1),
    "Softmax": ("dim", lambda value: value == -1),
    "Softplus": ("beta", lambda value: value == 1),
}


@explained
def from_torch(
    source: Any, *, activation: Any = UNSAID, prefix: str = "", dtype: DTypeLike | None = None
) -> nn.Module:
    """Return a layer or a sequence of layers with the weights of PyTorch's.

    Parameters
    ----------
    source : torch.nn.Module, mapping of str to array, or path
        A layer such as ``torch.nn.Linear``, or a ``torch.nn.Sequential`` of them, nested or not;
        the result has the same structure. Or the ``state_dict()`` of one, or a safetensors file of
        it: its matrices are taken for Linear layers in the order of their numbers.
    activation : str or None
        For a state of several layers, which does not show it: what follows every layer but the
        last.
    prefix : str
        Prefix of the names of a state to read; other names are ignored.
    dtype : float32 or float64, optional
        By default that of the source; float32 if it is half precision.

    Raises
    ------
    TypeError
        The source is something else, or has a layer that fastnn lacks.
    ValueError
        A layer has an option that fastnn lacks, or a state is not one of Linear layers alone.
    ModelFileError, OSError, ModuleNotFoundError
        The file cannot be read, as from `fastnn.load`.

    Examples
    --------
    >>> weights = {"0.weight": np.ones((4, 3), np.float32), "0.bias": np.zeros(4, np.float32)}
    >>> fastnn.models.from_torch(weights, activation="relu")
    Sequential(Linear(in_features=3, out_features=4, bias=True, activation=None, dtype='float32'))
    """
    if _is_torch(source):
        arrays = read(source.state_dict())
        real = dtype_of(arrays, dtype) if arrays or dtype is not None else np.float32
        return _made(source, np.dtype(real), type(source).__name__)
    if isinstance(source, (str, Path)) or hasattr(source, "items"):
        return _linears(source, activation, prefix, dtype)
    raise TypeError(f"from_torch: source must be a torch.nn.Module or a state, got {given(source)}")


def layers_to_torch(
    module: nn.Module, convert: Callable[[nn.Module], dict[str, Array]]
) -> dict[str, Array] | None:
    """Return the weights of a layer or a Sequential under PyTorch's names; None for others.

    `convert` does it for the layers of a Sequential. A Linear with an activation counts as two of
    PyTorch's layers, so the second layer of an MLP is "2".
    """
    if isinstance(module, nn.Sequential):
        found: dict[str, Array] = {}
        at = 0
        for layer in module.layers:
            found |= {f"{at}.{name}": array for name, array in convert(layer).items()}
            at += 2 if isinstance(layer, nn.Linear) and layer.activation is not None else 1
        return found
    if isinstance(module, nn.Linear):
        return taken(module, ENDS)
    if isinstance(module, nn.Embedding) and module.scale is not None:
        raise ValueError(f"PyTorch's Embedding has no scale: {module!r}")
    if type(module).__name__ in LAYERS and type(module) is getattr(nn, type(module).__name__):
        return taken(module, ENDS, turned=False)
    return None


def _is_torch(module: Any) -> bool:
    return type(module).__module__.startswith("torch.") and hasattr(module, "state_dict")


def _made(module: Any, dtype: np.dtype[Any], where: str) -> nn.Module:
    """Return our counterpart of a module; `where` names it in errors."""
    kind = type(module).__name__
    if kind == "Sequential":
        children = enumerate(module)
        return nn.Sequential(*(_made(child, dtype, f"{where}[{i}]") for i, child in children))
    if kind not in LAYERS or not _is_torch(module):
        known = ", ".join(["Sequential", *LAYERS])
        raise TypeError(f"from_torch: {where} is a {kind}; what is converted: {known}")
    option, is_same = SAME.get(kind, ("training", lambda value: True))
    if not is_same(getattr(module, option)):
        value = getattr(module, option)
        raise ValueError(f"from_torch: {where} has {option}={value!r:.40}, which fastnn lacks")
    layer = LAYERS[kind](module, dtype)
    fill(layer, read(module.state_dict()), ENDS, turned=kind == "Linear")
    return layer


def _linears(
    source: Source, activation: Any, prefix: str, dtype: DTypeLike | None
) -> nn.Linear | nn.Sequential:
    """Return the Linear layers of a state."""
    arrays = read(source, prefix)
    if "weight" in arrays:
        return _linear(arrays, None, dtype_of(arrays, dtype))
    parts: dict[int, dict[str, Array]] = {}
    for name, array in arrays.items():
        match = re.fullmatch(r"(\d+)\.(weight|bias)", name)
        if match is None:
            raise ValueError(
                f"from_torch: {name!r:.80} is no weight of a sequence; give the module"
            )
        parts.setdefault(int(match[1]), {})[match[2]] = array
    if not parts:
        raise ValueError(f"from_torch: the state has no name that begins with {prefix!r}")
    if len(parts) > 1 and activation is UNSAID:
        raise ValueError(
            "from_torch: a state does not show its activations: give activation='relu' or the "
            "like, None if there are none, or the module itself"
        )
    activation = None if activation is UNSAID else activation
    layers: list[nn.Linear] = []
    for i in sorted(parts):
        last = i == max(parts)
        layers.append(_linear(parts[i], None if last else activation, dtype_of(arrays, dtype)))
        if len(layers) > 1 and layers[-2].weight.data.shape[1] != layers[-1].weight.data.shape[0]:
            raise ValueError(
                f"from_torch: layer {i} does not take the columns of the one before it, so the "
                "state is not one of Linear layers in a row: give the module"
            )
    return nn.Sequential(*layers)


def _linear(arrays: dict[str, Array], activation: Any, dtype: DTypeLike) -> nn.Linear:
    n_out, n_in = matrix(arrays, "weight").shape
    layer = nn.Linear(n_in, n_out, "bias" in arrays, activation, dtype=dtype, rng=0)
    fill(layer, arrays, ENDS)
    return layer
