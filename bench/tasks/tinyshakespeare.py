"""Tiny Shakespeare: nanoGPT's recipe for a CPU, validation loss and time beside PyTorch.

``python -m bench.tasks.tinyshakespeare --data input.txt --python-peers PYTHON`` trains in separate
processes in fastnn, then in eager and compiled PyTorch if PYTHON has it, and prints the results and
ratios. The text is Karpathy's 1,115,394 characters.

The recipe is that of nanoGPT's README (github.com/karpathy/nanoGPT, "I only have a macbook"): 4
layers, 4 heads, width 128, context 64, batches of 12, no dropout, no biases, AdamW (0.9, 0.99,
decay 0.1) with 100 warm-up steps to 1e-3 and half a cosine to 1e-4, gradients clipped to norm 1,
2,000 steps. It reports a validation loss of 1.88, the mean of 20 random batches; the mean over the
whole validation text is printed beside it. ``rotary`` is fastnn with rotary positions (Su et al.,
"RoFormer", 2021) instead of the learned table, ``rotary_lr`` also has a peak rate of 3e-3; all else
is unchanged. Times cover the steps alone, without compilation.
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ask, parser, seconds

Ids = NDArray[np.int64]

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
STEPS, WARMUP, LR, MIN_LR = 2000, 100, 1e-3, 1e-4
BETAS, DECAY, MAX_NORM = (0.9, 0.99), 0.1, 1.0
EVAL_ITERS, STD = 20, 0.02
# Untimed steps of a compiled model, whose weights are discarded.
COMPILING = 3

# Changes to the recipe, by the name of the run.
CHANGES: dict[str, dict[str, Any]] = {
    "rotary": {"position": "rotary"},
    "rotary_lr": {"position": "rotary", "lr": 3e-3},
}

ASKED, PUBLISHED = 1.88, 1.88


def read(path: str) -> tuple[int, Ids, Ids]:
    """Return the vocabulary size, and the ids of the first 9/10 and of the last 1/10."""
    text = Path(path).read_text("utf-8")
    ids = {character: i for i, character in enumerate(sorted(set(text)))}
    stream = np.array([ids[character] for character in text])
    cut = int(len(stream) * 0.9)
    return len(ids), stream[:cut], stream[cut:]


def batch(ids: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Draw random windows, and the same shifted by one character."""
    rows = ids[rng.integers(len(ids) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT + 1)]
    return rows[:, :-1].copy(), rows[:, 1:].copy()


def losses(loss_of: Any, ids: Ids, rng: np.random.Generator) -> dict[str, float]:
    """Return the loss over the whole text, and nanoGPT's estimate."""
    n = (len(ids) - 1) // CONTEXT
    x, y = (ids[i : i + n * CONTEXT].reshape(n, CONTEXT) for i in (0, 1))
    parts = [(x[i : i + 64], y[i : i + 64]) for i in range(0, n, 64)]
    whole = sum(loss_of(*part) * len(part[0]) for part in parts) / n
    tail = n * CONTEXT  # the last window is shorter
    if tail < len(ids) - 1:
        left = len(ids) - 1 - tail
        rest = loss_of(ids[None, tail:-1].copy(), ids[None, tail + 1 :].copy())
        whole = (whole * tail + rest * left) / (len(ids) - 1)
    estimate = float(np.mean([loss_of(*batch(ids, rng)) for _ in range(EVAL_ITERS)]))
    return {"whole": float(whole), "estimate": estimate}


def train_fastnn(options: Namespace) -> dict[str, float]:
    import fastnn
    from fastnn import models, optim

    fastnn.set_num_threads(options.threads)
    vocab_size, ids, validation = read(options.data)
    rng, changes = np.random.default_rng(options.seed), dict(CHANGES.get(options.worker, {}))
    peak, sizes = changes.pop("lr", LR), (vocab_size, WIDTH, HEADS, LAYERS, CONTEXT)
    model = models.TransformerLM(*sizes, bias=False, rng=rng, **changes)
    lr = optim.schedules.warmup_cosine(peak, min(WARMUP, options.steps - 1), options.steps, MIN_LR)
    optimizer = optim.AdamW(model.parameters(), lr, BETAS, weight_decay=DECAY)

    def train() -> None:
        for _ in range(options.steps):
            x, y = batch(ids, rng)
            optimizer.zero_grad()
            model.loss_and_grad(x, y)
            optimizer.step(max_norm=MAX_NORM)

    taken = seconds(train)
    return {"seconds": taken, **losses(lambda x, y: model.loss(x, y)[0], validation, rng)}


def initial(vocab_size: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw nanoGPT's first weights: those that add to the residual stream are smaller."""
    from fastnn.bench.transformer.reference import lm_shapes

    found: dict[str, Any] = {"heads": HEADS}
    shapes = lm_shapes(LAYERS, HEADS, WIDTH, CONTEXT) | {"embedding.weight": (vocab_size, WIDTH)}
    for name, shape in shapes.items():
        adds = name.endswith(("out.weight", "down.weight"))
        drawn = rng.normal(0, STD / math.sqrt(2 * LAYERS) if adds else STD, shape)
        found[name] = (np.ones(shape) if "norm" in name else drawn).astype(np.float32)
    return found


def rate(step: int, warmup: int, total: int) -> float:
    """Return the learning rate by nanoGPT's get_lr."""
    if step < warmup:
        return LR * (step + 1) / (warmup + 1)
    part = min((step - warmup) / (total - warmup), 1.0)
    return MIN_LR + 0.5 * (1 + math.cos(math.pi * part)) * (LR - MIN_LR)


def train_torch(options: Namespace) -> dict[str, float]:
    import torch

    from fastnn.bench.transformer.with_torch import LanguageModel, adamw

    torch.set_num_threads(options.threads)
    vocab_size, ids, validation = read(options.data)
    rng = np.random.default_rng(options.seed)
    model = LanguageModel(initial(vocab_size, rng))
    run: Any = torch.compile(model) if options.worker == "compiled" else model
    optimizer = adamw(model, lr=LR, betas=BETAS)

    def tensors(x: Ids, y: Ids) -> tuple[Any, Any]:
        return torch.from_numpy(x), torch.from_numpy(y)

    for _ in range(COMPILING * (options.worker == "compiled")):
        run(*tensors(*batch(ids, np.random.default_rng(1)))).backward()
        optimizer.zero_grad(set_to_none=True)

    def train() -> None:
        for step in range(options.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, min(WARMUP, options.steps - 1), options.steps)
            run(*tensors(*batch(ids, rng))).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    taken = seconds(train)
    with torch.no_grad():
        found = losses(lambda x, y: float(model(*tensors(x, y))), validation, rng)
    return {"seconds": taken, **found}


WORKERS = {"fastnn": train_fastnn, **dict.fromkeys(CHANGES, train_fastnn)}
WORKERS |= {"eager": train_torch, "compiled": train_torch}


def main() -> None:
    found = parser("tinyshakespeare", "nanoGPT's recipe for a CPU beside PyTorch.")
    found.add_argument("--data", required=True, metavar="FILE", help="the text")
    found.add_argument("--steps", type=int, default=STEPS, metavar="N")
    found.add_argument("--seed", type=int, default=1337)
    options = found.parse_args()
    if options.worker:
        print(json.dumps(WORKERS[options.worker](options)))
        return
    print(f"Tiny Shakespeare, {options.steps} steps, {options.threads} threads", flush=True)
    times: dict[str, float] = {}
    for name, worker in WORKERS.items():
        is_peer = worker is train_torch
        if is_peer and not options.python_peers:
            continue
        run = ask(name, options, options.python_peers if is_peer else None)
        if run is None:
            continue
        times[name] = run["seconds"]
        is_compared = is_peer and "fastnn" in times
        ratio = f"  fastnn {times[name] / times['fastnn']:.2f}x" if is_compared else ""
        print(
            f"{name:9}  {times[name]:6.1f} s  validation loss {run['whole']:.4f} over all, "
            f"{run['estimate']:.4f} of {EVAL_ITERS} batches{ratio}",
            flush=True,
        )
    print(f"asked: {ASKED}; published: {PUBLISHED}")


if __name__ == "__main__":
    main()
