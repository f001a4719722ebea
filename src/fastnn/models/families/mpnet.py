"""MPNet (all-mpnet-base-v2): BERT without token types, with a bias of attention by distance."""

from __future__ import annotations

from typing import Any

from ..encoder import TransformerEncoderModel
from .bert import FEED_FORWARD
from .bert import PREFIXES as OF_BERT
from .bert import UNUSED as UNUSED_OF_BERT
from .bert import build as build_bert
from .checkpoint import Config, Names, Part

SWITCHES: dict[str, tuple[Any, ...]] = {"is_decoder": (False,)}
PREFIXES = ("mpnet.", *OF_BERT[1:])
UNUSED = ("lm_head.*", *UNUSED_OF_BERT)

_PARTS = {
    "attention.attn.o.": "attention.out.",
    "attention.LayerNorm.": "norm1.",
    **FEED_FORWARD,
}
_QKV = ("attention.attn.q.", "attention.attn.k.", "attention.attn.v.")


def build(config: Config) -> tuple[TransformerEncoderModel, Names]:
    """Return the model of a config, and the names of its weights."""
    buckets = config.count("relative_attention_num_buckets", 32, low=4)
    model, names = build_bert(config, 2, _PARTS, _QKV, n_types=0, buckets=buckets)
    names["encoder.relative_attention_bias.weight"] = Part("relative", transpose=False)
    return model, names
