"""Families of pretrained models: what a config.json and the names of its weights mean for us.

A family is one module of this package. It has

- ``build(config)``, which returns a new model and a `Names`: the name of each array in the file ->
  the `Part` of our parameter that it fills. The constructor of the model draws nothing here, and
  a model larger than the files is refused before its memory is taken; see `load`.
- ``SWITCHES``: keys of the config -> the values that are supported, the default first. They are
  checked before ``build`` and listed in the docs; a value that is not there is an error.
- ``PREFIXES``: what the names of a file may begin with, such as "bert.".
- ``UNUSED``: patterns (`fnmatch`) of arrays that are not read, such as the head of pretraining.

To add one, write the module and enter it in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import DTypeLike

from ...checks import did_you_mean, value_of
from ...nn import Module
from . import (
    bert,
    distilbert,
    gpt2,
    gpt_neox,
    llama,
    mistral,
    modernbert,
    mpnet,
    qwen2,
    qwen3,
    roberta,
    smollm3,
)
from .checkpoint import Config, Names


class Family(Protocol):
    """What a module of this package has."""

    @property
    def SWITCHES(self) -> Mapping[str, tuple[Any, ...]]: ...

    @property
    def PREFIXES(self) -> tuple[str, ...]: ...

    @property
    def UNUSED(self) -> tuple[str, ...]: ...

    def build(self, config: Config) -> tuple[Module, Names]:
        """Return a new model, and where each array of a checkpoint goes."""


# model_type of a config -> its family.
FAMILIES: dict[str, Family] = {
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "smollm3": smollm3,
    "bert": bert,
    "distilbert": distilbert,
    "modernbert": modernbert,
    "mpnet": mpnet,
    "roberta": roberta,
    "xlm-roberta": roberta,
}

# What no family computes.
_ALWAYS: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "add_cross_attention": (False, None),
}


def build(values: Any, dtype: DTypeLike) -> tuple[Module, Names, Family]:
    """Return the model that the values of a config.json describe, its names and its family.

    Raises
    ------
    ValueError, TypeError
        The config describes no known family, or has a value that is not supported; the message
        names key and value.
    """
    if not isinstance(values, Mapping):
        raise ValueError("the config must be an object")
    kind = values.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        near = did_you_mean(kind, FAMILIES)
        raise ValueError(
            f"model_type is {value_of(kind)}; supported are {', '.join(sorted(FAMILIES))}{near}"
        )
    config = Config(values, dtype)
    config.check_switches({**_ALWAYS, **family.SWITCHES})
    return *family.build(config), family
