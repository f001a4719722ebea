"""Time training steps in bfloat16, and generation with weights and caches of 16 and 8 bits.

python bench/low_precision_models.py [--threads N] [--quick]. Each variant runs in turn with
float32, and the tables have the median of the ratios: above 1 is faster. The model of the training
step has 6 layers, 6 heads, 384 columns and batches of 8 x 256 tokens; that of generation is of the
same kind, and reads some thousand positions before the steps that are timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import fastnn
from fastnn import models, nn, optim

ROUNDS, STEPS = 7, 16
WEIGHTS = (None, "bf16", "int8_g32", "int8")
CACHES = (None, "bf16", "int8")


def ratios(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the speed of each call relative to the first one."""
    first, times = next(iter(calls)), []
    for call in calls.values():
        call()
    for _ in range(rounds):
        took = {}
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            took[name] = time.perf_counter() - start
        times.append(took)
    print(f"  {first}: {1000 * median(t[first] for t in times):.2f} ms")
    return {name: median(t[first] / t[name] for t in times) for name in calls}


def training(quick: bool) -> dict[str, Callable[[], object]]:
    """Return a training step in each precision."""
    vocabulary, (batch, n) = 65, (2, 64) if quick else (8, 256)
    draw = np.random.default_rng(0)
    ids, targets = draw.integers(0, vocabulary, (2, batch, n))

    def step_of(precision: str) -> Callable[[], object]:
        model = models.TransformerLM(vocabulary, 384, 6, 6, n, rng=0)
        optimizer = optim.AdamW(model.parameters(), lr=1e-3)

        def step() -> None:
            model.zero_grad()
            with nn.precision(precision):
                model.loss_and_grad(ids, targets)
            optimizer.step(max_norm=1.0)

        return step

    return {precision: step_of(precision) for precision in ("float32", "bf16")}


def generation(quick: bool, what: str) -> dict[str, Callable[[], object]]:
    """Return steps of one row by the format of the weights, or of the cache."""
    positions = 64 if quick else 4096
    size: dict[str, Any] = {"n_layers": 6, "max_len": positions + STEPS + 1, "rng": 0}
    model = models.TransformerLM(8192, 384, 6, position="rotary", **size)
    draw = np.random.default_rng(0)

    def steps_of(weights: str | None, dtype: str | None) -> Callable[[], object]:
        plan = model.freeze(weights=weights)
        cache = plan.new_cache(1, dtype=dtype)
        if what == "cache":
            plan.step(draw.integers(0, 8192, (1, positions)), cache)
        before, ids = int(cache.lengths[0]), np.array([[7]])
        print(f"  weights {weights}, cache {dtype}: {plan.nbytes:,} and {cache.nbytes:,} bytes")

        def steps() -> None:
            cache.truncate(before)
            for _ in range(STEPS):
                plan.step(ids, cache)

        return steps

    if what == "cache":
        return {str(dtype): steps_of(None, dtype) for dtype in CACHES}
    return {str(weights): steps_of(weights, None) for weights in WEIGHTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    fastnn.set_num_threads(args.threads)
    print(f"{fastnn.build_info()['isa']}, {fastnn.get_num_threads()} threads")
    for title, calls in (
        ("training step", lambda: training(args.quick)),
        ("steps of generation, weights", lambda: generation(args.quick, "weights")),
        ("steps of generation, keys and values", lambda: generation(args.quick, "cache")),
    ):
        print(title)
        found = ratios(calls(), 2 if args.quick else ROUNDS)
        print("  " + "  ".join(f"{name} {ratio:.2f}" for name, ratio in found.items()), flush=True)


if __name__ == "__main__":
    main()
