"""Qwen 3: Llama with RMS norms of the queries and keys of each head."""

from __future__ import annotations

from typing import Any

from ..language_model import TransformerLM
from . import llama
from .checkpoint import Config, Names
from .qwen2 import upper_windows

SWITCHES: dict[str, tuple[Any, ...]] = {"attention_bias": (False, None)}
PREFIXES = llama.PREFIXES
UNUSED = llama.UNUSED


def build(config: Config) -> tuple[TransformerLM, Names]:
    """Return the model of a config, and the names of its weights."""
    config.setdefault("head_dim", 128)
    return llama.build(config, qk_norm="head", window=upper_windows(config))
