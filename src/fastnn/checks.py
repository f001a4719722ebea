"""Checks of arguments with uniform error messages: one function for each kind.

Each returns the value in the type that the caller needs. A wrong type raises TypeError, a value out
of range ValueError; the message names the argument, what is allowed and what was given.
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from numbers import Number, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .kernels.ground.scalars import did_you_mean as did_you_mean
from .kernels.ground.scalars import given as given
from .kernels.ground.scalars import to_array as to_array
from .kernels.ground.scalars import value_of as value_of

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
PACKAGE = os.path.dirname(__file__) + os.sep
SEEDS = 2**64  # exclusive upper bound of seeds

# A generator that takes the place of every other one in this context: see `nn.init.undrawn`.
GENERATOR: ContextVar[np.random.Generator | None] = ContextVar("fastnn_generator", default=None)

Choice = TypeVar("Choice")


def users_level() -> int:
    """Return the `stacklevel` of a warning that names the line of the user that called fastnn."""
    level, frame = 1, sys._getframe(1)
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level


def check_integer(name: str, value: Any) -> int:
    """Return `value` as an int of any size."""
    if not isinstance(value, (bool, np.bool_)):
        with contextlib.suppress(TypeError):
            return operator.index(value)
    raise TypeError(f"{name} must be an integer, got {given(value)}")


def check_count(name: str, value: Any, low: int = 1, high: int | None = None) -> int:
    """Return `value` as an int from `low` to `high`."""
    found = check_integer(name, value)
    if found < low or (high is not None and found > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {limits}, got {value_of(found)}")
    if found.bit_length() > 512:  # messages with it would have thousands of digits
        raise ValueError(f"{name} must be below 2**512, got {value_of(found)}")
    return found


def check_bytes(name: str, value: Any) -> int:
    """Return a number of bytes, which may be a text with a unit."""
    if not isinstance(value, str):
        return check_count(name, value)
    number = value.rstrip("BGKMik ")
    scale = BYTES.get(value[len(number) :].strip())
    if scale is None or not number.replace(".", "", 1).isdecimal():
        raise ValueError(
            f"{name} must be bytes, or a text such as '256MB' or '1GiB', got {value_of(value)}"
        )
    return check_count(name, int(float(number) * scale))


def check_number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` as a float that is finite and within the limits."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {given(value)}")
    try:
        found = float(value)
    except OverflowError:  # an integer above the largest float
        found = math.inf
    if not (least <= found <= most and above < found < below):  # rejects NaN and infinity too
        low = f"at least {least:g}" if least > above else f"above {above:g}"
        high = f"at most {most:g}" if most < below else f"below {below:g}"
        if least > above and most < below:
            limits = f"from {least:g} to {most:g}"
        else:
            limits = " and ".join(limit for limit in (low, high) if "inf" not in limit)
            limits += " and finite" if limits and min(most, below) == math.inf else ""
        raise ValueError(f"{name} must be {limits or 'finite'}, got {value_of(value)}")
    return found


def check_probability(name: str, value: Any) -> float:
    """Return `value` as a float from 0 to 1."""
    return check_number(name, value, least=0, most=1)


def check_flag(name: str, value: Any) -> bool:
    """Return `value`, True or False, as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {given(value)}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[Choice]) -> Choice:
    """Return the element of `choices` that equals `value`; the error suggests the closest one."""
    known = tuple(choices)
    if value is None or isinstance(value, (str, Number)):
        for choice in known:
            if value == choice:
                return choice
    *others, last = map(repr, known)
    allowed = f"{', '.join(others)} or {last}" if others else last
    message = f"{name} must be {allowed}, got {value_of(value)}"
    raise ValueError(message + did_you_mean(value, known))


def check_seed(name: str, value: Any) -> int:
    """Return `value` as an int from 0 to 2^64 - 1."""
    found = check_integer(name, value)
    if not 0 <= found < SEEDS:
        raise ValueError(f"{name} must be from 0 to 2**64 - 1, got {value_of(found)}")
    return found


def check_generator(name: str, value: Any) -> np.random.Generator:
    """Return the random generator of a seed, or `value` itself if it is a generator."""
    if (instead := GENERATOR.get()) is not None:
        return instead
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{name} must be None, an integer of at least 0 or a numpy.random.Generator, got "
            f"{given(value)}"
        ) from None


def check_name(name: str, value: Any) -> str:
    """Return `value`, a str that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {given(value)}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype; TypeError for any other."""
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # NumPy reads a text as Python
        raise TypeError(f"dtype must be float32 or float64, got {given(dtype)}") from None
    if found not in DTYPES:
        raise TypeError(f"dtype must be float32 or float64, got {found!s:.80}")
    return found
