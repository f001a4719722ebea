"""Train an encoder-decoder on pairs of sentences: `fastnn train translate`."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import time
from typing import Any, NamedTuple

import numpy as np

from .. import models, optim
from ..data import token_batches
from ..files import ModelFileError, save
from ..files.atomic import check_writable
from ..kernels.ground.threads import get_num_threads, num_threads
from ..text import BPE
from ..text.vocab import SPECIALS
from .checks import check_apart, check_learnt, check_outputs
from .corpus import Pairs, hold_out, read_pairs
from .errors import UsageError
from .ranks import is_first, shards_of
from .report import counted, plot_loss, sample
from .runs import RunFile, asked_before, check_same
from .train_translate_report import Averaging, Progress
from .translate_options import TRAINING
from .vocabularies import VOCABULARY_KEY

OPTIONS_KEY = "fastnn.translate"
BETAS = (0.9, 0.98)

# Options that may change when a run is resumed.
FREE = ("updates", "threads")


class Corpus(NamedTuple):
    """Training and validation data, as text and in batches."""

    vocab: BPE
    train: Any
    validation: Any  # batches, or None
    shown: Pairs  # validation pairs, or training pairs if there are none


def train(args: argparse.Namespace) -> bool:
    """Train, save and plot; return True if Ctrl-C ended the training early.

    Errors in the options or the files are reported before the training starts.
    """
    check_outputs(args)
    run_path = f"{args.output}.run"
    check_writable(run_path)
    for name in ("src", "tgt", "valid_src", "valid_tgt"):
        path = {f"--{name.replace('_', '-')}": getattr(args, name)}
        check_apart({**path, "--output": args.output, "FILE.run": run_path, "--plot": args.plot})
    if (args.valid_src is None) != (args.valid_tgt is None):
        raise UsageError("--valid-src and --valid-tgt go together")
    if args.d_model % args.n_heads:
        raise UsageError(f"--d-model {args.d_model} must be a multiple of --n-heads {args.n_heads}")
    new_model(args, len(SPECIALS))  # check the sizes first: learning a vocabulary takes time
    before = asked_before(run_path) if args.resume else None
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        corpus = prepare(args)
        asked = _asked(args, corpus) | shards_of(args)
        if before is not None:
            check_same(before, asked)
        return _train(args, corpus, RunFile(run_path, asked))


def prepare(args: argparse.Namespace) -> Corpus:
    """Read the files, learn the vocabulary, make batches, and print a summary."""
    pairs = read_pairs(args.src, args.tgt)
    if args.valid_src is None:
        pairs, validation = hold_out(pairs, args.valid_share, args.seed)
    else:
        validation = read_pairs(args.valid_src, args.valid_tgt)
    try:
        vocab = BPE.train([*pairs.src, *pairs.tgt], args.vocab_size)
    except ValueError as error:
        raise UsageError(f"--vocab-size: {error}") from error
    pairs, train_ids = _short(args, vocab, pairs, "training")
    if not pairs.src:
        raise UsageError("all pairs are longer than --max-len or --max-tokens")
    validation, validation_ids = _short(args, vocab, validation, "validation")
    how: dict[str, Any] = {"bos_id": vocab.bos_id, "eos_id": vocab.eos_id, "pad_id": vocab.pad_id}
    batches = token_batches(*train_ids, args.max_tokens, seed=args.seed, **how)
    measured = None
    if validation.src:
        measured = token_batches(*validation_ids, args.max_tokens, shuffle=False, **how)
    print(
        f"{counted(len(pairs.src), 'training pair')}, "
        f"{counted(len(validation.src), 'validation pair')}; "
        f"vocabulary: {counted(len(vocab), 'token')}"
    )
    return Corpus(vocab, batches, measured, validation if validation.src else pairs)


def _short(
    args: argparse.Namespace, vocab: BPE, pairs: Pairs, name: str
) -> tuple[Pairs, tuple[list[Any], list[Any]]]:
    """Return the pairs that fit, and their ids; batches add one token to each side."""
    most = min(args.max_len, args.max_tokens) - 1
    src, tgt = vocab.encode_batch(pairs.src), vocab.encode_batch(pairs.tgt)
    rows = [i for i in range(len(src)) if max(len(src[i]), len(tgt[i])) <= most]
    if len(rows) < len(src):
        left_out = counted(len(src) - len(rows), f"{name} pair")
        print(f"{left_out} with more than {counted(most, 'token')} left out")
    return pairs.take(rows), ([src[i] for i in rows], [tgt[i] for i in rows])


def new_model(args: argparse.Namespace, vocab_size: int) -> models.Seq2SeqTransformer:
    """Return a new model; UsageError if its sizes are out of range."""
    try:
        model = models.Seq2SeqTransformer(
            vocab_size,
            d_model=args.d_model,
            n_heads=args.n_heads,
            n_layers=args.n_layers,
            d_ff=args.d_ff,
            max_len=args.max_len,
            dropout=args.dropout,
            attention_dropout=0.0,
            rng=args.seed,
        )
    except ValueError as error:  # too many layers, or a position table too large for memory
        raise UsageError(str(error)) from error
    model.seed(args.seed)
    return model


def _train(args: argparse.Namespace, corpus: Corpus, run_file: RunFile) -> bool:
    vocab, batches = corpus.vocab, corpus.train
    model = new_model(args, len(vocab))
    epochs = math.ceil(args.updates / len(batches))
    print(
        f"Transformer, {args.n_layers} + {args.n_layers} layers, width {args.d_model}: "
        f"{model.parameters().size:,} parameters, {counted(get_num_threads(), 'thread')}; "
        f"{counted(epochs, 'epoch')} of {counted(len(batches), 'batch', 'es')}",
        flush=True,
    )
    try:
        schedule = optim.schedules.inverse_sqrt(args.lr, args.warmup)
    except ValueError as error:  # a number of steps above 2^63
        raise UsageError(f"--warmup: {error}") from error
    optimizer = optim.Adam(model.parameters(), lr=schedule, betas=BETAS)
    average = optim.ExponentialMovingAverage(model.parameters(), args.ema) if args.ema else None
    start = time.perf_counter()
    with Progress(epochs, corpus.train, _Sample(model, corpus, average)) as shown, run_file:
        callbacks: list[Any] = [shown, run_file]
        try:
            history = model.fit(
                batches,
                optimizer=optimizer,
                epochs=epochs,
                label_smoothing=args.label_smoothing,
                validation_data=corpus.validation,
                ema=average,
                callbacks=callbacks + [Averaging(args.ema)] * (average is not None),
                resume=run_file.file if args.resume else None,
                seed=args.seed,
                comm=args.comm,
                verbose=0,
            )
        except ModelFileError as error:
            raise UsageError(str(error)) from error
    ended = "interrupted after" if history.interrupted else "trained for"
    seconds = time.perf_counter() - start
    print(f"{ended} {optimizer.steps:,} steps; this run took {seconds:.1f} s")
    if not is_first(args):
        return history.interrupted
    with average.applied() if average is not None else contextlib.nullcontext():
        check_learnt(model, args.output)
        options = {
            name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name in TRAINING
        }
        metadata = {VOCABULARY_KEY: vocab.to_json(), OPTIONS_KEY: json.dumps(options)}
        save(model, args.output, metadata=metadata)
        print(f"model saved to {args.output}{run_file.clause()}", flush=True)
        if args.plot:
            try:
                draw(model, vocab, corpus.shown, args.plot)
            except ValueError as error:  # finite weights, but NaN logits
                raise UsageError(f"--plot: {error}") from error
            print(f"attention maps written to {args.plot}")
        args.result |= {"model": args.output, "history": history.history}
        plot_loss(args, history)
    return history.interrupted


def _asked(args: argparse.Namespace, corpus: Corpus) -> dict[str, Any]:
    """Return what must not change when a run is resumed."""
    names = [name for name in TRAINING if name not in FREE]
    pieces = hashlib.sha256(corpus.vocab.to_json().encode()).hexdigest()
    tokens = int(corpus.train.n_src.sum()), int(corpus.train.n_tgt.sum())
    asked = {f"--{name}": getattr(args, name.replace("-", "_")) for name in names}
    return asked | {"the text": f"{tokens[0]}, {tokens[1]} tokens of vocabulary {pieces[:12]}"}


class _Sample:
    """A sentence, its reference translation, and the model's current translation."""

    def __init__(self, model: Any, corpus: Corpus, average: Any) -> None:
        self.model, self.vocab, self.average = model, corpus.vocab, average
        i = example(corpus.shown)
        self.src, self.tgt = corpus.shown.src[i], corpus.shown.tgt[i]

    def first(self) -> str:
        """Return the sentence and its reference translation."""
        return f"sample  {self.src}\n        {self.tgt}"

    def now(self) -> str:
        """Return the model's translation."""
        how = contextlib.nullcontext() if self.average is None else self.average.applied()
        with how:
            return sample(lambda: models.translate(self.model, self.vocab, [self.src], beams=1)[0])


def example(pairs: Pairs) -> int:
    """Return the row of a sentence of median length."""
    lengths = [len(sentence.split()) for sentence in pairs.src]
    return int(np.argsort(lengths, kind="stable")[len(lengths) // 2])


def draw(model: Any, vocab: Any, pairs: Pairs, path: str) -> None:
    """Plot heat maps of what each token of a translation attends to in the source."""
    from ..plot import attention_maps

    source = pairs.src[example(pairs)]
    src = np.append(vocab.encode(source), vocab.eos_id)
    (best,) = model.generate(
        src[None], bos=vocab.bos_id, eos=vocab.eos_id, max_len=model.max_len, length_penalty=1.0
    )
    tokens = best[0].tokens
    tgt = np.concatenate([[vocab.bos_id], tokens[:-1]])
    weights = model.attention_weights(src[None], tgt[None])
    labels = [[vocab.tokens[i].replace(" ", "_") for i in ids] for ids in (src, tokens)]
    attention_maps(
        [layer[0] for layer in weights.cross], path, xlabels=labels[0], ylabels=labels[1]
    )
