"""Convert weights of GPT-2 checkpoints, published ones or nanoGPT's, to fastnn and back.

Neither PyTorch nor pickle is needed: a state is a mapping of name -> array, such as
``checkpoint["model"]``, or a safetensors file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..checks import check_choice
from ..keywords import explained
from .folders import config_beside
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
from .language_model import TransformerLM

_BLOCK = (
    ("ln_1.", "norm1."),
    ("attn.c_attn.", "attention.qkv."),
    ("attn.c_proj.", "attention.out."),
    ("ln_2.", "norm2."),
    ("mlp.c_fc.", "feed_forward.up."),
    ("mlp.c_proj.", "feed_forward.down."),
)
# Config fields that change what a model computes, with the values that fastnn supports.
_COMPUTED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
# Causal masks that old versions stored with the weights.
_MASKS = (".attn.bias", ".attn.masked_bias")


@explained
def from_gpt2(
    source: Source,
    n_heads: int | None = None,
    *,
    vocab_size: int | None = None,
    activation: str | None = None,
    dropout: float = 0.0,
    eps: float | None = None,
    dtype: DTypeLike | None = None,
) -> TransformerLM:
    """Return the language model of a GPT-2 checkpoint, a published one or nanoGPT's.

    Parameters
    ----------
    source : mapping of str to array, or path
        A mapping with the names of Hugging Face's files ("h.0.attn.c_attn.weight",
        "transformer.h.0..."), whose weights are (in, out), or of nanoGPT's ``checkpoint["model"]``
        ("_orig_mod.transformer.h.0..."), whose weights are (out, in); the shapes distinguish them.
        Or nanoGPT's whole checkpoint, or the folder of a published one: config.json with
        model.safetensors or an index of several such files.
    n_heads : int, optional
        12 for the smallest published model. The weights do not show it: it may be omitted only if
        there is a config.json in the folder of the file, or nanoGPT's "model_args".
    vocab_size : int, optional
        Keep only this many tokens of a padded table: 50,257 of nanoGPT's 50,304.
    activation : str, optional
        By default that of the config, else "gelu_tanh" for published weights, "gelu" for nanoGPT's.
    dropout : float
        As in `TransformerLM`.
    eps : float, optional
        Epsilon of the norms; by default that of the config, else 1e-5.
    dtype : float32 or float64, optional
        By default that of the weights.

    Raises
    ------
    ValueError
        Names are missing or unexpected, or shapes do not fit; the message names them. n_heads
        differs from the config, or neither is given.
    TypeError
        A value is not an array.
    ModelFileError, OSError, ModuleNotFoundError
        The file cannot be read, as from `fastnn.load`.

    Examples
    --------
    >>> lm = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> model = fastnn.models.from_gpt2(fastnn.models.to_gpt2(lm), n_heads=2)
    >>> model.vocab_size, model.max_len
    (10, 8)
    """
    source, config = _with_config(source)
    n_heads = _heads(n_heads, config)
    arrays = {
        name.removeprefix("_orig_mod.").removeprefix("transformer."): array
        for name, array in read(source).items()
        if not name.endswith(_MASKS)
    }
    table = matrix(arrays, "wte.weight")
    head = arrays.pop("lm_head.weight", table)
    tied = head is table or np.array_equal(head, table)
    if vocab_size is not None and vocab_size > len(table):
        raise ValueError(f"vocab_size is {vocab_size}, but wte.weight has {len(table)} rows")
    arrays["wte.weight"] = table[:vocab_size]
    inner = matrix(arrays, "h.0.attn.c_attn.weight").shape
    turned = inner == (3 * table.shape[1], table.shape[1])
    hidden = matrix(arrays, "h.0.mlp.c_fc.weight").shape
    model = TransformerLM(
        len(arrays["wte.weight"]),
        table.shape[1],
        n_heads,
        count_layers(arrays, "h"),
        len(matrix(arrays, "wpe.weight")),
        d_ff=hidden[0 if turned else -1],
        dropout=dropout,
        bias="h.0.attn.c_attn.bias" in arrays,
        activation=activation or _activation(config) or ("gelu" if turned else "gelu_tanh"),
        eps=config.get("layer_norm_epsilon", 1e-5) if eps is None else eps,
        tie_weights=tied,
        dtype=dtype_of(arrays, dtype),
        rng=0,
    )
    if not tied:
        head = head[:vocab_size]
        arrays["lm_head.weight"] = head if turned else head.T
    fill(model, arrays, _names(model), turned)
    return model


def _with_config(source: Any) -> tuple[Source, Mapping[str, Any]]:
    """Return the weights of a source, and its config, which may be empty."""
    if isinstance(source, Mapping):
        if isinstance(source.get("model"), Mapping):
            return source["model"], source.get("model_args", {})
        return source, {}
    path, config = config_beside(source)
    if not isinstance(config, Mapping) or config.get("model_type") != "gpt2":
        if path is not None and path.parent == Path(source):
            raise ValueError(f"{path} does not describe a GPT-2")
        config = {}  # it belongs to something else in the same folder
    for name, computed in _COMPUTED.items():
        if config.get(name, computed) != computed:
            raise ValueError(
                f"{path}: {name} has no counterpart in TransformerLM if it is {config[name]!r:.80}"
            )
    return source, config


def _heads(n_heads: int | None, config: Mapping[str, Any]) -> int:
    found = config.get("n_head")
    if n_heads is None:
        if type(found) is not int:
            raise ValueError("n_heads is needed: neither the weights nor a config.json tell it")
        return found
    if found is not None and n_heads != found:
        raise ValueError(f"n_heads is {n_heads}, but the config of these weights has {found}")
    return n_heads


def _activation(config: Mapping[str, Any]) -> str | None:
    """Return fastnn's name of the config's activation, or None if it has none."""
    name = config.get("activation_function")
    known = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "swish": "silu"}
    if name is not None and not isinstance(name, str):
        raise ValueError(f"the config has activation_function {name!r:.80}, which is no name")
    return None if name is None else known.get(name, name)


@explained
def to_gpt2(model: TransformerLM, *, layout: str = "published") -> dict[str, Array]:
    """Return the weights of a language model under GPT-2's names.

    Parameters
    ----------
    model : TransformerLM
        With learned positions and layer norms.
    layout : {"published", "nanogpt"}
        "published" is Hugging Face's, with weights (in, out); "nanogpt" has names under
        "transformer." and weights (out, in). Both have "lm_head.weight", of the shape of
        "wte.weight".

    Raises
    ------
    TypeError, ValueError
        The model is not a TransformerLM or has features that GPT-2 lacks, or the layout is unknown.

    Examples
    --------
    >>> lm = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> fastnn.models.to_gpt2(lm)["h.0.mlp.c_fc.weight"].shape
    (16, 64)
    """
    if not isinstance(model, TransformerLM):
        raise TypeError(f"to_gpt2 takes a TransformerLM, not {type(model).__name__}")
    check_choice("layout", layout, ("published", "nanogpt"))
    block = model.blocks.blocks[0]
    grouped = block.attention.n_kv_heads != block.attention.n_heads
    other = block.norms[0].kind != "layer" or grouped or switches(model)
    if model.position != "learned" or other:
        raise ValueError(f"GPT-2 has no counterpart of this TransformerLM: {model!r}")
    turned = layout == "nanogpt"
    state = taken(model, _names(model), turned)
    head = state.pop("lm_head.weight", None)
    if head is not None and not turned:
        head = np.ascontiguousarray(head.T)
    prefix = "transformer." if turned else ""
    state = {prefix + name: array for name, array in state.items()}
    table = state[f"{prefix}wte.weight"]
    return {**state, "lm_head.weight": table if head is None else head}


def _names(model: TransformerLM) -> Names:
    names = both_ends(
        (f"h.{i}.{theirs}", f"blocks.{i}.{ours}")
        for i in range(len(model.blocks))
        for theirs, ours in _BLOCK
    )
    tables = [("wte.weight", "embedding.weight"), ("wpe.weight", "positions.weight")]
    last = both_ends([("ln_f.", "blocks.norm.")])
    return [*tables, *names, *last, ("lm_head.weight", "head.weight")]
