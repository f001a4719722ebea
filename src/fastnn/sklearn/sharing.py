"""Threads: of estimators that learn at the same time, and of the BLAS beside them."""

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
    """Counts an estimator among those that learn now, for `threads`."""
    global _n_learning
    with _lock:
        _n_learning += 1
    try:
        yield
    finally:
        with _lock:
            _n_learning -= 1


def threads(n: int | None, shared: bool = False) -> Any:
    """A context in which the kernels use n threads; None means those that this thread has.

    With `shared`, None means an equal part of them for every estimator that is `learning`, which
    keeps a grid search over Python threads from starting (number of fits) x (number of cores)
    threads. It is asked again for every epoch, so the last fit of a search has all cores; results
    do not depend on it, since no kernel's do.
    """
    if n is not None:
        return num_threads(n)
    if shared and _n_learning > 1:
        return num_threads(max(1, get_num_threads() // _n_learning))
    return nullcontext()


@cache
def _blas() -> ThreadpoolController:
    """Looking for the libraries takes a millisecond; those of NumPy and SciPy are loaded by now."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def quiet_blas() -> Iterator[None]:
    """Keeps the BLAS of NumPy and SciPy on one thread.

    SciPy's L-BFGS wakes the threads of its BLAS for short vectors, and they spin on for a while on
    the cores that ours need: 20 iterations of 64-20-10-10 on digits take 145 ms instead of 11 on 2
    cores. The limit is one of the process, so it is set by the first fit and lifted by the last.
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
