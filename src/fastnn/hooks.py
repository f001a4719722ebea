"""What a lower floor asks of a higher one by name, so that no import has to point upwards.

`model.save(path)` is a convenience of layers for what files/ does, and files/ knows layers, not the
other way round. The package's `__init__`, which is above both and runs before any module, binds such
names to functions that import what they stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_FOUND: dict[str, Callable[[], Any]] = {}


def bind(name: str, find: Callable[[], Any]) -> None:
    """Let `bound(name)` return what `find()` returns."""
    _FOUND[name] = find


def bound(name: str) -> Any:
    """Return what stands under this name; KeyError if nothing does."""
    return _FOUND[name]()
