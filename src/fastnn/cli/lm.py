"""Train a GPT-style language model on a text: `fastnn train lm`."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import crops, load_text, windows
from ..data.text_file import read_text
from ..files import ModelFileError, save
from ..files.atomic import check_writable
from ..kernels.ground.threads import get_num_threads, num_threads
from ..models import TransformerLM, stream
from ..optim import AdamW
from ..optim.schedules import warmup_cosine
from ..text import BPE, CharVocab, Vocab
from .checks import check_apart, check_learnt, check_outputs
from .corpus import read_by
from .errors import UsageError
from .generate import spelled
from .lm_options import RECIPE, settle
from .lm_report import Progress
from .ranks import is_first, shards_of
from .report import counted, plot_loss, report, sample, shown
from .runs import RunFile, asked_before, check_same
from .vocabularies import VOCABULARY_KEY

# Metadata key of the options that a model was trained with.
RECIPE_KEY = "recipe"

# Fraction of the text to train on, from its beginning, as in nanoGPT's prepare.py.
TRAINING_SHARE = 0.9

# Tokens of the line at each evaluation, of the final sample, and of the attention maps.
LINE, SAMPLE, DRAWN = 64, 300, 24
SAMPLE_TEMPERATURE = 0.8


class Corpus(NamedTuple):
    """Ids of the training and validation parts of a text."""

    vocab: Vocab
    train: NDArray[np.int32]
    validation: NDArray[np.int32]


def train(args: argparse.Namespace) -> bool:
    """Train, save, evaluate, sample and plot; return True if Ctrl-C ended the training early.

    Errors in the options or the text are reported before the training starts.
    """
    run_path = f"{args.output}.run"
    files = {
        "--text": args.text,
        "--output": args.output,
        "FILE.run": run_path,
        "--plot": args.plot,
    }
    check_apart(files)
    check_outputs(args)
    check_writable(run_path)
    before = asked_before(run_path) if args.resume else {}
    settle(args, before)
    text = load_text() if args.text is None else read_by(read_text, args.text)
    recipe = recipe_of(args, text)
    run_file = RunFile(run_path, asked_of(recipe) | shards_of(args))
    if args.resume:
        check_same(before, run_file.asked)
    # check sizes and schedule first: learning a vocabulary takes time
    new_optimizer(args, new_model(args, 1, np.random.default_rng(args.seed)))
    corpus = prepare(args, text)
    with num_threads(args.threads) if args.threads else contextlib.nullcontext():
        return _train(args, corpus, recipe, run_file)


def prepare(args: argparse.Namespace, text: str) -> Corpus:
    """Learn the vocabulary and encode both parts of the text; UsageError if one is too short."""
    cut = int(len(text) * TRAINING_SHARE)
    if args.vocab_size is not None and args.vocab != "bpe":
        raise UsageError("--vocab_size is for --vocab bpe")
    try:
        vocab: Vocab
        if args.vocab == "chars":
            vocab = CharVocab.from_text(text)
        else:
            vocab = BPE.train([text[:cut]], args.vocab_size)
    except ValueError as error:
        raise UsageError(f"{args.text or 'the text'}: {error}") from error
    parts = (np.array(vocab.encode(part), np.int32) for part in (text[:cut], text[cut:]))
    corpus = Corpus(vocab, *parts)
    for name, part in (("training", corpus.train), ("validation", corpus.validation)):
        if len(part) <= args.block_size:
            raise UsageError(
                f"{args.text or 'the text'}: its {name} part has {len(part)} tokens, and must have "
                f"more than --block_size {args.block_size}"
            )
    return corpus


def recipe_of(args: argparse.Namespace, text: str) -> dict[str, Any]:
    """Return what determines the bits of the model: the options and a checksum of the text."""
    names = [name for name, *_ in RECIPE] + ["bias", "vocab", "vocab_size", "seed"]
    return {name: getattr(args, name) for name in names} | {"text": zlib.crc32(text.encode())}


def asked_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what must not change when a run is resumed: its recipe without max_iters."""
    asked = {f"--{name}": value for name, value in recipe.items() if name != "max_iters"}
    asked["the checksum of the text"] = asked.pop("--text")
    return asked


class Iterations:
    """A callback that makes an epoch of each evaluation interval; the last ends with the run."""

    def __init__(self, args: argparse.Namespace, batches: Any) -> None:
        self.most, self.interval, self.batches = args.max_iters, args.eval_interval, batches

    def on_train_begin(self, run: Any) -> None:
        """Set the number of epochs, counting those already done."""
        self.run = run
        begun, done = run.optimizer.steps - run.step, run.optimizer.steps >= self.most
        run.epochs = run.epoch + (0 if done else math.ceil((self.most - begun) / self.interval))

    def on_epoch_begin(self, epoch: int) -> None:
        """Set the iterations of this epoch; the last may have fewer."""
        begun = self.run.optimizer.steps - self.run.step
        self.batches.steps = min(self.interval, self.most - begun)


def new_model(args: argparse.Namespace, vocab_size: int, rng: np.random.Generator) -> TransformerLM:
    """Return a new model; UsageError if its sizes do not match."""
    if args.n_embd % args.n_head:
        raise UsageError(f"--n_embd {args.n_embd} must be a multiple of --n_head {args.n_head}")
    sizes = args.n_embd, args.n_head, args.n_layer, args.block_size
    try:
        return TransformerLM(vocab_size, *sizes, dropout=args.dropout, bias=args.bias, rng=rng)
    except ValueError as error:  # more layers than a model may have
        raise UsageError(str(error)) from error


def new_optimizer(args: argparse.Namespace, model: TransformerLM) -> AdamW:
    """Return AdamW with nanoGPT's schedule; UsageError if the warm-up does not fit in it."""
    if args.warmup_iters >= args.lr_decay_iters:
        raise UsageError(
            f"--warmup_iters {args.warmup_iters} must be below --lr_decay_iters "
            f"{args.lr_decay_iters} (by default --max_iters)"
        )
    try:
        lr = warmup_cosine(args.learning_rate, args.warmup_iters, args.lr_decay_iters, args.min_lr)
    except ValueError as error:  # a number of iterations above 2^63
        raise UsageError(f"learning rate: {error}") from error
    betas = (args.beta1, args.beta2)
    return AdamW(model.parameters(), lr, betas, weight_decay=args.weight_decay)


def _train(
    args: argparse.Namespace, corpus: Corpus, recipe: dict[str, Any], run_file: RunFile
) -> bool:
    rng = np.random.default_rng(args.seed)
    model = new_model(args, len(corpus.vocab), rng)
    optimizer = new_optimizer(args, model)
    size = args.block_size, args.batch_size
    batches = crops(corpus.train, *size, seed=rng)
    # the same windows at each evaluation, so that their losses can be compared
    validation = list(crops(corpus.validation, *size, steps=args.eval_iters, seed=args.seed))

    def line() -> str:
        return " ".join(written(model, corpus, LINE, args.seed).split())

    unit = "character" if args.vocab == "chars" else "token"
    lines = report(1, n_batches=args.max_iters)
    progress = Progress(lines, args.max_iters, args.block_size * args.batch_size, line)
    print(
        f"{counted(args.n_layer, 'layer')}, {counted(args.n_head, 'head')}, width {args.n_embd}: "
        f"{model.parameters().size:,} parameters, {counted(get_num_threads(), 'thread')}\n"
        f"{len(corpus.train):,} training tokens, {len(corpus.validation):,} validation tokens; "
        f"vocabulary: {counted(len(corpus.vocab), unit)}"
    )
    start = time.perf_counter()
    try:
        with lines, run_file:
            history = model.fit(
                batches,
                optimizer=optimizer,
                validation_data=validation,
                clip_norm=args.grad_clip or None,
                callbacks=[Iterations(args, batches), progress, run_file],
                resume=run_file.file if args.resume else None,
                seed=args.seed,
                comm=args.comm,
                verbose=0,
            )
    except ModelFileError as error:
        raise UsageError(str(error)) from error
    seconds = time.perf_counter() - start
    ended = "interrupted after" if history.interrupted else "trained for"
    print(
        f"{ended} {optimizer.steps} of {args.max_iters} iterations; this run took {seconds:.1f} s"
    )
    if not is_first(args):
        return history.interrupted
    check_learnt(model, args.output)
    metadata = {VOCABULARY_KEY: corpus.vocab.to_json(), RECIPE_KEY: json.dumps(recipe)}
    save(model, args.output, metadata=metadata)
    print(f"model saved to {args.output}{run_file.clause()}", flush=True)
    _show(args, model, corpus)
    plot_loss(args, history)
    return history.interrupted


def whole_loss(model: TransformerLM, ids: NDArray[np.int32], length: int, batch_size: int) -> float:
    """Return the mean loss over all tokens of a text but the first, window by window."""
    total = count = 0.0
    for x, y in windows(ids, length, batch_size):
        loss, n = model.loss(x, y)
        total, count = total + loss * n, count + n
    return total / count


def written(model: TransformerLM, corpus: Corpus, n_tokens: int, seed: int) -> str:
    """Return what the model writes after the first token of the validation text."""
    prompt = corpus.validation[:1]
    tokens = stream(model.freeze(), prompt, n_tokens, temperature=SAMPLE_TEMPERATURE, seed=seed)
    return corpus.vocab.decode(prompt) + "".join(spelled(corpus.vocab, prompt.tolist(), tokens))


def _show(args: argparse.Namespace, model: TransformerLM, corpus: Corpus) -> None:
    loss = whole_loss(model, corpus.validation, args.block_size, args.batch_size)
    args.result |= {"model": args.output, "validation loss": loss}
    print(f"validation loss {loss:.4f} over the whole validation text")
    text = sample(lambda: written(model, corpus, SAMPLE, args.seed))
    print(f"sample:\n\n{shown(text)}")
    if args.plot:
        from ..plot import attention_maps

        ids = corpus.validation[: min(DRAWN, args.block_size)]
        labels = [corpus.vocab.tokens[i].replace("\n", "\\n") for i in ids]
        weights = [layer[0] for layer in model.attention_weights(ids[None])]
        attention_maps(weights, args.plot, xlabels=labels, ylabels=labels)
        print(f"\nattention maps written to {args.plot}")
