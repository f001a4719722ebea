"""Time steps of generation whose keys and values take 16 and 8 bits, beside float32.

    python -m bench caches [--threads N] [--quick]

The model has 6 layers, 6 heads and 384 columns, and has read 4,096 positions. Formats run in turn,
and the ratios are medians: above 1 is faster than float32.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

import fastnn
from fastnn import models

FORMATS = (None, "bf16", "int8")
ROUNDS, STEPS, POSITIONS = 9, 16, 4096


def main(argv: list[str] | None = None) -> None:
    """Print bytes and microseconds of a step for each format."""
    parser = argparse.ArgumentParser(prog="python -m bench caches", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few positions, to see that it runs")
    args = parser.parse_args(argv)
    fastnn.set_num_threads(args.threads)
    n, draw = 64 if args.quick else POSITIONS, np.random.default_rng(0)
    plan = models.TransformerLM(1000, 384, 6, 6, n + STEPS + 1, position="rotary", rng=0).freeze()
    caches = {dtype: plan.new_cache(1, dtype=dtype) for dtype in FORMATS}
    for cache in caches.values():
        plan.step(draw.integers(0, 1000, (1, n)), cache)
    took: list[dict[str | None, float]] = []
    for _ in range(2 if args.quick else ROUNDS):
        took.append({})
        for dtype, cache in caches.items():
            cache.truncate(n)
            start = time.perf_counter()
            for _ in range(STEPS):
                plan.step(np.array([[7]]), cache)
            took[-1][dtype] = (time.perf_counter() - start) / STEPS
    print(f"{fastnn.build_info()['isa']}, {args.threads} threads, {n} positions")
    for dtype, cache in caches.items():
        ratio = median(times[None] / times[dtype] for times in took)
        step = 1e6 * median(times[dtype] for times in took)
        print(f"{dtype or 'float32':>8} {cache.nbytes:12,} bytes {step:9.1f} us  {ratio:.2f}")
