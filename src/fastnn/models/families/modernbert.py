"""ModernBERT: pre-norm, rotary positions, GeGLU, windows in two of three layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...checks import value_of
from ..encoder import TransformerEncoderModel
from .checkpoint import Config, Names, Part
from .decoder import FULL, SLIDING, rotary, windows

SWITCHES: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "norm_bias": (False,),
}
PREFIXES = ("model.",)
UNUSED = ("head.*", "decoder.*", "classifier.*", "lm_head.*")

_BASES = {FULL: ("global_rope_theta", 160000.0), SLIDING: ("local_rope_theta", 10000.0)}
_PARTS = {
    "attn_norm.weight": "norm1.weight",
    "attn.Wqkv.weight": "attention.qkv.weight",
    "attn.Wo.weight": "attention.out.weight",
    "mlp_norm.weight": "norm2.weight",
    "mlp.Wi.weight": "feed_forward.up.weight",
    "mlp.Wo.weight": "feed_forward.down.weight",
}


def build(config: Config) -> tuple[TransformerEncoderModel, Names]:
    """Return the model of a config, and the names of its weights."""
    layers = config.count("num_hidden_layers", high=1024)
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    every = config.count("global_attn_every_n_layers", 3)
    # both sides of a token together; a window counts the token itself
    reach = config.count("local_attention", 128, low=0) // 2 + 1
    slides = [i % every > 0 for i in range(layers)]
    found = windows(Config({**config, "sliding_window": reach}), layers, slides, None)
    found = found or [None] * layers
    turns = {kind: _rotary(config, kind, width // heads) for kind in (FULL, SLIDING)}
    model = TransformerEncoderModel(
        config.count("vocab_size"),
        width,
        heads,
        layers,
        config.count("intermediate_size"),
        config.count("max_position_embeddings", 8192),
        n_types=0,
        activation=config.activation("hidden_activation", "gelu"),
        attention_dropout=config.number("attention_dropout", 0.0, least=0, most=1),
        eps=config.number("norm_eps", 1e-5, above=0),
        dtype=config.dtype,
        bias=False,
        placement="pre",
        gated=True,
        rotary=[turns[FULL if window is None else SLIDING] for window in found],
        window=found,
        attention_norm=[i > 0 for i in range(layers)],
    )
    names = {
        "embeddings.tok_embeddings.weight": Part("embedding.weight", transpose=False),
        "embeddings.norm.weight": Part("norm.weight"),
        "final_norm.weight": Part("blocks.norm.weight"),
    }
    for i in range(layers):
        for theirs, ours in _PARTS.items():
            names[f"layers.{i}.{theirs}"] = Part(f"blocks.{i}.{ours}")
    del names["layers.0.attn_norm.weight"]
    return model, names


def _rotary(config: Config, kind: str, head_dim: int) -> Any:
    """Return the settings of rotary positions of layers of a kind, under old and new keys."""
    old, base = _BASES[kind]
    values = config.get("rope_parameters") or {}
    own = values.get(kind) if isinstance(values, Mapping) else None
    if not isinstance(own or {}, Mapping) or (values and own is None):
        raise ValueError(f"rope_parameters must have an object {kind}, got {value_of(values)}")
    theta = config.number(old, base, above=0)
    return rotary(Config({"rope_parameters": own}), head_dim, theta)
