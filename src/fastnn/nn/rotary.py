"""Settings of rotary positions: the angle by which each pair of columns rotates per position.

Su et al., "RoFormer", 2021; the scalings for longer texts than a model was trained on are linear
(Chen et al., 2023), that of Llama 3.1, and YaRN (Peng et al., 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_count, check_flag, check_number

# Columns that can be rotated: a file may ask for any number of them, before weights are read.
MOST_DIMS = 65_536

# Settings of all scalings, then those of each, with defaults; None: needed.
COMMON: dict[str, Any] = {"base": 10000.0, "dims": None, "scaling": "default"}
SCALINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "linear": {"factor": None},
    "llama3": {"factor": None, "low": 1.0, "high": 4.0, "trained_len": None},
    "yarn": {
        "factor": None,
        "trained_len": None,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": True,
        "attention_factor": 0.0,
    },
}

Setting = bool | float | str


class Turn(NamedTuple):
    """Arguments of `kernels.rotary`: rates (n,), or None for base 10000, and a factor."""

    rates: NDArray[np.float64] | None = None
    factor: float = 1.0


def check_rotary(
    rotary: bool | Mapping[str, Any], head_dim: int, d_memory: int | None
) -> bool | dict[str, Any]:
    """Return `rotary`; raise an error if positions cannot be rotated so."""
    if isinstance(rotary, Mapping):
        found: bool | dict[str, Any] = dict(rotary)
    else:
        found = check_flag("rotary", rotary)
    if found is not False and (head_dim % 2 or d_memory is not None):
        why = f"an even head_dim, not {head_dim}" if head_dim % 2 else "self-attention"
        raise ValueError(f"rotary positions need {why}")
    turn_of(found, head_dim)
    return found


def turn_of(rotary: bool | Mapping[str, Any], head_dim: int) -> Turn:
    """Return the arguments of `kernels.rotary` for these settings.

    Raises
    ------
    TypeError, ValueError
        A setting is unknown, missing or out of range; the message names it.
    """
    if not isinstance(rotary, Mapping):
        return Turn()
    try:
        return _turn(tuple(sorted(rotary.items())), head_dim)
    except TypeError as error:  # a value that cannot be hashed
        raise TypeError(f"rotary: settings must be numbers or names: {error}") from None


@lru_cache(maxsize=64)
def _turn(settings: tuple[tuple[str, Setting], ...], head_dim: int) -> Turn:
    given = dict(settings)
    scaling = check_choice("rotary scaling", given.get("scaling", "default"), tuple(SCALINGS))
    known = COMMON | SCALINGS[scaling]
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"rotary has no setting {unknown[0]!r:.80}, only {', '.join(known)}")
    values: dict[str, Any] = known | given
    for name in SCALINGS[scaling]:
        if values[name] is None:
            raise ValueError(f"rotary scaling {scaling!r} needs the setting {name!r}")
        if name == "truncate":
            check_flag("rotary truncate", values[name])
        else:
            least = {"least": 0.0} if name == "attention_factor" else {"above": 0.0}
            values[name] = check_number(f"rotary {name}", values[name], **least)
    base = check_number("rotary base", values["base"], above=0)
    dims = head_dim if values["dims"] is None else values["dims"]
    dims = check_count("rotary dims", dims, 2, min(head_dim, MOST_DIMS))
    if dims % 2:
        raise ValueError(f"rotary dims must be even, got {dims}")
    rates = [base ** (-2 * i / dims) for i in range(dims // 2)]
    rates, factor = _SCALED[scaling](rates, base, dims, values)
    array = np.array(rates)
    array.flags.writeable = False
    return Turn(array, factor)


Scaled = tuple[list[float], float]


def _default(rates: list[float], base: float, dims: int, values: dict[str, Any]) -> Scaled:
    return rates, 1.0


def _linear(rates: list[float], base: float, dims: int, values: dict[str, Any]) -> Scaled:
    return [rate / values["factor"] for rate in rates], 1.0


def _llama3(rates: list[float], base: float, dims: int, values: dict[str, Any]) -> Scaled:
    """Divide slow rates by the factor, keep fast ones, and interpolate between."""
    low, high = values["low"], values["high"]
    if not low < high:
        raise ValueError(f"rotary low must be below high, got {low} and {high}")
    scaled = []
    for rate in rates:
        turns = values["trained_len"] * rate / (2 * math.pi)
        share = min(1.0, max(0.0, (turns - low) / (high - low)))
        scaled.append(share * rate + (1 - share) * rate / values["factor"])
    return scaled, 1.0


def _yarn(rates: list[float], base: float, dims: int, values: dict[str, Any]) -> Scaled:
    """As llama3, with a ramp over the pairs, and a factor that sharpens attention."""
    factor, turned = values["factor"], values["trained_len"] / (2 * math.pi)
    if base == 1:
        raise ValueError("rotary base must not be 1 with yarn")
    first, last = (
        dims * math.log(turned / values[name]) / (2 * math.log(base))
        for name in ("beta_fast", "beta_slow")
    )
    if values["truncate"]:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, dims - 1)
    width = last - first or 0.001
    scaled = []
    for i, rate in enumerate(rates):
        slow = min(1.0, max(0.0, (i - first) / width))
        scaled.append(rate * (1 - slow) + rate / factor * slow)
    sharp = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    return scaled, values["attention_factor"] or sharp


_SCALED: dict[str, Callable[[list[float], float, int, dict[str, Any]], Scaled]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}
