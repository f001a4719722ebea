"""MPNet (all-mpnet-base-v2): BERT without token types, with a bias of attention by distance."""

from __future__ import annotations

from typing import Any

from ..encoder import TransformerEncoderModel
from .bert import UNUSED as UNUSED_OF_BERT
from .bert import names_of
from .checkpoint import Config, Names, Part

SWITCHES: dict[str, tuple[Any, ...]] = {}
PREFIXES = ("mpnet.", "0.auto_model.", "auto_model.", "model.")
UNUSED = ("lm_head.*", *UNUSED_OF_BERT)

_FIRST = 2  # position of the first token, fixed in transformers
_EMBEDDINGS = {"word_embeddings": "embedding", "position_embeddings": "positions"}
_PARTS = {
    "attention.attn.o.": "attention.out.",
    "attention.LayerNorm.": "norm1.",
    "intermediate.dense.": "feed_forward.up.",
    "output.dense.": "feed_forward.down.",
    "output.LayerNorm.": "norm2.",
}
_QKV = ("attention.attn.q.", "attention.attn.k.", "attention.attn.v.")


def build(config: Config) -> tuple[TransformerEncoderModel, Names]:
    """Return the model of a config, and the names of its weights."""
    model = TransformerEncoderModel(
        config.count("vocab_size", 30527),
        config.count("hidden_size", 768),
        config.count("num_attention_heads", 12),
        config.count("num_hidden_layers", 12),
        config.count("intermediate_size", 3072),
        config.count("max_position_embeddings", 512, low=1 + _FIRST) - _FIRST,
        n_types=0,
        first_position=_FIRST,
        buckets=config.count("relative_attention_num_buckets", 32, low=4),
        activation=config.activation("hidden_act", "gelu"),
        dropout=config.number("hidden_dropout_prob", 0.1, least=0, most=1),
        attention_dropout=config.number("attention_probs_dropout_prob", 0.1, least=0, most=1),
        eps=config.number("layer_norm_eps", 1e-12, above=0),
        dtype=config.dtype,
    )
    names = names_of(model, _EMBEDDINGS, "encoder.layer", _QKV, _PARTS)
    names["encoder.relative_attention_bias.weight"] = Part("relative", transpose=False)
    return model, names
