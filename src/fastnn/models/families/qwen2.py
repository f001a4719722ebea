"""Qwen 2 and 2.5: Llama with biases of queries, keys and values, and windows in upper layers."""

from __future__ import annotations

from typing import Any

from ..language_model import TransformerLM
from . import llama
from .checkpoint import Config, Names
from .decoder import layers_of, windows

SWITCHES: dict[str, tuple[Any, ...]] = {}
PREFIXES = llama.PREFIXES
UNUSED = llama.UNUSED


def build(config: Config) -> tuple[TransformerLM, Names]:
    """Return the model of a config, and the names of its weights."""
    return llama.build(config, qkv_bias=True, window=upper_windows(config))


def upper_windows(config: Config) -> Any:
    """Return the windows of the layers from max_window_layers on, if use_sliding_window."""
    if not config.flag("use_sliding_window", False):
        return None
    layers = layers_of(config)
    first = config.count("max_window_layers", 28, low=0)
    return windows(config, layers, (i >= first for i in range(layers)), default=4096)
