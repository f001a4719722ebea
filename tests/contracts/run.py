"""Run seeds: each is one case of one row, so that a failure is repeated by its seed alone."""

import importlib
import time
import warnings
from collections import Counter

from .case import Different, check
from .draw import Draw
from .table import ROWS

_OF_KERNELS = ("elementwise", "norms", "products", "attention", "losses", "updates")
for _room in (*_OF_KERNELS, "layers", "blocks"):
    importlib.import_module(f"{__package__}.{_room}")

NAMES = sorted(ROWS)


def one(seed, name=None):
    """Draw and check the case of a seed; return its counts."""
    name = NAMES[seed % len(NAMES)] if name is None else name
    d = Draw(seed)
    case = d.one(ROWS[name])(d)
    if case is None:
        return Counter(left_out=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return check(case, d)
    except Exception as error:
        shapes = {k: (v.shape, v.strides) for k, v in case.arrays.items()}
        kind = "" if isinstance(error, Different) else f"{type(error).__name__}: "
        raise Different(
            f"{name}, seed {seed} ({d.real}, {d.profile}): {kind}{error}\n  {shapes} {case.options}"
        ) from error


def seeds(first, count, stop=float("inf"), report=None):
    """Check `count` seeds from `first` on, until `stop` by time.process_time."""
    counts = Counter()
    for seed in range(first, first + count):
        if time.process_time() >= stop:
            break
        counts["cases"] += 1
        try:
            counts += one(seed)
        except Different as error:
            if report is None:
                raise
            counts["differences"] += 1
            report(error)
    return counts
