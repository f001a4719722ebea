"""SmolLM 3: Llama in which every fourth layer has no positions."""

from __future__ import annotations

from typing import Any

from ...checks import value_of
from ..language_model import TransformerLM
from . import llama
from .checkpoint import Config, Names
from .decoder import layers_of, rotary, windows

SWITCHES = llama.SWITCHES
PREFIXES = llama.PREFIXES
UNUSED = llama.UNUSED


def build(config: Config) -> tuple[TransformerLM, Names]:
    """Return the model of a config, and the names of its weights."""
    layers = layers_of(config)
    every = config.count("no_rope_layer_interval", 4)
    rotates = config.get("no_rope_layers")  # 1: the layer has positions
    if rotates is None:
        rotates = [int((i + 1) % every != 0) for i in range(layers)]
    if not isinstance(rotates, list) or len(rotates) != layers or not {*rotates} <= {0, 1}:
        raise ValueError(f"no_rope_layers must be {layers} times 0 or 1, got {value_of(rotates)}")
    settings = rotary(config, llama.head_size(config), base=2e6)
    window = None
    if config.flag("use_sliding_window", False):
        window = windows(config, layers, (not does for does in rotates), default=None)
    of_layers: list[Any] = [settings if does else False for does in rotates]
    return llama.build(config, rotary=of_layers, window=window, tied=True)
