"""Time products with weights of 16 and 8 bits beside float32, and PyTorch's bfloat16.

python bench/low_precision.py [--threads N]. Each format runs in turn with float32, and the table
has the median of the ratios: above 1 is faster than fastnn's float32 with a packed weight.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import fastnn

FORMATS = ("bf16", "int8", "int8_g32")
SHAPES = (
    (1, 4096, 4096),
    (4, 4096, 4096),
    (16, 768, 3072),
    (64, 768, 3072),
    (256, 1024, 1024),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
)
ROUNDS, SECONDS = 15, 0.02


def seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def candidates(x: np.ndarray, w: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the products by name, the first one of fastnn's float32."""
    out = np.empty((len(x), w.shape[1]), np.float32)
    packed = {form or "float32": fastnn.pack(w, form) for form in (None, *FORMATS)}
    found = {
        name: lambda b=b: fastnn.matmul(x, b, out=out)  # type: ignore[misc]
        for name, b in packed.items()
    }
    try:
        import torch
    except ModuleNotFoundError:
        return found
    torch.set_num_threads(fastnn.get_num_threads())
    a, b = (torch.from_numpy(array).bfloat16() for array in (x, w))
    return found | {"torch bf16": lambda: a @ b}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    fastnn.set_num_threads(args.threads)
    print(f"{fastnn.build_info()['isa']}, {fastnn.get_num_threads()} threads")
    print(f"{'m, k, n':>18}  {'float32':>12}  speed of the others relative to it")
    rng = np.random.default_rng(0)
    for m, k, n in SHAPES:
        x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((m, k), (k, n)))
        calls = candidates(x, w)
        repeats = max(1, int(SECONDS / seconds(calls["float32"], 1)))
        times = []
        for _ in range(args.rounds):
            times.append({name: seconds(call, repeats) for name, call in calls.items()})
        base = median(t["float32"] for t in times)
        ratios = {name: median(t["float32"] / t[name] for t in times) for name in calls}
        shown = "  ".join(f"{name} {r:.2f}" for name, r in ratios.items() if name != "float32")
        speed = 2 * m * k * n / base / 1e9
        print(f"{f'{m}, {k}, {n}':>18}  {speed:6.1f} GF/s  {shown}", flush=True)


if __name__ == "__main__":
    main()
