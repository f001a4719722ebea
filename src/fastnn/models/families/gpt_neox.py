"""GPT-NeoX and Pythia: attention and feed-forward network side by side, rotary in part of a head.

Black et al., "GPT-NeoX-20B", 2022; Biderman et al., "Pythia", 2023.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..language_model import TransformerLM
from . import llama
from .checkpoint import Config, Names, Part
from .decoder import names_of, rotary

SWITCHES: dict[str, tuple[Any, ...]] = {"attention_bias": (True,)}
PREFIXES = ("gpt_neox.",)
# Masks and tables that old versions stored, and the head if it is the embedding.
UNUSED = (
    "layers.*.attention.bias",
    "layers.*.attention.masked_bias",
    "*rotary_emb.inv_freq",
    "embed_out.weight",
)

_PARTS = {
    "input_layernorm.": "norm1.",
    "attention.dense.": "attention.out.",
    "post_attention_layernorm.": "norm2.",
    "mlp.dense_h_to_4h.": "feed_forward.up.",
    "mlp.dense_4h_to_h.": "feed_forward.down.",
}
_WHOLE = {"embed_in.": "embedding.", "final_layer_norm.": "blocks.norm.", "embed_out.": "head."}


def build(config: Config) -> tuple[TransformerLM, Names]:
    """Return the model of a config, and the names of its weights."""
    heads, size = config.count("num_attention_heads"), llama.head_size(config)
    parallel = config.flag("use_parallel_residual", True)
    model = TransformerLM(
        config.count("vocab_size"),
        config.count("hidden_size"),
        heads,
        config.count("num_hidden_layers"),
        config.count("max_position_embeddings", 2048),
        d_ff=config.count("intermediate_size"),
        dropout=config.number("hidden_dropout", 0.0, least=0, most=1),
        attention_dropout=config.number("attention_dropout", 0.0, least=0, most=1),
        activation=config.activation("hidden_act", "gelu"),
        position="rotary",
        eps=config.number("layer_norm_eps", 1e-5, above=0),
        tie_weights=config.flag("tie_word_embeddings", False),
        dtype=config.dtype,
        rotary=rotary(config, size, part=0.25),
        placement="parallel" if parallel else "pre",
    )
    parts = [(theirs, Part(ours)) for theirs, ours in _PARTS.items()]
    # Their rows are q, k and v of the first head, then those of the next.
    order = np.arange(3 * heads * size).reshape(heads, 3, size).swapaxes(0, 1).reshape(-1)
    parts.append(("attention.query_key_value.", Part("attention.qkv.", order=order)))
    return model, names_of(model, _WHOLE, "layers", parts)
