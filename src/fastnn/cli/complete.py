"""Texts and answers of pretrained language models: `fastnn generate FOLDER`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..files.tensors import ModelFileError
from ..kernels import NotLowerable
from ..kernels.ground.threads import num_threads
from ..models import TextModel
from .errors import UsageError
from .generate import SEPARATOR
from .report import counted
from .streams import complain

# Printed before a line of a conversation is read from a terminal.
ASKED = "> "


def complete(args: argparse.Namespace) -> None:
    """Print the continuation of a prompt, or the answers of a conversation, as they come."""
    if args.prompt is None and not args.chat:
        raise UsageError(f"{args.model} is a pretrained model: it needs --prompt or --chat")
    options = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p")}
    options |= {"repetition_penalty": args.repetition_penalty, "stop": args.stop}
    options["max_new_tokens"] = args.max_new_tokens
    try:
        model = TextModel.load(args.model, weights=args.weights)
        with num_threads(args.threads) if args.threads else contextlib.nullcontext():
            if args.chat:
                _converse(model, args.prompt, options | {"seed": args.seed})
            else:
                _samples(model, args, options)
    except UnicodeEncodeError:
        raise  # also a ValueError, but `main` reports it
    except (ModelFileError, NotLowerable, ValueError) as error:
        raise UsageError(str(error)) from error


def _samples(model: TextModel, args: argparse.Namespace, options: dict[str, Any]) -> None:
    """Print the continuations of a prompt, each with a seed of its own."""
    for i in range(args.num_samples):
        if i:
            print(SEPARATOR)
        seed = None if args.seed is None else args.seed + i
        pieces = model.stream(args.prompt, **options, seed=seed)
        sys.stdout.write(args.prompt)
        _print(model, pieces)


def _converse(model: TextModel, prompt: str | None, options: dict[str, Any]) -> None:
    """Answer one prompt, or each line of the standard input, with what was said before."""
    messages: list[dict[str, str]] = []
    for line in _lines() if prompt is None else [prompt]:
        messages.append({"role": "user", "content": line})
        answer = _print(model, model.chat(messages, **options))
        messages.append({"role": "assistant", "content": answer})


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            sys.stderr.write(ASKED)
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.rstrip("\n")


def _print(model: TextModel, pieces: Iterator[str]) -> str:
    """Print pieces of text as they come, and tokens per second at the end; return the text."""
    text, first = "", 0.0
    for piece in pieces:
        first = first or time.perf_counter()
        text += piece
        sys.stdout.write(piece)
        sys.stdout.flush()
    print(flush=True)
    took, count = time.perf_counter() - first, model.new_tokens
    speed = f", {(count - 1) / took:.1f} tokens/s" if count > 1 and took > 0 and text else ""
    complain(f"{counted(count, 'token')}{speed}")
    return text
