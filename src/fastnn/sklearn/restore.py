"""Restore an estimator if a fit fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored_on_error(est: Any) -> Iterator[None]:
    """Restore the attributes of the estimator if the context raises.

    `fit` makes new arrays, so all earlier results come back. `partial_fit` updates the arrays in
    place; errors raised before its first step change nothing.
    """
    before = dict(vars(est))
    # curves, which a warm start appends to
    lists = [
        (old, len(old)) for name, old in before.items() if name.endswith("_") and type(old) is list
    ]
    try:
        yield
    except BaseException:
        for old, length in lists:
            del old[length:]
        est.__dict__ = before
        raise
