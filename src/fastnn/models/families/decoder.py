"""What decoder families share: settings of rotary positions, windows, and names by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...checks import check_count, check_number, value_of
from ...nn import parameter_shapes
from ...nn.transformer import MOST_BLOCKS
from ..language_model import TransformerLM
from .checkpoint import Config, Names, Part, both, unsupported

# rope_type -> key of the config -> our setting (nn/rotary.py).
_TRAINED = {"original_max_position_embeddings": "trained_len"}
_SCALINGS: dict[str, dict[str, str]] = {
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "low_freq_factor": "low",
        "high_freq_factor": "high",
        **_TRAINED,
    },
    "yarn": {
        "factor": "factor",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
        "truncate": "truncate",
        **_TRAINED,
    },
}
# Keys of the rope settings that are read, or say nothing about the angles.
_KNOWN = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}

FULL, SLIDING = "full_attention", "sliding_attention"


def layers_of(config: Config) -> int:
    """Return the number of layers, of which lists of settings are made."""
    return config.count("num_hidden_layers", high=MOST_BLOCKS)


def rotary(config: Config, head_dim: int, base: float = 10000.0, part: float = 1.0) -> Any:
    """Return the settings of rotary positions, which files have under old and new keys.

    New files have one mapping, rope_parameters; old ones rope_theta, rope_scaling, rotary_pct and
    the like. `base` and `part` of the columns are the defaults.
    """
    given: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        values = config.get(key)
        if values is not None and not isinstance(values, Mapping):
            raise ValueError(f"{key} must be an object, got {value_of(values)}")
        given |= {name: value for name, value in (values or {}).items() if value is not None}
    for key in ("rope_theta", "rotary_emb_base"):
        given.setdefault("rope_theta", config.get(key))
    for key in ("partial_rotary_factor", "rotary_pct"):
        given.setdefault("partial_rotary_factor", config.get(key))
        if given["partial_rotary_factor"] is None:
            del given["partial_rotary_factor"]
    kind = given.get("rope_type", given.get("type", "default"))
    if not isinstance(kind, str) or kind not in _SCALINGS:
        raise unsupported("rope_type", kind, _SCALINGS)
    known = _SCALINGS[kind]
    if other := sorted(given.keys() - known.keys() - _KNOWN - _TRAINED.keys()):
        raise unsupported(f"{other[0]} of the rope settings", given[other[0]], ("none",))
    base = check_number("rope_theta", given.get("rope_theta") or base, above=0)
    share = check_number(
        "partial_rotary_factor", given.get("partial_rotary_factor", part), above=0, most=1
    )
    settings = {ours: given[theirs] for theirs, ours in known.items() if theirs in given}
    if "original_max_position_embeddings" in known:
        settings.setdefault("trained_len", config.count("max_position_embeddings"))
    dims = check_count("partial_rotary_factor: columns", int(head_dim * share), 2)
    return {"base": base, "dims": dims, "scaling": kind, **settings}


def windows(config: Config, layers: int, slides: Iterable[bool], default: int | None) -> Any:
    """Return the window of each layer: of those in layer_types, or else of those that `slides`.

    `default` is the window of a config without sliding_window.
    """
    kinds = config.get("layer_types")
    if kinds is None:
        kinds = [SLIDING if does else FULL for does in slides]
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise ValueError(f"layer_types must have {layers} names, got {value_of(kinds)}")
    for kind in kinds:
        if kind not in (FULL, SLIDING):
            raise unsupported("layer_types", kind, (FULL, SLIDING))
    size = config.get("sliding_window", default)
    if size is None or SLIDING not in kinds:
        return None
    size = check_count("sliding_window", size)
    return [size if kind == SLIDING else None for kind in kinds]


def names_of(
    model: TransformerLM,
    whole: Mapping[str, str],
    layers: str,
    parts: Iterable[tuple[str, Part]],
) -> Names:
    """Return the names of the arrays that the model has.

    `whole` are theirs -> ours outside of the blocks, `parts` those inside, of weight and bias.
    """
    names: Names = {}
    for theirs, ours in whole.items():
        is_table = ours in ("embedding.", "positions.")
        names |= both(theirs, ours, transpose=not is_table)
    own = parameter_shapes(model.config())
    for theirs, part in parts:
        how = {key: value for key, value in part._asdict().items() if key != "ours"}
        for i in range(len(model.blocks)):
            names |= both(f"{layers}.{i}.{theirs}", f"blocks.{i}.{part.ours}", **how)
    return {theirs: part for theirs, part in names.items() if part.ours in own}
