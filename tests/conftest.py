"""Fixtures for all tests."""

import numpy as np
import pytest

import fastnn


@pytest.fixture(params=[np.float32, np.float64], ids=["f32", "f64"])
def real(request):
    """Each real type in turn."""
    return request.param


@pytest.fixture(params=[1, 2, 3, 8])
def n_threads(request):
    """Run the test with so many threads, whatever the machine has."""
    with fastnn.num_threads(request.param):
        yield request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20260)
