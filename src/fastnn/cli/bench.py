"""Compare fastnn with other libraries: `fastnn bench`."""

from __future__ import annotations

import argparse

from ..bench.cases import BenchError
from ..bench.command import run
from .errors import UsageError


def bench(args: argparse.Namespace) -> int:
    """Measure and report; return 1 if something failed, 3 if fastnn has become slower."""
    try:
        return run(args)
    except BenchError as error:
        raise UsageError(str(error)) from error
