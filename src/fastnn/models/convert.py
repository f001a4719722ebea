"""Convert weights of PyTorch's Transformers to fastnn and back.

Neither PyTorch nor pickle is needed: states are mappings of name -> array, such as
``module.state_dict()`` (tensors are viewed through DLPack), or safetensors files.

PyTorch stores a weight as (out, in), fastnn as (in, out).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .. import nn
from ..keywords import explained
from .foreign import (
    Array,
    Names,
    Source,
    both_ends,
    count_layers,
    dtype_of,
    fill,
    matrix,
    read,
    switches,
    taken,
)
from .torch_layers import layers_to_torch

Stack = TypeVar("Stack", nn.TransformerEncoder, nn.TransformerDecoder)

_BLOCK = (
    ("self_attn.in_proj_", "attention.qkv."),
    ("self_attn.out_proj.", "attention.out."),
    ("linear1.", "feed_forward.up."),
    ("linear2.", "feed_forward.down."),
    ("norm1.", "norm1."),
    ("norm2.", "norm2."),
)
_CROSS = (
    ("multihead_attn.in_proj_", "cross_attention.q."),
    ("multihead_attn.in_proj_", "cross_attention.kv."),
    ("multihead_attn.out_proj.", "cross_attention.out."),
    ("norm3.", "norm3."),
)


@explained
def from_torch_encoder(
    state: Source,
    n_heads: int,
    *,
    norm_first: bool = False,
    activation: str = "relu",
    dropout: float = 0.0,
    eps: float = 1e-5,
    causal: bool = False,
    prefix: str = "",
    dtype: DTypeLike | None = None,
) -> nn.TransformerEncoder:
    """Return an encoder with the weights of a ``torch.nn.TransformerEncoder``.

    Parameters
    ----------
    state : mapping of str to array, or path
        Its ``state_dict()``, or a safetensors file of it.
    n_heads, norm_first, activation, dropout, eps
        As passed to PyTorch's constructor; the weights do not show them. "gelu" is the exact form.
    causal : bool
        True if it was called with a causal mask.
    prefix : str
        Prefix of the names to read, such as "encoder." for a whole ``torch.nn.Transformer``; other
        names are ignored.
    dtype : float32 or float64, optional
        By default that of the state; float32 if it is half precision.

    Raises
    ------
    ValueError
        Names are missing or unexpected, or shapes do not fit; the message names them.
    TypeError
        A value is not an array.
    ModelFileError, OSError, ModuleNotFoundError
        The file cannot be read, as from `fastnn.load`.

    Examples
    --------
    >>> encoder = nn.TransformerEncoder(1, 16, 2, 32, rng=0)
    >>> same = fastnn.models.from_torch_encoder(fastnn.models.to_torch(encoder), n_heads=2)
    >>> x = np.ones((1, 3, 16), np.float32)
    >>> np.array_equal(same(x), encoder(x))
    True
    """
    how = {"norm_first": norm_first, "activation": activation, "dropout": dropout, "eps": eps}
    stack = nn.TransformerEncoder
    return _torch_stack(stack, state, prefix, dtype, n_heads=n_heads, causal=causal, **how)


@explained
def from_torch_decoder(
    state: Source,
    n_heads: int,
    *,
    norm_first: bool = False,
    activation: str = "relu",
    dropout: float = 0.0,
    eps: float = 1e-5,
    causal: bool = True,
    prefix: str = "",
    dtype: DTypeLike | None = None,
) -> nn.TransformerDecoder:
    """Return a decoder with the weights of a ``torch.nn.TransformerDecoder``.

    Parameters and errors are those of `from_torch_encoder`.

    Examples
    --------
    >>> decoder = nn.TransformerDecoder(1, 16, 2, 32, rng=0)
    >>> same = fastnn.models.from_torch_decoder(fastnn.models.to_torch(decoder), n_heads=2)
    >>> x, memory = np.ones((1, 3, 16), np.float32), np.ones((1, 5, 16), np.float32)
    >>> np.array_equal(same(x, memory), decoder(x, memory))
    True
    """
    how = {"norm_first": norm_first, "activation": activation, "dropout": dropout, "eps": eps}
    stack = nn.TransformerDecoder
    return _torch_stack(stack, state, prefix, dtype, n_heads=n_heads, causal=causal, **how)


@explained
def from_torch_attention(
    state: Source,
    n_heads: int,
    *,
    cross: bool = False,
    dropout: float = 0.0,
    prefix: str = "",
    dtype: DTypeLike | None = None,
) -> nn.MultiHeadAttention:
    """Return a layer with the weights of a ``torch.nn.MultiheadAttention``.

    Parameters
    ----------
    state, n_heads, dropout, prefix, dtype
        As in `from_torch_encoder`.
    cross : bool
        True for cross-attention. Must be True if `kdim` differs from `embed_dim`; `vdim` must then
        equal `kdim`.

    Raises
    ------
    ValueError, TypeError, ModelFileError, OSError, ModuleNotFoundError
        As in `from_torch_encoder`.

    Examples
    --------
    >>> layer = nn.MultiHeadAttention(16, 2, rng=0)
    >>> fastnn.models.from_torch_attention(fastnn.models.to_torch(layer), n_heads=2).d_model
    16
    """
    arrays = read(state, prefix)
    separate = "q_proj_weight" in arrays  # if kdim or vdim differs from embed_dim
    if separate:
        both = matrix(arrays, "k_proj_weight"), matrix(arrays, "v_proj_weight")
        if both[0].shape != both[1].shape or not cross:
            sizes = f"keys {both[0].shape} and values {both[1].shape}"
            raise ValueError(f"{sizes} must be of one size, and cross True")
        del arrays["k_proj_weight"], arrays["v_proj_weight"]
        arrays["kv_proj_weight"] = np.concatenate(both)
        names = [("q_proj_weight", "q.weight"), ("kv_proj_weight", "kv.weight")]
        names += [("in_proj_bias", "q.bias"), ("in_proj_bias", "kv.bias")]
    else:
        parts = ("q.", "kv.") if cross else ("qkv.",)
        names = both_ends(("in_proj_", part) for part in parts)
    d_memory = matrix(arrays, "kv_proj_weight" if separate else "in_proj_weight").shape[-1]
    d_model = matrix(arrays, "out_proj.weight").shape[-1]
    model = nn.MultiHeadAttention(
        d_model,
        n_heads,
        d_memory=d_memory if cross else None,
        bias="in_proj_bias" in arrays,
        dropout=dropout,
        dtype=dtype_of(arrays, dtype),
        rng=0,
    )
    fill(model, arrays, [*names, *both_ends([("out_proj.", "out.")])])
    return model


@explained
def to_torch(module: nn.Module) -> dict[str, Array]:
    """Return the weights under PyTorch's names, for ``load_state_dict``.

    ``torch_module.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(module).items()})``.

    Parameters
    ----------
    module : Module
        A TransformerEncoder, TransformerDecoder, MultiHeadAttention, Linear, LayerNorm, RMSNorm,
        PReLU or Embedding, for the class of the same name in ``torch.nn``; an MLP or a Sequential
        of these, of activations and of Dropout, for a Sequential in which each activation of a
        Linear is a layer.

    Raises
    ------
    TypeError
        The module is another layer.
    ValueError
        The module has a feature that PyTorch lacks: grouped heads, rotary positions, RMS norms, or
        a memory whose width differs from d_model, a scaled Embedding.

    Examples
    --------
    >>> state = fastnn.models.to_torch(nn.Linear(3, 2, rng=0))
    >>> {name: value.shape for name, value in state.items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    layers = layers_to_torch(module, to_torch)
    if layers is not None:
        return layers
    if isinstance(module, nn.MultiHeadAttention):
        attention, kind = module, "layer"
        parts = [("in_proj_", "qkv.")] if module.d_memory is None else []
        parts = parts or [("in_proj_", "q."), ("in_proj_", "kv.")]
        names = both_ends([*parts, ("out_proj.", "out.")])
    elif isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        attention, kind = module.blocks[0].attention, module.blocks[0].norms[0].kind
        names = _torch_names(module)
    else:
        raise TypeError(f"to_torch: PyTorch has no counterpart of {type(module).__name__}")
    other = attention.d_memory not in (None, attention.d_model)
    other = other or attention.n_kv_heads != attention.n_heads or bool(switches(module))
    if other or kind != "layer":
        raise ValueError(f"PyTorch has no counterpart of this {type(module).__name__}: {module!r}")
    return taken(module, names, turned=True)


def _torch_stack(
    stack: type[Stack], state: Source, prefix: str, dtype: DTypeLike | None, **options: Any
) -> Stack:
    arrays = read(state, prefix)
    d_ff, d_model = matrix(arrays, "layers.0.linear1.weight").shape
    model = stack(
        count_layers(arrays, "layers"),
        d_model,
        d_ff=d_ff,
        bias="layers.0.linear1.bias" in arrays,
        final_norm="norm.weight" in arrays,
        dtype=dtype_of(arrays, dtype),
        rng=0,
        **options,
    )
    fill(model, arrays, _torch_names(model))
    return model


def _torch_names(module: nn.TransformerEncoder | nn.TransformerDecoder) -> Names:
    parts = _BLOCK + (_CROSS if isinstance(module, nn.TransformerDecoder) else ())
    names = both_ends(
        (f"layers.{i}.{theirs}", f"{i}.{ours}")
        for i in range(len(module))
        for theirs, ours in parts
    )
    return [*names, *both_ends([("norm.", "norm.")])]
