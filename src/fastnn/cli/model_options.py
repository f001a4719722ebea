"""Define the options of `fastnn show`, `evaluate`, `export` and `completion`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .arguments import WEIGHTS, count
from .output_options import add_json, add_quiet
from .table_options import add_reading

SHELLS = ("bash", "zsh", "tcsh")


def add_all(add: Callable[[str], Any]) -> None:
    """Add the commands; `add` makes a parser by name."""
    for name in ("show", "evaluate", "export"):
        command: argparse.ArgumentParser = add(name)
        command.add_argument("model", metavar="MODEL", help="a model file of fastnn")
        if name == "evaluate":
            _evaluate(command)
        if name == "export":
            _export(command)
        add_json(command)
    add("completion").add_argument("shell", choices=SHELLS, help="source the output when it starts")


def _evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a table with the target, a text, or sentences; none for a model of digits",
    )
    command.add_argument(
        "reference", nargs="?", metavar="REFERENCE", help="translations of the sentences"
    )
    add_reading(command)
    command.add_argument("--threads", type=count, metavar="N", help="default: see `fastnn info`")


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "out",
        metavar="OUT",
        help=".onnx is an ONNX graph; .safetensors, .pt and .pth a state with PyTorch's names",
    )
    command.add_argument("--format", choices=["onnx", "torch"], help="default: by the name of OUT")
    about = "OUT is a model file of fastnn, with weights of 16 or 8 bits"
    command.add_argument("--weights", choices=WEIGHTS, help=about)
    add_quiet(command)
