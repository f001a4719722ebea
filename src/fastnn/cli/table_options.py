"""Define the options of `fastnn train csv` and `fastnn predict`."""

from __future__ import annotations

import argparse

from .arguments import add_numbers, add_weights, count, delimiter, encoding, share, text
from .output_options import add_json
from .parser import Extend


def add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", metavar="FILE", help="CSV with a header, may be gzip; - is standard input"
    )
    command.add_argument(
        "--target", type=text, required=True, metavar="COLUMN", help="what to predict"
    )
    command.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="auto (the default): text, or a few whole numbers that repeat, are classes",
    )
    _add_columns(command)
    command.add_argument(
        "--class-weight",
        choices=["balanced"],
        help="give each class the same total weight, so that rare ones are found",
    )
    about = "fraction of the hidden units dropped in each step (default: none)"
    patience = "stop when a tenth of the training rows, held out for this, has not got better for "
    patience += "N epochs, and keep the best weights (default: train all --epochs)"
    add_numbers(command, [("patience", count, None, patience)])
    test_size = ("test-size", share, 0.2, "fraction of the rows held out for the test")
    add_numbers(command, (test_size, ("dropout", share, 0.0, about)))
    add_reading(command)


def _add_columns(command: argparse.ArgumentParser) -> None:
    for name, metavar, about in (
        ("drop", "COLUMN", "columns to ignore"),
        ("use", "COLUMN", "columns to use even if they look like ids or free text"),
        ("na-values", "TEXT", "more cells that stand for a missing value, such as -999"),
    ):
        command.add_argument(
            f"--{name}",
            type=text,
            nargs="+",
            action=Extend,
            default=[],
            metavar=metavar,
            help=about,
        )
    command.add_argument(
        "--decimal",
        choices=["auto", "point", "comma", ".", ","],
        default="auto",
        help="3.14 or 3,14; auto (the default) is an error only if the numbers are ambiguous",
    )


def add_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a file written by `fastnn train`")
    command.add_argument(
        "file",
        nargs="?",
        metavar="FILE.csv",
        help="rows for a model of `fastnn train csv`; - is standard input",
    )
    command.add_argument(
        "--digit",
        type=int,
        metavar="I",
        help="index of an image, 0 to 1796, for a model of `fastnn train digits`",
    )
    add_weights(command)
    command.add_argument("--output", metavar="OUT.csv", help="default: standard output")
    add_json(command)
    command.add_argument("--proba", action="store_true", help="add the probability of each class")
    command.add_argument(
        "--keep",
        type=text,
        nargs="*",
        metavar="COLUMN",
        help="columns to copy in front of the prediction; without names: the whole row",
    )
    add_reading(command)


def add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="C",
        help="between cells; default: detected among comma, semicolon, tab and bar",
    )
    command.add_argument(
        "--encoding",
        type=encoding,
        metavar="NAME",
        help="of the file, such as cp1252; default: UTF-8, or UTF-16 with its mark",
    )
