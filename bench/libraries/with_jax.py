"""JAX: everything under ``jit``, updated buffers donated. The families have the implementations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from ..operations import Arrays
from . import Call

VERSION = f"jax {jax.__version__}"
ISA = ""
PREPARE: dict[str, Callable[[Arrays], Call]] = {}


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let JAX use n CPUs: XLA starts a thread per visible CPU at its first computation."""
    before: Any = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
