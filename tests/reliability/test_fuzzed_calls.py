"""Random calls of kernels, layers, models and data, in children: right results, clear errors."""

import pytest

from . import common

DRIVERS = {"layers.right": 600, "layers.wrong": 1200, "methods.wrong": 600, "methods.built": 600}
DRIVERS |= {"calls.wrong": 10_000, "sources.of_data": 600, "sources.of_text": 600}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("threads", ["1", "3"])
def test_fuzzed_calls(driver, threads, tmp_path):
    """No crash, no 5 seconds, no error that Python words, no change of weights by an error."""
    module, function = driver.split(".")
    first = common.SEED * 10**9 + (int(threads) - 1) * 10**8
    seeds = range(first, first + common.count(DRIVERS[driver] // 2))
    env = {"FASTNN_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}
    total = common.batches(module, function, seeds, tmp_path / "seed", **env)
    print(driver, threads, sum(total.values()), total)
    assert len(total) > 1
