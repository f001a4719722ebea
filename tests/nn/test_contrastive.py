"""The contrastive loss: its formula, its gradients, and what it refuses."""

import numpy as np
import pytest

from fastnn import nn


@pytest.mark.parametrize("n", [1, 2, 9])
def test_value(real, rng, n):
    a, b = rng.normal(size=(2, n, 5)).astype(real)
    scores = 3 * a.astype(float) @ b.T
    expected = np.mean(np.log(np.exp(scores).sum(axis=1)) - np.diag(scores))
    loss, (da, db) = nn.contrastive_loss(a, b, scale=3)
    assert loss == pytest.approx(expected, rel=1e-5 if real == np.float32 else 1e-12, abs=1e-6)
    assert da.dtype == db.dtype == real


@pytest.mark.parametrize("scale", [0.5, 20.0])
def test_gradients(rng, scale):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 4, 3)))
    assert nn.gradcheck(lambda a, b: nn.contrastive_loss(a, b, scale=scale), a, b).worst < 1e-6


@pytest.mark.parametrize(
    ("a", "b", "scale", "error", "message"),
    [
        ([[1.0]], np.ones((1, 1)), 1, TypeError, r"a must be an array \(N, d\)"),
        (np.ones((1, 1)), np.ones(1), 1, TypeError, r"b must be an array \(N, d\)"),
        (np.ones((1, 2)), np.ones((2, 2)), 1, ValueError, "must be alike"),
        (np.ones((1, 2)), np.ones((1, 2), "f4"), 1, ValueError, "must be alike"),
        (np.ones((1, 2)), np.ones((1, 2)), 0, ValueError, "scale must be above 0"),
    ],
)
def test_wrong_arguments(a, b, scale, error, message):
    with pytest.raises(error, match=message):
        nn.contrastive_loss(a, b, scale=scale)
