"""BERT: MiniLM, bge, e5, gte and other sentence encoders; post-norm, learned positions."""

from __future__ import annotations

from typing import Any

from ..encoder import TransformerEncoderModel
from .checkpoint import Config, Names, Part, both

SWITCHES: dict[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False,),
}
PREFIXES = ("bert.", "0.auto_model.", "auto_model.", "model.")
# Heads of pretraining, the pooler in front of them, and positions that old versions stored.
UNUSED = ("pooler.*", "cls.*", "classifier.*", "*position_ids", "*token_type_ids")

_EMBEDDINGS = {"word_embeddings": "embedding", "position_embeddings": "positions"}
FEED_FORWARD = {
    "intermediate.dense.": "feed_forward.up.",
    "output.dense.": "feed_forward.down.",
    "output.LayerNorm.": "norm2.",
}
_PARTS = {
    "attention.output.dense.": "attention.out.",
    "attention.output.LayerNorm.": "norm1.",
    **FEED_FORWARD,
}
_QKV = ("attention.self.query.", "attention.self.key.", "attention.self.value.")


def build(
    config: Config,
    first_position: int = 0,
    parts: dict[str, str] = _PARTS,
    qkv: tuple[str, str, str] = _QKV,
    **more: Any,
) -> tuple[TransformerEncoderModel, Names]:
    """Return the model of a config, and the names of its weights."""
    more = {"n_types": config.count("type_vocab_size", 2, low=0), **more}
    model = TransformerEncoderModel(
        config.count("vocab_size"),
        config.count("hidden_size"),
        config.count("num_attention_heads"),
        config.count("num_hidden_layers"),
        config.count("intermediate_size"),
        config.count("max_position_embeddings", low=1 + first_position) - first_position,
        first_position=first_position,
        activation=config.activation("hidden_act", "gelu"),
        dropout=config.number("hidden_dropout_prob", 0.1, least=0, most=1),
        attention_dropout=config.number("attention_probs_dropout_prob", 0.1, least=0, most=1),
        eps=config.number("layer_norm_eps", 1e-12, above=0),
        dtype=config.dtype,
        **more,
    )
    embeddings = dict(_EMBEDDINGS)
    if model.types is not None:
        embeddings["token_type_embeddings"] = "types"
    return model, names_of(model, embeddings, "encoder.layer", qkv, parts)


def names_of(
    model: TransformerEncoderModel,
    embeddings: dict[str, str],
    layers: str,
    qkv: tuple[str, str, str],
    parts: dict[str, str],
) -> Names:
    """Return the names of an encoder whose embeddings and layers have these."""
    names = {
        f"embeddings.{theirs}.weight": Part(f"{ours}.weight", transpose=False)
        for theirs, ours in embeddings.items()
    }
    names |= both("embeddings.LayerNorm.", "norm.")
    d = model.embedding.dim
    for i in range(len(model.blocks)):
        for theirs, ours in parts.items():
            names |= both(f"{layers}.{i}.{theirs}", f"blocks.{i}.{ours}")
        for j, theirs in enumerate(qkv):
            ours = f"blocks.{i}.attention.qkv."
            names |= both(f"{layers}.{i}.{theirs}", ours, start=j * d, stop=(j + 1) * d)
    return names
