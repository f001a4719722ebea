"""Models with weights of 16 or 8 bits: those of `--weights`, or of their file."""

from __future__ import annotations

import argparse
from typing import Any

from ..files.model import format_of
from .errors import UsageError


def frozen(args: argparse.Namespace, model: Any) -> Any:
    """Return a plan of the model of a file in its weights; the model itself if they are float32."""
    weights = args.weights or format_of(args.model)
    if weights is None:
        return model
    try:
        return model.freeze(weights=weights)
    except TypeError as error:  # of float64, or with a layer that has no place in a plan
        raise UsageError(f"argument --weights: {error}") from error
