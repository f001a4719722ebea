"""Llama, and what is computed as it is: SmolLM2, TinyLlama.

Touvron et al., "LLaMA", 2023. Pre-norm with RMS norms, rotary positions, grouped heads, SwiGLU.
"""

from __future__ import annotations

from typing import Any

from ..language_model import TransformerLM
from .checkpoint import Config, Names, Part
from .decoder import names_of, rotary

SWITCHES: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
}
PREFIXES = ("model.",)
# Sanity limit of head_dim: the angles of so many columns are computed before the weights are read.
MOST_COLUMNS = 1 << 14
# The head of a model whose embedding is its head, and tables that old versions stored.
UNUSED = ("lm_head.weight", "*rotary_emb.inv_freq")


def build(config: Config, **options: Any) -> tuple[TransformerLM, Names]:
    """Return the model of a config, and the names of its weights.

    `options` are those in which a family differs, such as its windows.
    """
    heads = config.count("num_attention_heads")
    width = config.count("hidden_size")
    head_dim = head_size(config)
    tied = options.pop("tied", False)
    given: dict[str, Any] = {"rotary": rotary(config, head_dim), **options}
    model = TransformerLM(
        config.count("vocab_size"),
        width,
        heads,
        config.count("num_hidden_layers"),
        config.count("max_position_embeddings", 2048),
        d_ff=config.count("intermediate_size"),
        n_kv_heads=config.count("num_key_value_heads", heads),
        attention_dropout=config.number("attention_dropout", 0.0, least=0, most=1),
        bias=False,
        activation=config.activation("hidden_act", "silu"),
        position="rotary",
        norm="rms",
        eps=config.number("rms_norm_eps", 1e-6, above=0),
        tie_weights=config.flag("tie_word_embeddings", tied),
        dtype=config.dtype,
        gated=True,
        head_dim=head_dim,
        **given,
    )
    return model, names(model)


def head_size(config: Config) -> int:
    """Return the columns of a head, which configs may leave out."""
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    if config.get("head_dim") is None and width % heads:
        raise ValueError(f"hidden_size {width} is not a multiple of num_attention_heads {heads}")
    return config.count("head_dim", width // heads, high=MOST_COLUMNS)


def names(model: TransformerLM) -> Names:
    """Return where the arrays of Llama and its relatives go."""
    attention, d_ff = model.blocks.blocks[0].attention, model.blocks.blocks[0].feed_forward.d_ff
    q = attention.n_heads * attention.head_dim
    k = q + attention.n_kv_heads * attention.head_dim
    parts = [
        ("input_layernorm.", Part("norm1.")),
        ("self_attn.q_proj.", Part("attention.qkv.", 0, q)),
        ("self_attn.k_proj.", Part("attention.qkv.", q, k)),
        ("self_attn.v_proj.", Part("attention.qkv.", k, None)),
        ("self_attn.q_norm.", Part("attention.q_norm.")),
        ("self_attn.k_norm.", Part("attention.k_norm.")),
        ("self_attn.o_proj.", Part("attention.out.")),
        ("post_attention_layernorm.", Part("norm2.")),
        ("mlp.gate_proj.", Part("feed_forward.up.", 0, d_ff)),
        ("mlp.up_proj.", Part("feed_forward.up.", d_ff, None)),
        ("mlp.down_proj.", Part("feed_forward.down.")),
    ]
    whole = {"embed_tokens.": "embedding.", "norm.": "blocks.norm.", "lm_head.": "head."}
    return names_of(model, whole, "layers", parts)
