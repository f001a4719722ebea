"""Train a small model on all ranks: what the tests in this folder start under mpiexec.

program.py TASK OUT.json [--epochs N] [--shards N] [--save FILE] [--resume FILE] [--pause S]
"""

import argparse
import hashlib
import json
import os
import time

import numpy as np

import fastnn
from fastnn import distributed, nn, optim
from fastnn.train import ModelCheckpoint


def md5(array):
    return hashlib.md5(array.tobytes()).hexdigest()


def mlp(options):
    """Dropout, weights of classes and rows, clipping, an average, an uneven last batch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(203, 20)).astype(np.float32), rng.integers(5, size=203)
    model = nn.Sequential(
        nn.Linear(20, 48, activation="relu", rng=1), nn.Dropout(0.3, rng=2), nn.Linear(48, 5, rng=3)
    )
    average = optim.ExponentialMovingAverage(model.parameters(), 0.9)
    options |= {"class_weight": "balanced", "clip_norm": 1.0, "validation_split": 0.2}
    options["metrics"] = {"wrong": lambda output, y: np.mean(output.argmax(axis=1) != y)}
    options |= {"sample_weight": rng.uniform(0.5, 2, size=203), "ema": average}
    history = fastnn.fit(model, x, y, optimizer="adamw", batch_size=30, seed=0, **options)
    return model, history, md5(average.average)


def accumulated(options):
    """Batches with fewer rows than shards, three to a step."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(77, 6)), rng.normal(size=(77, 2))
    model = nn.MLP((6, 16, 2), dtype=np.float64, rng=0)
    options |= {"loss": "mse", "accumulate": 3, "shuffle": False}
    return model, fastnn.fit(model, x, y, optimizer="sgd", batch_size=5, **options)


def lm(options):
    """A language model on random windows."""
    ids = np.random.default_rng(1).integers(50, size=3000)
    model = fastnn.models.TransformerLM(50, 32, 4, 2, 16, dropout=0.1, rng=0)
    batches = fastnn.data.crops(ids, 16, 12, steps=5, seed=1)
    options["validation_data"] = list(fastnn.data.crops(ids, 16, 12, steps=3, seed=2))
    return model, model.fit(batches, optimizer="adamw", **options)


def seq2seq(options):
    """An encoder-decoder on batches of about equally many tokens."""
    rng = np.random.default_rng(1)
    src = [rng.integers(4, 40, size=rng.integers(3, 12)) for _ in range(100)]
    model = fastnn.models.Seq2SeqTransformer(40, d_model=16, n_heads=2, n_layers=2, rng=0)
    marks = {"bos_id": 1, "eos_id": 2, "pad_id": 0}
    batches = fastnn.data.token_batches(src, [s[::-1] for s in src], 120, seed=0, **marks)
    return model, model.fit(batches, optimizer="adamw", label_smoothing=0.1, **options)


def loop(options):
    """A loop written by hand."""
    comm, rng = options["comm"], np.random.default_rng(0)
    x, y = rng.normal(size=(29, 20)).astype(np.float32), rng.integers(5, size=29)
    model = nn.Sequential(nn.Linear(20, 16, rng=1), nn.Dropout(0.5, rng=2), nn.Linear(16, 5, rng=3))
    optimizer = optim.AdamW(model.parameters())
    for _ in range(options["epochs"]):
        for rows in distributed.each_shard(model, comm, len(x)):
            z, ctx = model.forward(x[rows])
            _, dz = nn.cross_entropy(z, y[rows], reduction="sum")
            model.backward(dz, ctx, need_dx=False)
        optimizer.step(grad_scale=1 / len(x))
    own = model.parameters().grad.copy()
    distributed.sum_gradients(model, comm)
    assert np.allclose(model.parameters().grad, own * comm.size, rtol=1e-5)
    return model, fastnn.train.History()


def differ(options):
    """First weights, data, options or batches that differ between ranks, by --how."""
    how, rank = options.pop("how"), options["comm"].rank
    x, y = np.ones((16, 4), np.float32), np.arange(16) % 3
    if how.startswith("isa"):
        facts = fastnn.kernels.build_info() | {how: f"that of rank {rank}"}
        fastnn.kernels.build_info = lambda: facts
    model = nn.MLP((4, 8, 3), rng=rank if how == "weights" else 0)
    if how == "batches":
        batches = [(x, y + (rank == 1 and i == 2) * (y == 0)) for i in range(4)]
        return model, fastnn.fit(model, batches, optimizer="sgd", **options)
    x[15] += rank * (how == "data")
    lr = 0.1 + rank * (how == "optimizer")
    size = 4 + rank * (how == "options")
    optimizer = optim.SGD(model.parameters(), lr=lr)
    return model, fastnn.fit(model, x, y, optimizer=optimizer, batch_size=size, **options)


class Pause:
    """Give the test time to kill a rank."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs):
        time.sleep(self.seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("out")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--shards", type=lambda text: text if text == "ranks" else int(text))
    parser.add_argument("--save")
    parser.add_argument("--resume")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--how")
    args = parser.parse_args()
    comm = distributed.world(args.shards)
    with open(f"{args.out}.{comm.rank}.pid", "w") as file:
        file.write(str(os.getpid()))
    callbacks = [Pause(args.pause)] if args.pause else []
    callbacks += [ModelCheckpoint(args.save, save_freq=2)] if args.save else []
    options = {"epochs": args.epochs, "comm": comm, "verbose": 0, "callbacks": callbacks}
    options["resume"] = args.resume
    if args.how:
        options["how"] = args.how
    if args.task == "loop":
        options = {"epochs": args.epochs, "comm": comm}
    model, history, *more = globals()[args.task](options)
    found = {"weights": md5(model.parameters().data), "history": history.history, "more": more}
    found["interrupted"] = history.interrupted
    if comm.rank == 0:
        with open(args.out, "w") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main()
