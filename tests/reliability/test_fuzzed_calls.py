"""Random calls of kernels, layers, models and data, in children: right results, clear errors."""

import numpy as np
import pytest

from tests.kernels.argument_cases import CASES, reals
from tests.kernels.test_arguments import check_call

from . import calls, common, methods, sources

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


def test_two_arrays_that_agree_may_accuse_a_third():
    """Where q and k both lack a row, dscores has one too many; where q does, q is named."""
    name = "additive_scores_backward"
    valid = CASES[name](reals(np.float32))
    for replaced in (["q", "k"], ["q"], ["k"]):
        arguments = {**valid, **{argument: valid[argument][1:] for argument in replaced}}
        allowed = calls.suspects(valid, arguments, replaced)
        assert ("dscores" in allowed) == (len(replaced) == 2)
        assert check_call(name, arguments, allowed) is not None


@pytest.mark.parametrize("table", [methods.calls, sources.data_calls, sources.text_calls])
def test_the_calls_are_right_before_one_argument_is_changed(table):
    """Where a name is misspelt, every call is refused, and nothing is tested."""
    pytest.importorskip("tokenizers")
    for name, (function, arguments) in table().items():
        try:
            function(**arguments)
        except OSError as error:
            assert "/no/where" in str(error), name
        except Exception as error:
            raise AssertionError(name) from error
