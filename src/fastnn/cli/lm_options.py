"""Define the options of `fastnn train lm`, named as in nanoGPT, and of `fastnn generate`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from .arguments import (
    THREADS,
    add_numbers,
    add_weights,
    count,
    count_or_0,
    not_negative,
    rate,
    seed,
    share,
    text,
    units,
)

# (name, type, default, help). The defaults are nanoGPT's recipe for a CPU.
RECIPE: tuple[tuple[str, Any, Any, str], ...] = (
    ("n_layer", count, 4, "Transformer blocks"),
    ("n_head", count, 4, "attention heads"),
    ("n_embd", units, 128, "width, a multiple of n_head"),
    ("block_size", count, 64, "context length in tokens"),
    ("batch_size", count, 12, "windows of the text per iteration"),
    ("dropout", share, 0.0, "fraction of the units dropped in each iteration"),
    ("learning_rate", rate, 1e-3, "peak learning rate of AdamW"),
    ("min_lr", not_negative, None, "final learning rate (default: learning_rate / 10)"),
    (
        "warmup_iters",
        count_or_0,
        None,
        "warm-up iterations (default: 100, at most 1/20 of the decay)",
    ),
    ("max_iters", count, 2000, "training iterations"),
    ("lr_decay_iters", count, None, "iterations until min_lr is reached (default: max_iters)"),
    ("weight_decay", not_negative, 0.1, "weight decay of matrices"),
    ("beta1", share, 0.9, "beta1 of AdamW"),
    ("beta2", share, 0.99, "beta2 of AdamW"),
    ("grad_clip", not_negative, 1.0, "clip gradients to this norm; 0: off"),
    ("eval_interval", count, 250, "iterations between evaluations"),
    ("eval_iters", count, 20, "validation batches per evaluation"),
)

SAMPLING: tuple[tuple[str, Any, Any, str], ...] = (
    ("max_new_tokens", count, 500, "tokens per sample"),
    ("temperature", not_negative, 0.8, "below 1 favors likely tokens, 0 takes the likeliest"),
    ("top_k", count, None, "sample from the N likeliest tokens"),
    ("top_p", rate, None, "sample from the likeliest tokens whose total probability is F"),
    ("repetition_penalty", rate, 1.0, "above 1, tokens that occurred are less likely"),
    ("seed", seed, None, "random seed"),
    ("num_samples", count, 1, "number of samples"),
    THREADS,
)

# Default warm-up: 100 iterations, or 1/20 of the decay if that is less.
WARMUP, WARMUP_SHARE = 100, 20


def add_train(command: argparse.ArgumentParser) -> None:
    """Add the options of `fastnn train lm`."""
    command.add_argument(
        "--text",
        metavar="FILE",
        help="UTF-8, may be gzip; - is standard input (default: Shakespeare's Romeo and Juliet)",
    )
    command.add_argument(
        "--vocab",
        choices=["chars", "bpe"],
        default="chars",
        help="tokens: characters (the default) or byte-pair encoding",
    )
    vocab_size = ("vocab_size", count, None, "vocabulary size for bpe (default: 1024)")
    add_numbers(command, (vocab_size, *RECIPE), {"learning_rate": "--lr"})
    command.add_argument(
        "--bias",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="use biases in linear layers and norms; off by default",
    )
    add_numbers(command, [("seed", seed, 1337, "random seed"), THREADS])
    command.add_argument(
        "--output",
        "--out",
        default="lm.safetensors",
        metavar="FILE",
        help="model file (default: %(default)s); FILE.run holds the run to resume",
    )
    command.add_argument("--resume", action="store_true", help="resume the run in FILE.run")
    command.add_argument(
        "--plot-attention",
        "--plot",
        dest="plot",
        metavar="FILE.png",
        help="save attention maps of a validation text",
    )
    command.add_argument(
        "--plot-loss", metavar="FILE.png", help="plot the training and validation loss"
    )


def settle(args: argparse.Namespace, before: Mapping[str, Any]) -> None:
    """Set the options that depend on others; values of the resumed run `before` come first."""
    for name in ("lr_decay_iters", "warmup_iters", "min_lr", "vocab_size"):
        if getattr(args, name) is None:
            setattr(args, name, before.get(f"--{name}"))
    if args.lr_decay_iters is None:
        args.lr_decay_iters = args.max_iters
    if args.warmup_iters is None:
        args.warmup_iters = min(WARMUP, args.lr_decay_iters // WARMUP_SHARE)
    if args.min_lr is None:
        args.min_lr = args.learning_rate / 10
    if args.vocab == "bpe" and args.vocab_size is None:
        args.vocab_size = 1024


def add_generate(command: argparse.ArgumentParser) -> None:
    """Add the options of `fastnn generate`."""
    command.add_argument(
        "model",
        metavar="MODEL",
        help="a file written by `fastnn train lm`, or a pretrained model: a folder or a .gguf file",
    )
    command.add_argument(
        "--prompt",
        type=text,
        metavar="TEXT",
        help="text to continue (default: an empty line, if the model knows it)",
    )
    command.add_argument(
        "--chat",
        action="store_true",
        help="answer the prompt, or each line of the standard input (pretrained models)",
    )
    command.add_argument(
        "--stop",
        type=text,
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text; may be repeated (pretrained models)",
    )
    add_weights(command)
    add_numbers(command, SAMPLING)
