"""Share threads among concurrent fits, and limit those of the BLAS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

from ..kernels import get_num_threads, num_threads

_lock = threading.Lock()
_n_learning = 0
_n_quiet = 0
_blas_limits: Any = None


@contextmanager
def learning() -> Iterator[None]:
    """Count a running fit, for `threads`."""
    global _n_learning
    with _lock:
        _n_learning += 1
    try:
        yield
    finally:
        with _lock:
            _n_learning -= 1


def threads(n: int | None, shared: bool = False) -> Any:
    """Return a context in which the kernels use n threads; None: those of the caller.

    With `shared`, None means an equal part of them for each concurrent fit, so that a grid search
    over Python threads does not start (number of fits) x (number of cores) threads. The part is
    recomputed in every epoch, so the last fit of a search has all cores. Results do not depend on
    it.
    """
    if n is not None:
        return num_threads(n)
    if shared and _n_learning > 1:
        return num_threads(max(1, get_num_threads() // _n_learning))
    return nullcontext()


@cache
def _blas() -> ThreadpoolController:
    """Return the controller of the loaded BLAS libraries; cached, as the search takes 1 ms."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def quiet_blas() -> Iterator[None]:
    """Limit the BLAS of NumPy and SciPy to one thread.

    SciPy's L-BFGS wakes the threads of its BLAS for short vectors, and they keep spinning on the
    cores that ours need (docs/tuning.md). The limit applies to the process, so the first
    concurrent fit sets it and the last one lifts it.
    """
    global _n_quiet, _blas_limits
    with _lock:
        if _n_quiet == 0:
            _blas_limits = _blas().limit(limits=1)
        _n_quiet += 1
    try:
        yield
    finally:
        with _lock:
            _n_quiet -= 1
            if _n_quiet == 0:
                _blas_limits.restore_original_limits()
