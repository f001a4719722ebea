"""onnxruntime: sessions on graphs made by ``onnx.helper``. The families have its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import onnxruntime

from ..operations import Arrays
from . import Call

VERSION = f"onnxruntime {onnxruntime.__version__}"
ISA = ""
PREPARE: dict[str, Callable[[Arrays], Call]] = {}
n_threads = 1


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let sessions created in the context use n threads."""
    global n_threads
    before, n_threads = n_threads, n
    try:
        yield
    finally:
        n_threads = before
