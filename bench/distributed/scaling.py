"""Fit a model of a step to runs of `bench.distributed.step`, and predict more ranks.

    python -m bench.distributed.scaling measure scaling.jsonl     # 1-8 ranks, three minutes
    python -m bench.distributed.scaling fit scaling.jsonl         # constants, and their errors
    python -m bench.distributed.scaling predict                   # the table of docs/distributed.md

The model, for R ranks, V shards, G bytes of gradient, latency L and bandwidth W:

    shard    = rows / V * seconds_per_row + per_shard           forward and backward of one shard
    compute  = ceil(V / R) * shard + update
    wire     = 2 (R - 1) / R * G / W                            all-to-all, then all-gather
    hidden   = at most the wire of all buckets but the last, and 2/3 of a shard (its backward)
    step     = compute + wire - hidden + 2 L                    of the last bucket
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.distributed.launch import command_of, find_mpi
from fastnn.train.shards import BUCKET_BYTES

RUNS = [  # ranks, latency in s, Gbit/s
    *((ranks, 0.0, 0.0) for ranks in (1, 2, 4, 8)),
    *((ranks, 0.005, 0.0) for ranks in (2, 4, 8)),
    *((ranks, 0.001, 1.0) for ranks in (2, 4, 8)),
]


class Step(NamedTuple):
    """Constants of a model and a machine."""

    per_row: float  # s of forward and backward of a row on one rank
    per_shard: float  # s that each shard costs besides, mainly the additions of the gradient
    update: float  # s of the optimizer
    n_bytes: float  # of the gradient

    def compute(self, ranks: int, shards: int, rows: int, cores: float = math.inf) -> float:
        """Return the seconds of computation; more ranks than cores share them."""
        shard = rows / shards * self.per_row + self.per_shard
        return (math.ceil(shards / ranks) * shard + self.update) * max(1.0, ranks / cores)

    def exchange(self, ranks: int, latency: float, gbit: float, backward: float) -> float:
        """Return the seconds of the exchange that backward does not hide."""
        if ranks == 1:
            return 0.0
        per_byte = 2 * (ranks - 1) / ranks * 8e-9 / gbit if gbit else 0.0
        last = min(self.n_bytes, BUCKET_BYTES)
        hidden = min((self.n_bytes - last) * per_byte, backward)
        return self.n_bytes * per_byte - hidden + 2 * latency

    def seconds(
        self, ranks: int, shards: int, rows: int, latency: float, gbit: float, cores: float
    ) -> float:
        """Return the seconds of a step."""
        backward = 2 / 3 * (rows / shards) * self.per_row * max(1.0, ranks / cores)
        exchange = self.exchange(ranks, latency, gbit, backward)
        return self.compute(ranks, shards, rows, cores) + exchange


def measure(path: Path, sizes: list[str]) -> None:
    """Append one line per run to a file: ranks of one thread, every run three times, in turns."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    cases = [(*run, shards) for run in RUNS for shards in ((8,) if run[1] else (8, 16))]
    with open(path, "a", encoding="utf-8") as file:
        for ranks, latency, gbit, shards in 3 * cases:
            words = ["-m", "bench.distributed.step", "--sizes", *sizes, "--shards", str(shards)]
            words += ["--latency", str(latency), "--gbit", str(gbit)]
            done = subprocess.run(
                command_of(find_mpi(), ranks, None, words),
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
            )
            print(done.stdout or done.stderr, end="", flush=True)
            file.writelines(line + "\n" for line in done.stdout.splitlines() if line[:1] == "{")


def medians(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file, with the median of the seconds of equal runs."""
    runs: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        key = run["ranks"], run["shards"], run["latency"], run["gbit"]
        runs.setdefault(key, []).append(run)
    return [
        same[0] | {"seconds": float(np.median([run["seconds"] for run in same]))}
        for same in runs.values()
    ]


def fit(path: Path, cores: int) -> None:
    """Print constants that fit the runs best, and the errors of the model."""
    runs = medians(path)
    rows, n_bytes = runs[0]["sizes"][4], 4.0 * runs[0]["parameters"]
    free = [run for run in runs if not run["latency"] and not run["gbit"]]
    seconds = np.array([run["seconds"] for run in free])

    def columns(capacity: float) -> np.ndarray:
        """Return what a row, a shard and an update count in each run, over its seconds."""
        table = []
        for run in free:
            own = math.ceil(int(run["shards"]) / run["ranks"])
            crowd = max(1.0, run["ranks"] / capacity)
            table.append([own * rows / int(run["shards"]) * crowd, own * crowd, crowd])
        return np.array(table) / seconds[:, None]  # relative errors

    # cores share caches, memory and perhaps execution units: two are less than twice one
    solved = []
    for capacity in np.arange(1, cores + 0.05, 0.1).tolist():
        table = columns(capacity)
        found = np.maximum(np.linalg.lstsq(table, np.ones(len(free)), rcond=None)[0], 0)
        solved.append((float(np.abs(table @ found - 1).max()), capacity, found.tolist()))
    _, capacity, found = min(solved)
    step = Step(*found, n_bytes)
    print(step, f"{cores} cores do the work of {capacity:.1f}")
    print("ranks shards latency/ms Gbit/s  measured/ms  model/ms")
    for run in runs:
        network = run["latency"], run["gbit"]
        model = step.seconds(run["ranks"], int(run["shards"]), rows, *network, capacity)
        print(
            f"{run['ranks']:5} {run['shards']:>6} {1e3 * run['latency']:10.1f} {run['gbit']:6.1f}"
            f"  {1e3 * run['seconds']:11.1f} {1e3 * model:9.1f}"
        )


# Parameters, flops of a row of 256 tokens (6 per parameter outside of the table of embeddings and
# token), rows of a global batch.
MODELS = {
    "MiniLM (22.7 M)": (22.7e6, 6 * 10.7e6 * 256, 512),
    "135 M": (134.5e6, 6 * 106e6 * 256, 512),
}


def predict(gflops: float, memory_gb: float) -> None:
    """Print a table for hosts of one rank each, one shard per rank."""
    print("model             Gbit/s ranks   ms/step  exposed/ms  speed-up  efficiency")
    for name, (n, flops, rows) in MODELS.items():
        # the additions of a shard read and write 4 arrays, an update of AdamW 7
        per_shard, update = 16 * n / (memory_gb * 1e9), 28 * n / (memory_gb * 1e9)
        step = Step(flops / (gflops * 1e9), per_shard, update, 4 * n)
        one = step.seconds(1, 1, rows, 0, 0, math.inf)
        for gbit, latency in ((10.0, 30e-6), (100.0, 5e-6)):
            for ranks in (1, 4, 8, 16, 32, 64):
                seconds = step.seconds(ranks, ranks, rows, latency, gbit, math.inf)
                exposed = seconds - step.compute(ranks, ranks, rows)
                print(
                    f"{name:17} {gbit:6.0f} {ranks:5} {1e3 * seconds:9.1f} {1e3 * exposed:11.1f}"
                    f" {one / seconds:9.1f} {one / seconds / ranks:11.2f}"
                )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["measure", "fit", "predict"])
    parser.add_argument("path", nargs="?", type=Path, default=Path("scaling.jsonl"))
    parser.add_argument("--sizes", nargs=5, default=["4", "4", "128", "128", "16"])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--gflops", type=float, default=1000.0, help="of a host, sustained")
    parser.add_argument("--memory", type=float, default=100.0, help="GB/s of a host")
    args = parser.parse_args()
    if args.command == "measure":
        measure(args.path, args.sizes)
    elif args.command == "fit":
        fit(args.path, args.cores)
    else:
        predict(args.gflops, args.memory)


if __name__ == "__main__":
    main()
