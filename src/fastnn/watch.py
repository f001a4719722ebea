"""Detect changes to the layers that a program was compiled from.

`changed` replaces `version` by a new object. A program stores the version from before its layers
were read: as long as it is the current one, nothing has changed, and one comparison shows it.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

version = object()


def changed() -> None:
    """Report a change after it was made."""
    global version
    version = object()


class Watched(ABCMeta):
    """Metaclass that reports replaced class attributes, such as patched methods, as changes."""

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        changed()

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        changed()
