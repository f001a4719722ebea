"""The error of the command `fastnn` if the package itself cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

NAMES = ("fastnn", "fastnn-script", "fastnn.exe")


def refuse(error: ImportError) -> None:
    """Exit the command line with an error of one line; return in any other program."""
    as_module = getattr(sys, "orig_argv", [])[1:3] == ["-m", "fastnn"]
    if as_module or (sys.argv and Path(sys.argv[0]).stem in NAMES):
        print("fastnn: error:", " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2)
