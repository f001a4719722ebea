"""DistilBERT: BERT without token types, under other names."""

from __future__ import annotations

from typing import Any

from ..encoder import TransformerEncoderModel
from .bert import names_of
from .checkpoint import Config, Names

SWITCHES: dict[str, tuple[Any, ...]] = {"sinusoidal_pos_embds": (False, True)}
PREFIXES = ("distilbert.", "0.auto_model.", "auto_model.", "model.")
UNUSED = ("vocab_*", "pre_classifier.*", "classifier.*", "*position_ids")

_EPS = 1e-12  # fixed in transformers
_EMBEDDINGS = {"word_embeddings": "embedding", "position_embeddings": "positions"}
_PARTS = {
    "attention.out_lin.": "attention.out.",
    "sa_layer_norm.": "norm1.",
    "ffn.lin1.": "feed_forward.up.",
    "ffn.lin2.": "feed_forward.down.",
    "output_layer_norm.": "norm2.",
}
_QKV = ("attention.q_lin.", "attention.k_lin.", "attention.v_lin.")


def build(config: Config) -> tuple[TransformerEncoderModel, Names]:
    """Return the model of a config, and the names of its weights."""
    model = TransformerEncoderModel(
        config.count("vocab_size", 30522),
        config.count("dim", 768),
        config.count("n_heads", 12),
        config.count("n_layers", 6),
        config.count("hidden_dim", 3072),
        config.count("max_position_embeddings", 512),
        n_types=0,
        activation=config.activation("activation", "gelu"),
        dropout=config.number("dropout", 0.1, least=0, most=1),
        attention_dropout=config.number("attention_dropout", 0.1, least=0, most=1),
        eps=_EPS,
        dtype=config.dtype,
    )
    return model, names_of(model, _EMBEDDINGS, "transformer.layer", _QKV, _PARTS)
