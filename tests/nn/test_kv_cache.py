"""The KV cache: stepwise generation equals attention over all, appends in place, errors."""

import numpy as np
import pytest

from fastnn import attention
from fastnn.nn import KVCache


def test_generation_is_causal_attention(real, rng):
    q, k, v = (rng.standard_normal((2, 4, 30, 8)).astype(real) for _ in range(3))
    k, v = k[:, :2], v[:, :2]
    want = attention(q, k, v, causal=True)
    cache, at = KVCache(2, 2, 30, 8, real), 0
    storage = cache._keys
    for n in (10, 1, 1, 5, 1, 12):  # the prompt, then steps
        step = slice(at, at + n)
        keys, values = cache.append(k[:, :, step], v[:, :, step])
        assert keys.base is storage.base or keys.base is storage
        got = attention(q[:, :, step], keys, values, causal=True)
        np.testing.assert_allclose(got, want[:, :, step], atol=8 * np.finfo(real).eps)
        at += n
    assert cache.length == 30 == cache.max_len
    np.testing.assert_array_equal(cache.values, v)
    cache.truncate(7)
    np.testing.assert_array_equal(cache.keys, k[:, :, :7])
    cache.truncate()
    assert cache.length == 0 and cache.keys.shape == (2, 2, 0, 8)


def test_bad_arguments_change_nothing(rng):
    cache = KVCache(1, 2, 4, 3, value_dim=5)
    k, v = np.ones((1, 2, 3, 3), np.float32), np.ones((1, 2, 3, 5), np.float32)
    cache.append(k, v)
    with pytest.raises(ValueError, match="3 positions and 3 more are too many for 4"):
        cache.append(k, v)
    with pytest.raises(TypeError, match="v must be an array of float32, got float64"):
        cache.append(k, v.astype(float))
    with pytest.raises(TypeError, match="k must be an array of float32, got list"):
        cache.append([1.0], v)
    with pytest.raises(
        ValueError, match=r"k must have the shape \(1, 2, n, 3\), got \(1, 2, 3, 5\)"
    ):
        cache.append(v, v)
    with pytest.raises(ValueError, match="1 positions of keys but 3 of values"):
        cache.append(k[:, :, :1], v)
    with pytest.raises(ValueError, match="cannot cut 3 positions to 4"):
        cache.truncate(4)
    assert cache.length == 3
    np.testing.assert_array_equal(cache.values, v)
