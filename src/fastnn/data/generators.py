"""The state of the random generator behind shuffled data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import given


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return what `load_generator` restores."""
    return {"rng": rng.bit_generator.state}


def load_generator(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Continue after a `generator_state`; TypeError or ValueError if it is something else."""
    if not isinstance(state, Mapping) or not isinstance(state.get("rng"), Mapping):
        raise TypeError(f"state must be what state() returned, got {given(state)}")
    try:
        rng.bit_generator.state = state["rng"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        kind = type(rng.bit_generator).__name__
        raise ValueError(f"state must be what state() returned for a {kind}: {error!r}") from error
