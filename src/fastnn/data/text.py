"""The text that comes with the package; TEXT.md has its origin."""

from __future__ import annotations

import bz2
from pathlib import Path


def load_text() -> str:
    """Shakespeare's *Romeo and Juliet*: 133,465 characters, of which 61 are different.

    The whole play as it stands in the data set Tiny Shakespeare, from "Gregory, o' my word, we'll
    not carry coals" to its last line: a speaker's name and a colon, the speech, an empty line.
    There are no headings or stage directions, nor the first prologue. It is in the public domain.

    Returns
    -------
    str
        ASCII, lines end in a line feed.
    """
    path = Path(__file__).with_name("romeo_and_juliet.txt.bz2")
    return bz2.decompress(path.read_bytes()).decode("ascii")
