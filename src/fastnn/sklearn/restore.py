"""An estimator as it was, where a fit fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored_on_error(est: Any) -> Iterator[None]:
    """Gives the estimator back the attributes that it had, if what it does now raises.

    A fit sets new arrays, so what an earlier one learnt is all there again. `partial_fit` steps on
    in the arrays there are: what is refused before the first step changes nothing.
    """
    before = dict(vars(est))
    # curves, which a warm start goes on with
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
