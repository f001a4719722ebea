"""Show a digit and what a model predicts for it: `fastnn predict --digit`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data import load_digits
from ..data.digits import HELD_OUT_EVERY
from ..files import ModelFileError, load
from .errors import Failure, UsageError
from .weights import frozen

# From paper to ink; the second entry is for terminals without block characters.
SHADES = (" ░▒▓█", " .+*#")
BAR = ("█", "#")
BAR_WIDTH = 40


def predict(args: argparse.Namespace) -> None:
    """Print digit number `--digit`, the model's probabilities for it, and the true label."""
    path, index = args.model, args.digit
    x, y = load_digits(dtype=np.float64)
    if not 0 <= index < len(x):
        raise UsageError(f"argument --digit: must be 0 to {len(x) - 1}, got {index}")
    try:
        model = load(path)
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    p = _probabilities(frozen(args, model), path, x[index].astype(model.parameters().dtype))
    shades, bar = (row[_plain_terminal()] for row in (SHADES, BAR))
    part = "test" if index % HELD_OUT_EVERY == 0 else "training"
    print(f"digit {index} ({part} image)\n")
    print(_picture(x[index].reshape(8, 8), shades), end="\n\n")
    best = int(p.argmax())
    for label, share in enumerate(p):
        length = round(BAR_WIDTH * float(share))
        print(f"{label:3d}  {100 * share:5.1f} %  {bar * length}".rstrip())
    args.result |= {"digit": index, "prediction": best, "label": int(y[index]), "P": p.tolist()}
    verdict = "right" if best == y[index] else "wrong"
    print(f"\nprediction {best} ({100 * p[best]:.1f} %), label {y[index]}: {verdict}")


def _probabilities(model: Any, path: str, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the class probabilities (10,) of one image, `pixels` (64,)."""
    x = pixels[np.newaxis]
    try:
        logits = model(x)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} does not take the {x.size} pixels of a digit: {error}") from error
    if logits.shape != (1, 10):
        raise UsageError(f"{path} gives {logits.shape[-1]} outputs, but there are 10 digits")
    p: NDArray[Any] = kernels.softmax(logits)[0]
    if not np.isfinite(p).all():
        raise Failure(f"{path} gives NaN for this digit: its training went wrong")
    return p


def _picture(image: NDArray[Any], shades: str) -> str:
    """Draw an image, 0 (paper) to 1 (ink), with two characters per pixel: about square."""
    levels = np.rint(image * (len(shades) - 1)).astype(int)
    return "\n".join("  " + "".join(2 * shades[level] for level in row) for row in levels)


def _plain_terminal() -> bool:
    try:
        (SHADES[0] + BAR[0]).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False
