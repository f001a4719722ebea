"""All readers of files, on mutated files; ``python -c`` of common.batch runs `mutated`."""

import argparse
import functools
import io
import os
import random
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from fastnn import models, nn
from fastnn.cli.errors import Failure, UsageError
from fastnn.cli.predict_table import predict
from fastnn.cli.vocabularies import load_with_vocabulary
from fastnn.data.idx import IdxError, read_idx
from fastnn.files import ModelFileError, load, load_lora, load_metadata, save_lora
from fastnn.models import Seq2SeqTransformer, TransformerLM
from fastnn.text import Vocab, from_json
from fastnn.train import load_checkpoint
from tests.golden import cases

from . import common, mutate

FOLDER = Path(__file__).parents[1] / "golden" / "0.1.0"
PRETRAINED = Path(__file__).parents[1] / "models" / "pretrained"
TEMPORARY = tempfile.TemporaryDirectory(prefix="fastnn-")  # goes with the process
FILES = [path for path in sorted(FOLDER.iterdir()) if path.suffix != ".npz"]
ONE_LINE = 1000  # characters of a message
ALLOWANCE = 64 << 20  # bytes of address space for a file of a few KiB and its reader
KINDS = {"cli-lm": (TransformerLM, "lm"), "cli-translate": (Seq2SeqTransformer, "translate")}


def clear(error):
    """Check that the message of an error is one nonempty line."""
    text = str(error)
    assert text and "\n" not in text and len(text) < ONE_LINE, f"{error!r:.300}"
    return type(error).__name__


def attempt(function, *args, allowed):
    """Return the function's result, or None and the name of a documented error."""
    try:
        return function(*args), "read"
    except allowed as error:
        return None, clear(error)


@functools.cache
def here():
    """Return a folder for the files of this process."""
    folder = Path(TEMPORARY.name)
    cases.write_texts(folder)
    return folder


@functools.cache
def inputs(stem):
    """Return the arguments for the model of a golden file."""
    with np.load(FOLDER / "outputs.npz") as arrays:
        found = {k.removeprefix(f"{stem}/"): arrays[k] for k in arrays if k.startswith(f"{stem}/")}
    args = [found[name] for name in sorted(found) if name.startswith("arg")]
    return args, {name: found[name] for name in found if name in ("lengths", "src_lengths")}


def mutated(seed):
    """Damage one golden file and read it with every reader of its kind; name the result."""
    limit_memory()
    rng = random.Random(seed)
    source = FILES[seed % len(FILES)]
    path = here() / "mutated.safetensors"
    path.write_bytes(mutate.mutated(source.read_bytes(), rng))
    found = read_model(path, source)
    if source.stem.startswith("fit-") or source.suffix == ".run":
        found = read_run(path, source)
    if source.stem.startswith("cli-table"):
        read_table(path)
    elif source.name.split(".")[0] in KINDS:
        read_texts(path, *KINDS[source.name.split(".")[0]])
    return found


def read_model(path, source):
    """`load`, and one forward pass of what it loads."""
    attempt(load_metadata, path, allowed=(ModelFileError, OSError))
    model, how = attempt(load, path, allowed=(ModelFileError, OSError))
    if model is not None:
        args, named = inputs(source.stem)
        if args:
            attempt(lambda: model(*args, **named), allowed=(ValueError, TypeError, IndexError))
        attempt(model.freeze, allowed=(ValueError, TypeError))
        model.save(here() / "again.safetensors")
        assert load(here() / "again.safetensors").config() == model.config()
    return how


def read_run(path, source):
    """`load_checkpoint` into a model, which is as before after an error."""
    model = load(source)
    before, state = model.parameters().data.copy(), model.random_state()
    found, how = attempt(load_checkpoint, path, model, allowed=(ModelFileError, OSError))
    if found is None:
        assert model.parameters().data.tobytes() == before.tobytes()
        assert model.random_state() == state
    return how


def read_table(path):
    """`fastnn predict MODEL rows.csv`."""
    with redirect_stdout(io.StringIO()):
        options = {"output": None, "proba": False, "delimiter": None, "encoding": None}
        options["weights"] = None
        args = argparse.Namespace(
            model=os.fspath(path),
            file=os.fspath(here() / "rows.csv"),
            keep=None,
            result={},
            **options,
        )
        attempt(predict, args, allowed=(Failure, UsageError, OSError))


def read_texts(path, kind, task):
    """The vocabulary of `fastnn generate` and `fastnn translate`, and two tokens of the model."""
    read = load_with_vocabulary
    both, _ = attempt(read, os.fspath(path), kind, task, allowed=(UsageError, OSError))
    if both is None:
        return
    model, vocab = both
    ids = words(vocab)
    if kind is TransformerLM and ids:
        attempt(model.generate, [ids[: model.max_len]], 2, allowed=(ValueError,))


@functools.cache
def pretrained():
    """Return the files of every folder of a pretrained model: [{name: content}]."""
    folders = sorted(path for path in PRETRAINED.iterdir() if path.is_dir())
    return [
        {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".npz"}
        for folder in folders
    ]


def folder(seed):
    """`models.load` of a folder, one file of which is damaged, most often the config."""
    limit_memory()
    rng = random.Random(seed)
    files = dict(pretrained()[seed % len(pretrained())])
    name = rng.choice([*files, "config.json"])
    if name.endswith(".json") and rng.random() < 0.8:
        files[name] = mutate.rewritten(files[name].decode(), rng).encode()
    elif name.endswith(".json"):
        files[name] = mutate.flipped(files[name], rng)
    else:
        files[name] = mutate.mutated(files[name], rng)
    with tempfile.TemporaryDirectory(dir=here()) as made:
        for each, content in files.items():
            (Path(made) / each).write_bytes(content)
        model, how = attempt(models.load, made, allowed=(ModelFileError, OSError))
        if model is not None:
            with np.errstate(all="ignore"):
                attempt(model, np.array([[1, 2]]), allowed=(ValueError, IndexError))
    return how


def words(vocab):
    """Return the ids of a text, which may have unknown characters."""
    ids, _ = attempt(vocab.encode, "fünf elf", allowed=(ValueError,))
    if ids is not None:
        vocab.decode(ids)
    return ids


@functools.cache
def vocabularies():
    """Return the JSON of each vocabulary in the golden files."""
    found = [load_metadata(path).get("vocabulary") for path in FILES]
    return [text for text in found if text]


def vocabulary(seed):
    """`text.from_json` of the damaged JSON of a vocabulary."""
    limit_memory()
    rng = random.Random(seed)
    text = vocabularies()[seed % len(vocabularies())]
    if rng.random() < 0.3:
        text = mutate.flipped(text.encode(), rng).decode("utf-8", "surrogateescape")
    else:
        text = mutate.rewritten(text, rng)
    vocab, how = attempt(from_json, text, allowed=(ValueError,))
    if vocab is not None:
        assert isinstance(vocab, Vocab)
        words(vocab)
        assert len(from_json(vocab.to_json())) == len(vocab)
    return how


@functools.cache
def branches():
    """Return a file of the branches of a LoRA."""
    path = here() / "branches"
    save_lora(nn.LoRA(network(), 2, targets="*", dropout=0.1, rng=0), path)
    return path.read_bytes()


def network():
    return nn.Sequential(nn.MLP((6, 5, 4), rng=0), nn.FeedForward(4, 8, rng=1))


def lora(seed):
    """`load_lora` of a damaged file into a model, which is as before after an error."""
    content, model, x = branches(), network(), np.ones((1, 6), np.float32)
    before = model(x)
    limit_memory()
    path = here() / "damaged"
    path.write_bytes(mutate.mutated(content, random.Random(seed)))
    found, how = attempt(load_lora, path, model, allowed=(ModelFileError, OSError))
    if found is None:
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert model(x).tobytes() == before.tobytes()
    else:
        with np.errstate(all="ignore"):
            found.merge()(x)
    return how


def idx(seed):
    """`read_idx` of a damaged file of images."""
    limit_memory()
    rng = random.Random(seed)
    images = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(range(80))
    content = mutate.flipped(images[:16], rng) + images[16:]
    if rng.random() < 0.5:
        content = rng.choice([mutate.truncated, mutate.moved])(images, rng)
    path = here() / "images"
    path.write_bytes(content)
    return attempt(read_idx, path, allowed=(IdxError, OSError))[1]


@functools.cache
def limit_memory():
    """Let this process have ALLOWANCE more than it has once everything is loaded."""
    for path in FILES:
        model = load(path)
        args, named = inputs(path.stem)
        if args:
            model(*args, **named)
    for name, kind in KINDS.items():
        read_texts(FOLDER / f"{name}.safetensors", *kind)
    read_table(FOLDER / "cli-table.safetensors")
    common.limit_memory(ALLOWANCE)
