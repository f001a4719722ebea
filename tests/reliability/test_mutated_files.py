"""Damaged files of every kind: a valid model, or one line that says what is wrong."""

import pytest

from . import common

# One thread, since each thread of a pool would reserve a stack and an arena beyond the limit.


@pytest.mark.parametrize(
    ("function", "default"),
    [("mutated", 800), ("vocabulary", 400), ("idx", 400), ("folder", 200), ("lora", 200)],
)
def test_mutated_files(function, default, tmp_path):
    """The errors that the readers document, no crash, no 5 seconds, no 64 MiB for a few KiB."""
    if function != "idx":
        pytest.importorskip("safetensors")
        pytest.importorskip("tokenizers")
    first = common.SEED * 10**9
    seeds = range(first, first + common.count(default))
    total = common.batches("readers", function, seeds, tmp_path / "seed", **common.ALONE)
    print(function, total)
    assert total["read"] and len(total) > 1  # damage that does no harm, and damage that is found
