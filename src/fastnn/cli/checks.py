"""What may be wrong with the outputs of a training command, found out before the training."""

from __future__ import annotations

import argparse

from ..train.atomic import check_writable
from .errors import UsageError


def check_outputs(args: argparse.Namespace) -> None:
    """Raise UsageError, OSError or ModuleNotFoundError if `--output` or `--plot` cannot be written."""
    try:
        import safetensors  # noqa: F401 (using the model needs it: too late to find out then)
    except ModuleNotFoundError as error:
        raise UsageError("using models needs safetensors: pip install 'fastnn[cli]'") from error
    check_writable(args.output)
    if args.plot:
        from ..plot import check_plot

        try:
            check_plot(args.plot)
        except ValueError as error:
            raise UsageError(str(error)) from error
