"""Load the bundled handwritten digits; DIGITS.md has their license and citation."""

from __future__ import annotations

import bz2
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_choice, check_dtype
from ..keywords import explained

# Every fifth image is held out, beginning with the first.
HELD_OUT_EVERY = 5

COUNT, PIXELS = 1797, 64

# Largest value of an element, which counts the black pixels of a 4 x 4 block.
FULL_INK = 16


@explained
def load_digits(
    *, split: Literal["train", "test"] | None = None, dtype: DTypeLike = np.float32
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Load 1,797 handwritten digits of 8 x 8 pixels.

    Parameters
    ----------
    split : {None, "train", "test"}
        All images, the 1,437 training images, or the 360 test images. Every fifth image (0, 5,
        ..., 1795) is a test image: the split needs no random generator, so it is the same in
        every library. Both parts have digits by the same people, so the test is on new digits,
        not on new writers.
    dtype : float32 or float64

    Returns
    -------
    x : ndarray (n, 64)
        0 (paper) to 1 (ink), row by row; `x.reshape(-1, 8, 8)` are the images.
    y : ndarray (n,) of int64
        The digit, 0 to 9.

    Raises
    ------
    ValueError
        `split` is none of these.
    TypeError
        `dtype` is none of these.

    References
    ----------
    E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine
    Learning Repository, doi 10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits(split="train")
    >>> x.shape, x.dtype, y[:5]
    ((1437, 64), dtype('float32'), array([1, 2, 3, 4, 6]))
    """
    check_choice("split", split, (None, "train", "test"))
    dtype = check_dtype(dtype)
    content = bz2.decompress(Path(__file__).with_name("digits.bz2").read_bytes())
    values = np.frombuffer(content, np.uint8)  # of all pixels, then the labels
    x = values[: COUNT * PIXELS].reshape(COUNT, PIXELS).astype(dtype) / dtype.type(FULL_INK)
    y = values[COUNT * PIXELS :].astype(np.int64)
    if split is None:
        return x, y
    held_out = np.arange(len(y)) % HELD_OUT_EVERY == 0
    chosen = held_out if split == "test" else ~held_out
    return x[chosen], y[chosen]
