"""RoBERTa and XLM-RoBERTa (multilingual e5, bge-m3): BERT with positions from pad_token_id + 1."""

from __future__ import annotations

from typing import Any

from ..encoder import TransformerEncoderModel
from .bert import PREFIXES as OF_BERT
from .bert import SWITCHES as SWITCHES_OF_BERT
from .bert import UNUSED as UNUSED_OF_BERT
from .bert import build as build_bert
from .checkpoint import Config, Names

SWITCHES: dict[str, tuple[Any, ...]] = SWITCHES_OF_BERT
PREFIXES = ("roberta.", *OF_BERT[1:])
UNUSED = ("lm_head.*", *UNUSED_OF_BERT)


def build(config: Config) -> tuple[TransformerEncoderModel, Names]:
    """Return the model of a config, and the names of its weights."""
    return build_bert(config, first_position=1 + config.count("pad_token_id", 1, low=0))
