"""Load the bundled text; TEXT.md has its origin."""

from __future__ import annotations

import bz2
from pathlib import Path


def load_text() -> str:
    """Load Shakespeare's *Romeo and Juliet*: 133,465 characters, 61 of them distinct.

    The whole play as in the data set Tiny Shakespeare, from "Gregory, o' my word, we'll
    not carry coals" to its last line: a speaker's name and a colon, the speech, an empty line.
    It has no headings, stage directions or first prologue. It is in the public domain.

    Returns
    -------
    str
        ASCII; lines end in a line feed.

    Examples
    --------
    >>> fastnn.data.load_text()[:8]
    'SAMPSON:'
    """
    path = Path(__file__).with_name("romeo_and_juliet.txt.bz2")
    return bz2.decompress(path.read_bytes()).decode("ascii")
