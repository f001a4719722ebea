"""Define the command line, with the options of digits and tables."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from .._version import __version__
from . import embed_options, lm_options, model_options, table_options, translate_options
from .arguments import THREADS, add_numbers, count, rate, seed, units
from .output_options import add_json, add_quiet
from .parser import Extend, Parser
from .ranks import add_launch

# Group -> command -> what it does, as shown by `fastnn` alone.
GROUPS: dict[str, dict[str, str]] = {
    "Train": {
        "train digits": "an MLP on handwritten digits, to see it work",
        "train csv": "an MLP that predicts a column of your table",
        "train lm": "a GPT-style language model on your text",
        "train translate": "an encoder-decoder Transformer on sentences and translations",
        "launch": "run a script or a training on several ranks",
    },
    "Use a model": {
        "predict": "predict with a model on a table or a digit",
        "generate": "generate text with a trained model",
        "translate": "translate FILE (or standard input), line by line",
        "embed": "vectors of the lines of a text, by a sentence encoder",
        "search": "the lines of a text that are most similar to a query",
        "evaluate": "score a model on data with known answers",
        "show": "layers, parameters and columns of a model",
        "export": "write a model for ONNX or PyTorch",
    },
    "This computer": {
        "info": "version, compiler, instruction sets, threads",
        "bench": "compare fastnn with other libraries, and write a report",
        "completion": "print a completion script for your shell",
    },
}
ABOUT = {name: about for group in GROUPS.values() for name, about in group.items()}

EXAMPLES = """Examples:
  fastnn train digits
  fastnn predict digits.safetensors --digit 5
  fastnn train csv churn.csv --target churn
  fastnn predict model.safetensors new.csv --keep customer
  fastnn train lm --text book.txt
  fastnn COMMAND --help"""


def overview() -> str:
    """Return the groups of commands, for the help of `fastnn` alone."""
    width = max(map(len, ABOUT))
    lines = ["Train and run small neural networks on a CPU."]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {n:{width}}  {about}" for n, about in commands.items())]
    return "\n".join([*lines, "", EXAMPLES])


def make_parser(with_bench: bool = False) -> Parser:
    """Return the parser of the whole command line; the options of `bench` are loaded if asked."""
    parser = Parser(
        prog="fastnn",
        description=overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)

    def add(name: str) -> Any:
        return commands.add_parser(name, help=ABOUT[name], description=ABOUT[name])

    about = "train a model and save it"
    _add_train(commands.add_parser("train", help=about, description=about))
    table_options.add_predict(add("predict"))
    lm_options.add_generate(add("generate"))
    translate_options.add_translate(commands)
    embed_options.add_all(add)
    add_launch(add("launch"))
    bench = add("bench")
    if with_bench:
        from ..bench.command import add_arguments

        add_arguments(bench)
    model_options.add_all(add)
    add_json(add("info"))
    return parser


def _add_train(command: argparse.ArgumentParser) -> None:
    tasks = command.add_subparsers(dest="task_name", metavar="task")
    about = "1,797 handwritten digits of 8 x 8 pixels"
    digits = tasks.add_parser("digits", help=about, description=about)
    about = "predict one column of a CSV file from the others"
    table = tasks.add_parser("csv", help=about, description=about)
    table_options.add_train(table)
    for task, defaults in ((digits, DIGITS), (table, TABLE)):
        _add_training(task, defaults)
    about = "train a GPT-style language model on a text file"
    lm_options.add_train(tasks.add_parser("lm", help=about, description=about))
    translate_options.add_train(tasks)
    for task in tasks.choices.values():
        add_quiet(task)
        add_json(task)


class Defaults(NamedTuple):
    """Defaults of the options that digits and tables share."""

    epochs: int
    batch_size: int
    lr: float
    hidden: tuple[int, ...]
    output: str


# The defaults for digits; docs/tuning.md has the accuracy they reach.
DIGITS = Defaults(30, 32, 3e-3, (256, 128), "digits.safetensors")

# The best compromise over five small tables; longer training overfits (docs/tuning.md).
TABLE = Defaults(30, 32, 1e-3, (64, 64), "model.safetensors")


def _add_training(command: argparse.ArgumentParser, defaults: Defaults) -> None:
    numbers = (
        ("epochs", count, defaults.epochs, "default: %(default)s"),
        ("batch-size", count, defaults.batch_size, "examples per step"),
        ("lr", rate, defaults.lr, "learning rate of AdamW"),
    )
    add_numbers(command, numbers)
    command.add_argument(
        "--hidden",
        type=units,
        nargs="+",
        action=Extend,
        default=list(defaults.hidden),
        metavar="N",
        help=f"units of each hidden layer (default: {' '.join(map(str, defaults.hidden))})",
    )
    add_numbers(command, [("seed", seed, 0, "random seed"), THREADS])
    command.add_argument(
        "--output",
        default=defaults.output,
        metavar="FILE",
        help="model file (default: %(default)s)",
    )
    command.add_argument(
        "--plot-loss",
        "--plot",
        dest="plot",
        metavar="FILE.png",
        help="plot loss and accuracy per epoch",
    )
