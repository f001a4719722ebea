"""Check the files of a command before it starts its work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

import numpy as np

from .. import nn
from ..data.text_file import STDIN
from ..files.atomic import check_writable
from .errors import Failure, UsageError


def check_outputs(args: argparse.Namespace) -> None:
    """Raise an error now if `--output` or `--plot` could not be written after the training.

    The error is a UsageError, OSError or ModuleNotFoundError.
    """
    try:
        import safetensors  # noqa: F401 (loading the model will need it)
    except ModuleNotFoundError as error:
        raise UsageError(
            "fastnn-cpu depends on safetensors, which is missing: pip install safetensors"
        ) from error
    if args.output == STDIN:
        raise UsageError("--output must be a file: models are not written to standard output")
    table = {"FILE": args.file} if args.task_name == "csv" else {}
    plots = {"--plot": args.plot, "--plot-loss": getattr(args, "plot_loss", None)}
    check_apart({**table, "--output": args.output, **plots})
    check_writable(args.output)
    for path in filter(None, plots.values()):
        from ..plot import check_plot

        try:
            check_plot(path)
        except ValueError as error:
            raise UsageError(str(error)) from error


def check_apart(paths: Mapping[str, str | None]) -> None:
    """Raise UsageError if two of the named paths are the same file and would be overwritten."""
    seen: dict[str, str] = {}
    for name, path in paths.items():
        if path:
            other = seen.setdefault(os.path.realpath(path), name)
            if other != name:
                raise UsageError(f"{other} and {name} are the same file, {path}")


def check_learnt(model: nn.Module, path: str) -> None:
    """Raise Failure if the model to be saved to `path` has NaN or infinite parameters."""
    if not np.isfinite(model.parameters().data).all():
        raise Failure(
            f"the training ended with NaN or infinite weights, {path} is not written: "
            "a smaller --lr may help"
        )
