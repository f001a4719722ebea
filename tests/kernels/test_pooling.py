"""Attention pooling: closed forms, a float64 reference, central differences, errors."""

import numpy as np
import pytest

from fastnn.kernels import attention_pooling, attention_pooling_backward
from fastnn.kernels.attention.pooling import KERNELS

KERNEL = {
    "gaussian": lambda u: np.exp(-(u**2) / 2),
    "boxcar": lambda u: (u < 1).astype(float),
    "epanechnikov": lambda u: np.maximum(1 - u**2, 0),
    "triangular": lambda u: np.maximum(1 - u, 0),
    "constant": np.ones_like,
}


def operands(rng, lead, n, m, d, dv, real):
    shapes = (*lead, n, d), (*lead, m, d), (*lead, m, dv)
    return [rng.standard_normal(s).astype(real) for s in shapes]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("lead", [(), (3,)], ids=str)
def test_definition(kernel, lead, real, rng):
    queries, keys, values = operands(rng, lead, 6, 40, 2, 3, real)
    out, weights = attention_pooling(
        queries, keys, values, kernel=kernel, width=0.8, need_weights=True
    )
    u = np.linalg.norm(queries[..., :, None, :].astype(float) - keys[..., None, :, :], axis=-1)
    k = KERNEL[kernel](u / 0.8)
    total = k.sum(-1, keepdims=True)
    want = k / np.where(total == 0, 1, total)
    eps = np.finfo(real).eps
    assert out.dtype == real and weights.dtype == real
    np.testing.assert_allclose(weights, want, atol=30 * eps)
    np.testing.assert_allclose(out, want @ values, atol=100 * eps)


def test_constant_is_the_average_and_a_far_query_gets_zeros(real, rng):
    queries, keys, values = operands(rng, (), 3, 8, 1, 2, real)
    out = attention_pooling(queries, keys, values, kernel="constant")
    np.testing.assert_allclose(out, np.tile(values.mean(0), (3, 1)), rtol=1e-5)
    far = attention_pooling(queries + 100, keys, values, kernel="epanechnikov")
    assert (far == 0).all()


def test_narrower_is_nearer(rng):
    """The book's example: y = 2 sin x + sqrt x; a smaller width follows the data more closely."""
    x = np.sort(rng.uniform(0, 5, (40, 1)))
    y = 2 * np.sin(x) + np.sqrt(x)
    errors = [np.abs(attention_pooling(x, x, y, width=w) - y).mean() for w in (0.1, 0.5, 1.0)]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_by_central_differences(kernel, rng):
    queries, keys, values = operands(rng, (2,), 4, 9, 2, 3, np.float64)
    dout, h, width = rng.standard_normal((2, 4, 3)), 1e-6, 1.7
    got = attention_pooling_backward(dout, queries, keys, values, kernel=kernel, width=width)

    def loss(w=width):
        return (attention_pooling(queries, keys, values, kernel=kernel, width=w) * dout).sum()

    assert abs(got[3] - (loss(width + h) - loss(width - h)) / (2 * h)) <= 1e-7
    for x, gradient in zip((queries, keys, values), got[:3], strict=True):
        for i in np.ndindex(x.shape):
            kept = x[i]
            x[i] = kept + h
            up = loss()
            x[i] = kept - h
            down = loss()
            x[i] = kept
            assert abs(gradient[i] - (up - down) / (2 * h)) <= 1e-6


def test_trained_width_of_the_book(rng):
    """With each example left out of its own average, gradient steps on w = 1 / width help."""
    n = 30
    x = np.sort(rng.uniform(0, 5, n))
    y = 2 * np.sin(x) + np.sqrt(x) + 0.3 * rng.standard_normal(n)
    others = ~np.eye(n, dtype=bool)
    keys = np.tile(x, (n, 1))[others].reshape(n, n - 1, 1)
    values = np.tile(y, (n, 1))[others].reshape(n, n - 1, 1)
    queries, width, losses = x.reshape(n, 1, 1), 2.0, []
    for _ in range(20):
        error = attention_pooling(queries, keys, values, width=width)[:, 0, 0] - y
        losses.append((error**2).mean())
        *_, dwidth = attention_pooling_backward(
            (2 * error / n).reshape(n, 1, 1), queries, keys, values, width=width
        )
        width -= 0.2 * dwidth
    assert losses[-1] < 0.5 * losses[0] and 0 < width < 2


def test_bad_arguments(rng):
    queries, keys, values = operands(rng, (), 3, 4, 2, 5, np.float32)
    dout = np.ones((3, 5), np.float32)
    with pytest.raises(ValueError, match="kernel must be one of 'gaussian', 'boxcar'"):
        attention_pooling(queries, keys, values, kernel="cosine")
    with pytest.raises(ValueError, match="width must be above 0 and finite, got 0"):
        attention_pooling(queries, keys, values, width=0)
    with pytest.raises(TypeError, match=r"keys must be a NumPy array .*, got list"):
        attention_pooling(queries, [1.0], values)
    with pytest.raises(TypeError, match="values is of float64 but queries of float32"):
        attention_pooling(queries, keys, values.astype(float))
    with pytest.raises(ValueError, match=r"got \(3, 2\), \(4, 2\) and \(3, 5\)"):
        attention_pooling(queries, keys, values[:3])
    with pytest.raises(ValueError, match=r"dout must have the shape \(3, 5\)"):
        attention_pooling_backward(dout[:2], queries, keys, values)
    with pytest.raises(ValueError, match="must have equal leading axes"):
        attention_pooling_backward(dout, queries, keys[None], values)
