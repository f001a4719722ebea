"""Tell a listener which layers of a backward pass are done, while the others still run.

The gradients of a layer that is done can be sent to other processes in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Listener = Callable[[Any], None]

_listener: ContextVar[Listener | None] = ContextVar("fastnn_backward_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(layer)` in this block after the backward pass of each layer of a container."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Listener | None:
    """Return the listener of this thread or task; None if there is none."""
    return _listener.get()
