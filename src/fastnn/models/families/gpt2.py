"""GPT-2: pre-norm with layer norms and learned positions; its matrices are (in, out)."""

from __future__ import annotations

from typing import Any

from ..language_model import TransformerLM
from .checkpoint import Config, Names, Part
from .decoder import names_of

SWITCHES: dict[str, tuple[Any, ...]] = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
}
PREFIXES = ("transformer.",)
# Causal masks that old versions stored, and the head, which is the embedding.
UNUSED = ("h.*.attn.bias", "h.*.attn.masked_bias", "lm_head.weight")

_PARTS = {
    "ln_1.": "norm1.",
    "attn.c_attn.": "attention.qkv.",
    "attn.c_proj.": "attention.out.",
    "ln_2.": "norm2.",
    "mlp.c_fc.": "feed_forward.up.",
    "mlp.c_proj.": "feed_forward.down.",
}
_WHOLE = {"wte.": "embedding.", "wpe.": "positions.", "ln_f.": "blocks.norm.", "lm_head.": "head."}


def build(config: Config) -> tuple[TransformerLM, Names]:
    """Return the model of a config, and the names of its weights."""
    width = config.count("n_embd", 768)
    model = TransformerLM(
        config.count("vocab_size", 50257),
        width,
        config.count("n_head", 12),
        config.count("n_layer", 12),
        config.count("n_positions", 1024),
        d_ff=config.count("n_inner", 4 * width),
        dropout=config.number("resid_pdrop", 0.1, least=0, most=1),
        attention_dropout=config.number("attn_pdrop", 0.1, least=0, most=1),
        activation=config.activation("activation_function", "gelu_new"),
        eps=config.number("layer_norm_epsilon", 1e-5, above=0),
        tie_weights=config.flag("tie_word_embeddings", True),
        dtype=config.dtype,
    )
    parts = [(theirs, Part(ours, transpose=False)) for theirs, ours in _PARTS.items()]
    return model, names_of(model, _WHOLE, "h", parts)
