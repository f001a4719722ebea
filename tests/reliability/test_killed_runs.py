"""Killed runs, and writes in which a system call fails, a few of each; more by `__main__.py`."""

import shutil

import pytest

from . import common, writes

ALONE = {"FASTNN_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}


@common.posix
@pytest.mark.parametrize("run", ["fit", "lm", "translate", "csv"])
def test_a_killed_run_resumes_with_the_same_bits(run, tmp_path):
    """No file is lost, none is left over after the next write."""
    pytest.importorskip("safetensors")
    pytest.importorskip("tokenizers")
    pytest.importorskip("rich")
    seeds = range(common.SEED * 10**9, common.SEED * 10**9 + common.count(3))
    options = {"seconds": 600, **ALONE}
    total = common.batches("kills", f"of_{run}", seeds, tmp_path / "seed", **options)
    print(run, total)
    assert total


@common.linux
@pytest.mark.skipif(not shutil.which("cc"), reason="compiles a library")
def test_a_write_in_which_a_call_fails(tmp_path):
    """The old file or the new one, an error that names it, no descriptor and no leftover."""
    pytest.importorskip("safetensors")
    pytest.importorskip("rich")
    seeds = range(common.SEED * 10**9, common.SEED * 10**9 + common.count(400))
    preloaded = {"LD_PRELOAD": writes.library(tmp_path), **ALONE}
    total = common.batches("writes", "failing", seeds, tmp_path / "seed", **preloaded)
    print(total)
    failed = {name.split(":")[0] for name in total}
    assert {"open", "write", "fsync", "rename", "close"} <= failed
