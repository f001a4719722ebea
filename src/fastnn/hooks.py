"""Late binding from lower to higher floors by name, so that no import points upwards.

`model.save(path)` is a method of layers that calls files/, which imports layers, not the other way
round. The package's `__init__`, which is above both and runs before any module, binds such names to
functions that import their targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_FOUND: dict[str, Callable[[], Any]] = {}


def bind(name: str, find: Callable[[], Any]) -> None:
    """Let `bound(name)` return what `find()` returns."""
    _FOUND[name] = find


def bound(name: str) -> Any:
    """Return the object bound to this name; raise KeyError if there is none."""
    return _FOUND[name]()
