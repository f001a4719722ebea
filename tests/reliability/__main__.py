"""Long runs of the drivers in this folder, with a count and a result for each.

    python -m tests.reliability                     what there is, and the counts of a full run
    python -m tests.reliability kernels files       full runs of two kinds
    python -m tests.reliability kernels --share 0.01 --seed 7

A run in pieces adds up: other seeds draw other cases. The first failure ends a run; it names the
driver and the seed, and ``python -c "from tests.reliability import layers; layers.right(1234)"``
repeats it.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from . import common, writes

QUIET = {"PYTHONWARNINGS": "ignore", "FASTNN_NUM_THREADS": "2"}
CALM = {**QUIET, **common.ALONE}

# kind -> driver -> (seeds of a full run, environment)
KINDS = {
    "kernels": {"calls.wrong": (1_000_000, CALM)},
    "layers": {"layers.right": (20_000, QUIET), "layers.wrong": (30_000, QUIET)},
    "models": {"methods.wrong": (15_000, QUIET), "methods.built": (10_000, QUIET)},
    "data": {"sources.of_data": (15_000, CALM), "sources.of_text": (10_000, CALM)},
    "cli": {"command_lines.run": (10_000, CALM), "command_lines.started": (300, CALM)},
    "files": {
        "readers.mutated": (70_000, common.ALONE),
        "readers.vocabulary": (20_000, common.ALONE),
        "readers.idx": (10_000, common.ALONE),
        "readers.folder": (20_000, common.ALONE),
    },
    "kills": {
        "kills.of_fit": (250, CALM),
        "kills.of_lm": (250, CALM),
        "kills.of_translate": (250, CALM),
        "kills.of_csv": (250, CALM),
    },
    "faults": {"writes.failing": (20_000, CALM)},
}
SECONDS = {"command_lines": 60, "kills": 600}  # of a call; 5 for all others


def run(driver, stop, env, seed):
    """Run a driver for all its seeds, in children; print and return the count of its results."""
    module, function = driver.split(".")
    first, start = seed * 10**9, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if module == "writes":
            env = {**env, "LD_PRELOAD": writes.library(folder)}
        total = common.batches(
            module,
            function,
            range(first, first + stop),
            Path(folder) / "seed",
            seconds=SECONDS.get(module, 5),
            size=20_000,  # a child takes seconds to start, and ends at its first failure
            timeout=3600,
            **env,
        )
    seconds = round(time.monotonic() - start)
    print(f"{driver}: {stop:,} in {seconds:,} s, {total}", flush=True)
    return total


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.reliability")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--share", type=float, default=1.0, help="of the counts of a full run")
    parser.add_argument("--seed", type=int, default=common.SEED)
    args = parser.parse_args()
    if unknown := set(args.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(unknown)}")
    for kind, drivers in KINDS.items():
        for driver, (full, env) in drivers.items():
            if kind in args.kinds:
                try:
                    run(driver, max(1, round(full * args.share)), env, args.seed)
                except pytest.fail.Exception as failed:
                    return f"{driver}: {failed}"
            elif not args.kinds:
                print(f"{kind:8} {driver:20} {full:9,}")
    return 0


if __name__ == "__main__":
    os.chdir(common.ROOT)
    sys.exit(main())
