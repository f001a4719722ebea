"""`fastnn generate`: a language model goes on with a text."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator

from ..kernels.threads import num_threads
from ..models import TransformerLM, stream
from ..text import Vocab, from_json
from ..text.vocab import Ids
from ..train import ModelFileError, load, load_metadata
from .errors import UsageError

# What the metadata of a model file call its vocabulary.
VOCABULARY_KEY = "vocabulary"

# Between samples, as nanoGPT prints it.
SEPARATOR = "---------------"


def generate(args: argparse.Namespace) -> None:
    """Print the prompt and what follows on it, token by token."""
    try:
        model, vocab = load_with_vocabulary(args.model)
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    ids = encoded(vocab, args.prompt)
    plan = model.freeze()
    options = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p")}
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        for i in range(args.num_samples):
            if i:
                print(SEPARATOR)
            seed = None if args.seed is None else args.seed + i
            try:
                tokens = stream(plan, ids, args.max_new_tokens, seed=seed, **options)
                sys.stdout.write(args.prompt)
                for piece in spelled(vocab, ids, tokens):
                    sys.stdout.write(piece)
                    sys.stdout.flush()
            except UnicodeEncodeError:
                raise  # a ValueError too, which `main` describes
            except ValueError as error:  # top_p above 1, logits of NaN, seeds past the last
                raise UsageError(str(error)) from error
            print(flush=True)


def load_with_vocabulary(path: str) -> tuple[TransformerLM, Vocab]:
    """A model of `fastnn train lm`; ModelFileError for any other file."""
    model = load(path)
    if not isinstance(model, TransformerLM):
        raise ModelFileError(f"{path} is no language model, but has a {type(model).__name__}")
    described = load_metadata(path).get(VOCABULARY_KEY)
    if described is None:
        raise ModelFileError(f"{path} has no vocabulary: it is not written by `fastnn train lm`")
    try:
        vocab = from_json(described)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error
    if len(vocab) != model.vocab_size:
        raise ModelFileError(
            f"{path}: its vocabulary has {len(vocab)} tokens, its model {model.vocab_size}"
        )
    return model, vocab


def encoded(vocab: Vocab, prompt: str) -> Ids:
    """The ids of a prompt; UsageError if it has none, or characters that are not known."""
    try:
        ids = vocab.encode(prompt)
    except ValueError as error:
        raise UsageError(f"argument --prompt: {error}") from error
    if not len(ids):
        raise UsageError("argument --prompt: must have a character at least")
    if vocab.unk_id is not None and (ids == vocab.unk_id).any():
        raise UsageError(f"argument --prompt: {prompt!r:.80} has characters the model never read")
    return ids


def spelled(vocab: Vocab, prompt: Ids, tokens: Iterable[int]) -> Iterator[str]:
    """The text that each token adds, which may depend on the token before it (a space between)."""
    before = int(prompt[-1])
    for token in tokens:
        piece = vocab.decode([before, token])[len(vocab.decode([before])) :]
        yield piece
        if piece:
            before = token
