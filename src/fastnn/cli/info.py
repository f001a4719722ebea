"""Report the build, and what was selected for this computer and why: `fastnn info`."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..kernels.ground.machine import build_info
from ..kernels.ground.threads import thread_info


def collect() -> dict[str, Any]:
    """Return `build_info()`, the threads, and the versions of Python and NumPy."""
    return {
        **build_info(),
        "threads": thread_info(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def info(args: argparse.Namespace) -> None:
    """Print the facts, one per line."""
    facts = collect()
    args.result |= facts
    rows = dict(_rows("", facts))
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {_text(value)}")


def _rows(prefix: str, facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values; those of a dict inside have its name in front."""
    for name, value in facts.items():
        words = prefix + name.replace("_", " ")
        if isinstance(value, dict):
            yield from _rows(f"{words}: ", value)
        else:
            yield words, value


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
