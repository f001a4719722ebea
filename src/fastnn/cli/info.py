"""Report the build, and what was selected for this computer and why: `fastnn info`."""

from __future__ import annotations

import argparse
import platform
from typing import Any

import numpy as np

from ..kernels.ground.dispatch import build_info
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
    threads = facts.pop("threads")
    rows = {name.replace("_", " "): value for name, value in facts.items()}
    rows |= {f"threads: {name.replace('_', ' ')}": value for name, value in threads.items()}
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {_text(value)}")


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
