"""Mistral: Llama whose layers attend to the last sliding_window positions."""

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
    layers = layers_of(config)
    return llama.build(config, window=windows(config, layers, [True] * layers, default=4096))
