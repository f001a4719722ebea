"""Initializers: their distributions, their fans, and how layers accept them."""

from functools import partial

import numpy as np
import pytest

from fastnn import nn
from fastnn.nn import init
from fastnn.nn.init import INITIALIZERS

SHAPE = 300, 200


@pytest.mark.parametrize(
    ("name", "std", "largest"),
    [
        ("constant", 0.0, 0.0),
        ("normal", 0.01, np.inf),
        ("uniform", 0.05 / 3**0.5, 0.05),
        # of a standard normal within two standard deviations: sqrt(1 - 4 phi(2) / erf(sqrt(2)))
        ("truncated_normal", 0.02 * 0.8796256610, 0.04),
        ("xavier_uniform", (2 / 500) ** 0.5, (6 / 500) ** 0.5),
        ("xavier_normal", (2 / 500) ** 0.5, np.inf),
        ("he_uniform", (2 / 300) ** 0.5, (6 / 300) ** 0.5),
        ("he_normal", (2 / 300) ** 0.5, np.inf),
        ("lecun_uniform", (1 / 300) ** 0.5, (3 / 300) ** 0.5),
        ("lecun_normal", (1 / 300) ** 0.5, np.inf),
        ("orthogonal", (1 / 300) ** 0.5, 1.0),
    ],
)
def test_mean_deviation_and_range(name, std, largest, real):
    w = INITIALIZERS[name](SHAPE, np.random.default_rng(0), real)
    assert w.shape == SHAPE and w.dtype == real and w.flags.c_contiguous
    assert w.std() == pytest.approx(std, rel=2e-2, abs=1e-12)
    assert abs(w.mean()) < 5 * std / np.sqrt(w.size) + 1e-12
    assert np.abs(w).max() <= largest
    if np.isinf(largest):  # normal: beyond what a uniform or a cut one would reach
        assert np.abs(w).max() > 3.5 * std
    elif 0 < largest == pytest.approx(np.sqrt(3) * std):
        assert np.abs(w).max() > 0.99 * largest


def test_all_are_there_and_seeded():
    for name, function in INITIALIZERS.items():
        assert getattr(init, name) is function
        again = [function((6, 4), np.random.default_rng(seed), np.float64) for seed in (1, 1, 2)]
        np.testing.assert_array_equal(again[0], again[1])
        assert name == "constant" or not np.array_equal(again[0], again[2])


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6), (1, 3)])
def test_orthogonal(shape):
    w = init.orthogonal(shape, np.random.default_rng(0), np.float64, gain=2.0)
    small = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(small, 4 * np.eye(min(shape)), atol=1e-12)


def test_linear_takes_a_name_or_a_function(real):
    rng = np.random.default_rng
    for name in INITIALIZERS:
        layer = nn.Linear(4, 3, dtype=real, rng=7, init=name)
        np.testing.assert_array_equal(layer.weight.data, INITIALIZERS[name]((4, 3), rng(7), real))
        assert not layer.bias.data.any()
    layer = nn.Linear(4, 3, dtype=real, rng=7, init=partial(init.normal, std=2.0))
    np.testing.assert_array_equal(layer.weight.data, init.normal((4, 3), rng(7), real, std=2.0))
    ones = nn.MLP((4, 3, 2), dtype=real, init=partial(init.constant, value=1.0))
    assert all((layer.weight.data == 1).all() for layer in ones)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("glorot", ValueError, "'constant', .* or 'orthogonal', got 'glorot'"),
        (3, TypeError, "got int 3"),
        (lambda shape, rng, dtype: np.zeros(shape[0], dtype), ValueError, r"\(4,\).*\(4, 3\)"),
        (lambda shape, rng, dtype: np.zeros(shape), TypeError, "float64.*float32"),
    ],
)
def test_what_is_no_initialiser(given, error, message):
    with pytest.raises(error, match=message):
        nn.Linear(4, 3, init=given)


def test_fans_are_those_of_weights():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        init.he_normal((3,), np.random.default_rng(0), np.float32)
