"""Notices that something changed from which a program was made.

`version` is another object after every change that `changed` reports. What is made from layers
remembers the version from before it looked at them: as long as that is the current one, nothing has
changed, and one comparison shows it.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

version = object()


def changed() -> None:
    """Report a change, once it is made."""
    global version
    version = object()


class Watched(ABCMeta):
    """The type of classes of which a replaced attribute counts as a change: patched methods."""

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        changed()

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        changed()
