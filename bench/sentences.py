"""Vectors of texts beside onnxruntime: speed, memory, and the accuracy of weights of fewer bits.

    python -m bench sentences MODEL [--threads 2]              # and 64 texts of 512 tokens
    python -m bench sentences MODEL --weights [--texts FILE]   # a table in Markdown

MODEL is a folder of sentence-transformers. The peer needs the packages onnx and onnxruntime; its
graph is the model's own, written by `models.to_onnx`, and its batches are padded as usual. Weights
are compared by the cosines of vectors to those in float32, and by the largest change of the cosine
of two texts; without FILE, texts are the first speeches of *Romeo and Juliet*.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import build_info, models, set_num_threads
from fastnn.bench.operations import FORMATS
from fastnn.bench.worker import peak_bytes, time_blocks
from fastnn.data import load_text

WORDS = "the a cat river old tax paid new return of bank green slow and boat is not in to for"
BATCH = 32  # texts in a padded batch, the default of sentence-transformers
CASES = {"1 text of 16 tokens": [16], "64 texts of 8 to 64 tokens": None, "8 of 256": [256] * 8}
SAMPLES, SECONDS = 5, 0.2


def texts(lengths: list[int] | None) -> list[str]:
    rng, words = np.random.default_rng(0), WORDS.split()
    found = rng.integers(8, 65, 64).tolist() if lengths is None else lengths
    return [" ".join(rng.choice(words, max(1, n - 2))) for n in found]


class Padded:
    """onnxruntime over padded batches, sorted by length, with the mean of the vectors."""

    def __init__(self, encoder: models.SentenceEncoder, threads: int) -> None:
        import onnxruntime

        self.encoder, options = encoder, onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            models.to_onnx(encoder.model, path)
            self.session = onnxruntime.InferenceSession(str(path), options)

    def encode(self, texts: list[str]) -> Any:
        ids = self.encoder.tokenize(texts)
        order = np.argsort([len(x) for x in ids])
        vectors = np.empty((len(ids), self.encoder.dim), np.float32)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            lengths = np.array([len(ids[i]) for i in some])
            x = np.zeros((len(some), lengths.max()), np.int64)
            for row, i in zip(x, some, strict=True):
                row[: len(ids[i])] = ids[i]
            (hidden,) = self.session.run(["y"], {"x": x, "lengths": lengths})
            counts = np.arange(x.shape[1]) < lengths[:, None]
            means = (hidden * counts[:, :, None]).sum(axis=1) / lengths[:, None]
            vectors[some] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors


def memory(folder: str, peer: bool, threads: int) -> float:
    """Return the MB that 64 texts of 512 tokens take beyond the loaded model."""
    encoder = models.SentenceEncoder.load(folder)
    encoder.max_len = min(512, encoder.model.max_len)
    encoder.tokenizer.enable_truncation(encoder.max_len)
    run: Any = Padded(encoder, threads) if peer else encoder
    run.encode(["a cat"])
    before = peak_bytes()
    run.encode(texts([600] * 64))
    return (peak_bytes() - before) / 2**20


def speeches(n: int) -> list[str]:
    """Return the first n speeches of the play, without names and line breaks."""
    parts = load_text().split("\n\n")
    found = [" ".join(part.splitlines()[1:]) for part in parts]
    return [text for text in found if len(text) > 20][:n]


def accuracy(folder: str, texts: list[str]) -> None:
    """Print the table of weights of 16 and 8 bits."""
    exact = models.SentenceEncoder.load(folder).encode(texts, normalize=True).astype(float)
    print(f"{len(texts)} texts, {build_info()['isa']}\n")
    print("| weights | mean cosine | least cosine | largest change of a cosine |")
    print("| --- | ---: | ---: | ---: |")
    for form in FORMATS:
        encoder = models.SentenceEncoder.load(folder, weights=form)
        vectors = encoder.encode(texts, normalize=True).astype(float)
        cosines = (vectors * exact).sum(axis=1)
        change = np.abs(vectors @ vectors.T - exact @ exact.T).max()
        print(f"| {form} | {cosines.mean():.6f} | {cosines.min():.6f} | {change:.4f} |")


def main(argv: list[str] | None = None) -> None:
    """Print times beside the peer's, and the memory of each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", action="store_true", help="their accuracy")
    parser.add_argument("--texts", metavar="FILE", help="UTF-8, one text per line")
    parser.add_argument("--memory", choices=("fastnn", "onnxruntime"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    set_num_threads(args.threads)
    if args.weights:
        read = Path(args.texts).read_text("utf-8").splitlines() if args.texts else speeches(64)
        accuracy(args.model, read)
        return
    if args.memory:
        print(f"{memory(args.model, args.memory == 'onnxruntime', args.threads):.0f}")
        return
    start = time.perf_counter()
    encoder = models.SentenceEncoder.load(args.model)
    print(f"load: {time.perf_counter() - start:.3f} s")
    peer = Padded(encoder, args.threads)
    for name, lengths in CASES.items():
        runs = [partial(run.encode, texts(lengths)) for run in (encoder, peer)]
        error = float(np.abs(runs[0]() - runs[1]()).max())
        a, b = (1e3 * min(time_blocks(run, SAMPLES, SECONDS)) for run in runs)
        print(f"{name}: {a:.2f} ms, onnxruntime {b:.2f} ms, ratio {b / a:.2f}")
        print(f"  largest difference {error:.0e}")
    for who in ("fastnn", "onnxruntime"):
        command = [sys.executable, *sys.orig_argv[1:], f"--memory={who}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"64 texts of 512 tokens, {who}: {found.strip()} MB beyond the model")
