"""Continue a text with a language model: `fastnn generate`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..kernels.ground.threads import num_threads
from ..models import TransformerLM, stream
from ..text import Vocab
from ..text.vocab import SPECIALS, Ids
from .errors import UsageError
from .vocabularies import load_with_vocabulary
from .weights import frozen

# Line between samples, as in nanoGPT.
SEPARATOR = "---------------"


def generate(args: argparse.Namespace) -> None:
    """Print the prompt and its continuation, token by token."""
    if Path(args.model).is_dir() or args.model.endswith(".gguf"):
        from .complete import complete

        return complete(args)
    if args.chat or args.stop:
        option = "--chat" if args.chat else "--stop"
        raise UsageError(f"{option} is for a folder with a pretrained model, not {args.model}")
    model, vocab = load_with_vocabulary(args.model, TransformerLM, "lm")
    ids = opening(vocab) if args.prompt is None else encoded(vocab, args.prompt)
    prompt = vocab.decode(ids) if args.prompt is None else args.prompt
    plan = frozen(args, model)
    plan = model.freeze() if plan is model else plan
    names = "temperature", "top_k", "top_p", "repetition_penalty"
    options = {name: getattr(args, name) for name in names}
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        for i in range(args.num_samples):
            if i:
                print(SEPARATOR)
            seed = None if args.seed is None else args.seed + i
            try:
                tokens = stream(plan, ids, args.max_new_tokens, seed=seed, **options)
                sys.stdout.write(prompt)
                for piece in spelled(vocab, ids, tokens):
                    sys.stdout.write(piece)
                    sys.stdout.flush()
            except UnicodeEncodeError:
                raise  # also a ValueError, but `main` reports it
            except ValueError as error:  # top_p above 1, NaN logits, a seed that is too large
                raise UsageError(str(error)) from error
            print(flush=True)


def opening(vocab: Vocab) -> Ids:
    """Return the ids of an empty line, or the first token if the vocabulary has no newline."""
    try:
        return encoded(vocab, "\n")
    except UsageError:
        first = next((i for i, token in enumerate(vocab.tokens) if token not in SPECIALS), 0)
        return [first]


def encoded(vocab: Vocab, prompt: str) -> Ids:
    """Return the ids of a prompt; UsageError if it is empty or has unknown characters."""
    try:
        ids = vocab.encode(prompt)
    except ValueError as error:
        raise UsageError(f"argument --prompt: {error}") from error
    if not ids:
        raise UsageError("argument --prompt: must not be empty")
    if vocab.unk_id in ids:
        raise UsageError(f"argument --prompt: {prompt!r:.80} has characters the model never read")
    return ids


def spelled(vocab: Vocab, prompt: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """Yield the text that each token adds; a space may depend on the token before it."""
    before = int(prompt[-1])
    for token in tokens:
        piece = vocab.decode([before, token])[len(vocab.decode([before])) :]
        yield piece
        if piece:
            before = token
