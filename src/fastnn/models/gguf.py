"""GGUF files as checkpoints: their metadata as a config, their arrays under transformers' names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import check_count, value_of
from ..files.atomic import PathLike
from ..files.gguf import Quantized, read_gguf

# Key of a config -> key of the metadata behind the architecture.
_CONFIG = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}
_WHOLE = {
    "token_embd.": "model.embed_tokens.",
    "output_norm.": "model.norm.",
    "output.": "lm_head.",
}
_BLOCK = {
    "attn_norm.": "input_layernorm.",
    "attn_q.": "self_attn.q_proj.",
    "attn_k.": "self_attn.k_proj.",
    "attn_v.": "self_attn.v_proj.",
    "attn_output.": "self_attn.o_proj.",
    "attn_q_norm.": "self_attn.q_norm.",
    "attn_k_norm.": "self_attn.k_norm.",
    "ffn_norm.": "post_attention_layernorm.",
    "ffn_gate.": "mlp.gate_proj.",
    "ffn_up.": "mlp.up_proj.",
    "ffn_down.": "mlp.down_proj.",
}
# Architectures, and whether llama.cpp rotates neighboring columns: its q and k have other rows.
_INTERLEAVED = {"llama": True, "qwen2": False, "qwen3": False}


class Interleaved(NamedTuple):
    """Rows of q or k of which neighbors rotate together; `read` puts the halves of heads apart."""

    stored: Quantized
    heads: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def dtype(self) -> str:
        return self.stored.dtype

    def read(self) -> NDArray[np.float32]:
        """Return the array as transformers has it."""
        x = self.stored.read()
        pairs = x.reshape(self.heads, -1, 2, *x.shape[1:])
        return pairs.swapaxes(1, 2).reshape(x.shape)


Arrays = dict[str, Quantized | Interleaved]


def read(path: PathLike) -> tuple[dict[str, Any], Arrays]:
    """Return the config and the arrays of a GGUF file.

    Raises
    ------
    ModelFileError, OSError
        As `files.read_gguf`.
    ValueError, TypeError
        The architecture is not known, or has a setting that is not supported.
    """
    metadata, stored = read_gguf(path)
    kind = metadata.get("general.architecture")
    if kind not in _INTERLEAVED:
        raise ValueError(
            f"general.architecture is {value_of(kind)}; supported are {', '.join(_INTERLEAVED)}"
        )
    for key in (f"{kind}.rope.scaling.type", f"{kind}.expert_count"):
        if metadata.get(key) not in (None, "none", 0):
            raise ValueError(f"{key} is {value_of(metadata[key])}, which is not supported")
    config: dict[str, Any] = {"model_type": kind}
    for theirs, ours in _CONFIG.items():
        if (value := metadata.get(f"{kind}.{ours}")) is not None:
            config[theirs] = value
    if "token_embd.weight" not in stored:
        raise ValueError("it has no token_embd.weight")
    config["vocab_size"] = stored["token_embd.weight"].shape[0]
    config["tie_word_embeddings"] = "output.weight" not in stored
    heads = check_count("attention.head_count", config.get("num_attention_heads"))
    kv_heads = check_count("attention.head_count_kv", config.get("num_key_value_heads", heads))
    return config, _named(stored, {"q": heads, "k": kv_heads} if _INTERLEAVED[kind] else {})


def _named(stored: dict[str, Quantized], heads: dict[str, int]) -> Arrays:
    """Return the arrays under transformers' names; unknown names stay, and are refused later."""
    found: Arrays = {}
    for name, array in stored.items():
        block, _, inner = name.removeprefix("blk.").partition(".")
        in_block = name.startswith("blk.") and block.isdecimal()
        stem, _, end = (inner if in_block else name).rpartition(".")
        other = (_BLOCK if in_block else _WHOLE).get(f"{stem}.")
        ours = name if other is None else f"model.layers.{block}." * in_block + other + end
        n = heads.get(stem.removeprefix("attn_"), 0)
        if n and array.shape and array.shape[0] % (2 * n) == 0:
            found[ours] = Interleaved(array, n)
        else:
            found[ours] = array
    return found
