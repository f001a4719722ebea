"""Damaged files of every kind: a valid model, or one line that says what is wrong."""

import pytest

from . import common

# One thread, since each thread of a pool would reserve a stack and an arena beyond the limit.
ALONE = {"FASTNN_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
BATCH = 2000  # files a child, so that a long run can name where it stopped


@pytest.mark.parametrize(
    ("function", "default"), [("mutated", 800), ("vocabulary", 400), ("idx", 400)]
)
def test_mutated_files(function, default, tmp_path):
    """The errors that the readers document, no crash, no 5 seconds, no 64 MiB for a few KiB."""
    if function != "idx":
        pytest.importorskip("safetensors")
        pytest.importorskip("tokenizers")
    first = common.SEED * 10**9
    stop = first + common.count(default)
    total = {}
    for start in range(first, stop, BATCH):
        seeds = range(start, min(start + BATCH, stop))
        found = common.batch("readers", function, seeds, tmp_path / "seed", **ALONE)
        total = {name: total.get(name, 0) + found.get(name, 0) for name in {**total, **found}}
    print(function, total)
    assert sum(total.values()) == stop - first
    assert total["read"] and len(total) > 1  # damage that does no harm, and damage that is found
