"""Define the options of `fastnn embed` and `fastnn search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arguments import THREADS, add_numbers, add_weights, count, text
from .output_options import add_json

MODEL = "folder of a sentence encoder, as sentence-transformers saves it"
FILE = "UTF-8, one text per line; - is standard input"


def add_all(add: Callable[[str], Any]) -> None:
    """Add both commands."""
    embed, search = add("embed"), add("search")
    for command in (embed, search):
        command.add_argument("model", metavar="MODEL", help=MODEL)
        command.add_argument("file", metavar="FILE", help=FILE)
    search.add_argument("query", type=text, metavar="QUERY", help="text to compare with")
    embed.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE.npy",
        help="array (lines, numbers in a vector) that is written",
    )
    search.add_argument(
        "--vectors", metavar="FILE.npy", help="vectors of FILE, written by `fastnn embed`"
    )
    add_numbers(search, [("top-k", count, 10, "lines to print")])
    for command in (embed, search):
        command.add_argument("--prompt-name", metavar="NAME", help="a prompt of the model")
        tokens = ("batch-tokens", count, 2048, "tokens that run at a time")
        add_numbers(command, [tokens, THREADS])
        add_weights(command, "float32")
        command.add_argument(
            "--memory", default="256MB", metavar="SIZE", help="their limit (default: %(default)s)"
        )
        add_json(command)
