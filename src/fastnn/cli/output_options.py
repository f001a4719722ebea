"""Define the options that say how much a command prints."""

from __future__ import annotations

import argparse


def add_json(command: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    command.add_argument(
        "--json", action="store_true", help="print one JSON object in place of the text"
    )


def add_quiet(command: argparse.ArgumentParser) -> None:
    """Add `--quiet`."""
    command.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing but warnings and errors"
    )
