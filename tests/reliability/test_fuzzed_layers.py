"""Random calls of every layer and model, in children: results near the reference, clear errors."""

import pytest

from . import common

BATCH = 2000
DRIVERS = {"layers.right": 600, "layers.wrong": 1200, "methods.wrong": 600, "methods.built": 600}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("threads", ["1", "3"])
def test_fuzzed_calls(driver, threads, tmp_path):
    """No crash, no 5 seconds, no error that Python words, no change of weights by an error."""
    module, function = driver.split(".")
    first = common.SEED * 10**9 + (int(threads) - 1) * 10**8
    stop = first + common.count(DRIVERS[driver] // 2)
    total = {}
    for start in range(first, stop, BATCH):
        seeds = range(start, min(start + BATCH, stop))
        env = {"FASTNN_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}
        found = common.batch(module, function, seeds, tmp_path / "seed", **env)
        total = {name: total.get(name, 0) + found.get(name, 0) for name in {**total, **found}}
    print(driver, threads, sum(total.values()), total)
    assert sum(total.values()) == stop - first and len(total) > 1
