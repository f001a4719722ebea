"""Fixtures for all tests."""

import signal

import hypothesis
import numpy as np
import pytest

import fastnn

# derandomized: equal sources are tested with equal examples
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(params=[np.float32, np.float64], ids=["f32", "f64"])
def real(request):
    """Each real type in turn."""
    return request.param


@pytest.fixture(params=[1, 2, 3, 8])
def n_threads(request):
    """Run the test with this many threads, whatever the machine has."""
    with fastnn.num_threads(request.param):
        yield request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20260)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Run the test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_configure(config):
    # shells start background jobs with SIGINT ignored, but some tests send it
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
