"""The machinery notices what it is there for, and names the seed."""

import pytest

from . import common, test_leaks, test_shared_by_threads

WORDS = {"crash": "SIGSEGV", "hang": "SIGVTALRM", "error": "ZeroDivision", "greedy": "MemoryError"}


@common.linux
@pytest.mark.parametrize(("fault", "words"), WORDS.items())
def test_faults_of_children(fault, words, tmp_path):
    if fault == "greedy":
        pytest.importorskip("safetensors")
        pytest.importorskip("tokenizers")
    with pytest.raises(pytest.fail.Exception, match=rf"(?s)faults\.{fault}\(3\) ended .*{words}"):
        common.batch("faults", fault, range(1, 9), tmp_path / "seed", 0.5, **common.ALONE)


def test_a_child_that_ends_early(tmp_path):
    """Even with exit code 0, a child that gives no counts has not done its work."""
    with pytest.raises(IndexError):
        common.batch("faults", "leave", range(1, 9), tmp_path / "seed")


@common.linux
def test_a_leak():
    held = []
    with pytest.raises(AssertionError, match="bytes more"):
        test_leaks.grows_little(lambda: held.append(b"x" * 16_000_000), 40)


def test_results_that_differ_between_threads():
    found = iter(range(10**9))
    with pytest.raises(AssertionError):
        test_shared_by_threads.at_once(test_shared_by_threads.same(lambda: next(found)))
