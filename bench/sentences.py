"""Vectors of texts beside onnxruntime: speed, and the memory of 64 texts of 512 tokens.

    python -m bench.sentences MODEL [--threads 2]

MODEL is a folder of sentence-transformers. The peer needs the packages onnx and onnxruntime; its
graph is the model's own, written by `models.to_onnx`, and its batches are padded as usual.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import models, set_num_threads

WORDS = "the a cat river old tax paid new return of bank green slow and boat is not in to for"
BATCH = 32  # texts in a padded batch, the default of sentence-transformers
CASES = {"1 text of 16 tokens": [16], "64 texts of 8 to 64 tokens": None, "8 of 256": [256] * 8}


def texts(lengths: list[int] | None) -> list[str]:
    rng = np.random.default_rng(0)
    words = WORDS.split()
    found = rng.integers(8, 65, 64).tolist() if lengths is None else lengths
    return [" ".join(rng.choice(words, max(1, n - 2))) for n in found]


class Padded:
    """onnxruntime over padded batches, sorted by length, with the mean of the vectors."""

    def __init__(self, encoder: models.SentenceEncoder, threads: int) -> None:
        import onnxruntime

        self.encoder = encoder
        options = onnxruntime.SessionOptions()
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


def seconds(run: Callable[[], object], least: float = 1.0) -> float:
    """Return the least time of a call, over at least so many seconds."""
    run()
    times: list[float] = []
    while sum(times) < least or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(folder: str, peer: bool, threads: int) -> float:
    """Return the MB that 64 texts of 512 tokens take beyond the loaded model."""
    encoder = models.SentenceEncoder.load(folder)
    encoder.max_len = min(512, encoder.model.max_len)
    encoder.tokenizer.enable_truncation(encoder.max_len)
    run: Any = Padded(encoder, threads) if peer else encoder
    run.encode(["a cat"])
    before = peak()
    run.encode(texts([600] * 64))
    return peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", choices=("fastnn", "onnxruntime"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    set_num_threads(args.threads)
    if args.memory:
        print(json.dumps(memory(args.model, args.memory == "onnxruntime", args.threads)))
        return
    start = time.perf_counter()
    encoder = models.SentenceEncoder.load(args.model)
    print(f"load: {time.perf_counter() - start:.3f} s")
    peer = Padded(encoder, args.threads)
    for name, lengths in CASES.items():
        some = texts(lengths)
        ours, theirs = encoder.encode(some), peer.encode(some)
        error = float(np.abs(ours - theirs).max())
        a, b = (seconds(partial(run.encode, some)) for run in (encoder, peer))
        print(f"{name}: {a * 1e3:.2f} ms, onnxruntime {b * 1e3:.2f} ms, ratio {b / a:.2f}")
        print(f"  largest difference {error:.0e}")
    for who in ("fastnn", "onnxruntime"):
        command = [sys.executable, "-m", "bench.sentences", args.model, f"--memory={who}"]
        command.append(f"--threads={args.threads}")
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"64 texts of 512 tokens, {who}: {json.loads(found):.0f} MB beyond the model")


if __name__ == "__main__":
    main()
