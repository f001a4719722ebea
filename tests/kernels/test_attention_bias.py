"""The gradient of a bias of attention that depends on the distance of query and key."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from fastnn import attention, attention_backward, num_threads

# heads, key/value heads, queries, keys, options
CASES = {
    "plain": (2, 2, 7, 7, {}),
    "one": (1, 1, 1, 1, {}),
    "causal": (4, 2, 70, 70, {"causal": True}),
    "more keys": (2, 1, 5, 300, {}),
    "more queries": (2, 2, 130, 9, {}),
    "lengths": (2, 2, 66, 66, {"lengths": [66, 31, 0]}),
    "window": (2, 2, 90, 90, {"window": 5}),
    "dropout": (2, 2, 40, 40, {"dropout_p": 0.3, "seed": 5, "step": 2}),
    "long": (1, 1, 400, 400, {}),
}


def of_distance(bias, n_queries, n_keys):
    """The mask (heads, n_queries, n_keys), a view of (heads, n_queries + n_keys - 1)."""
    heads, step = bias.strides
    shape = len(bias), n_queries, n_keys
    return as_strided(bias[:, n_queries - 1 :], shape, (heads, -step, step))


def operands(case, real, batch=3, d=8):
    heads, kv_heads, n_queries, n_keys, how = CASES[case]
    rng = np.random.default_rng(len(case))
    shapes = [(heads, n_queries), (kv_heads, n_keys), (kv_heads, n_keys), (heads, n_queries)]
    q, k, v, dout = (rng.standard_normal((batch, *shape, d)).astype(real) for shape in shapes)
    bias = rng.standard_normal((heads, n_queries + n_keys - 1)).astype(real)
    return q, k, v, dout, bias, dict(how)


def found(case, real, into=None, **more):
    q, k, v, dout, bias, how = operands(case, real)
    how |= {"mask": of_distance(bias, q.shape[2], k.shape[2]), **more}
    out, normalizer = attention(q, k, v, return_normalizer=True, **how)
    dbias = np.zeros_like(bias) if into is None else into
    gradients = attention_backward(dout, q, k, v, out, normalizer, dbias=dbias, **how)
    return dbias, gradients, attention_backward(dout, q, k, v, out, normalizer, **how)


def expected(case):
    """By the equations, in float64, with the dropout of the kernel."""
    q, k, v, dout, bias, how = operands(case, np.float64)
    shared = q.shape[1] // k.shape[1]
    mask = of_distance(bias, q.shape[2], k.shape[2])
    undropped = {key: how[key] for key in how if key in ("causal", "lengths", "window")}
    p = attention(q, k, v, mask=mask, need_weights=True, **undropped)[1]
    dropped = attention(q, k, v, mask=mask, need_weights=True, **how)[1]
    kept = np.divide(dropped, p, out=np.zeros_like(p), where=p != 0)
    dp = dout @ np.repeat(v, shared, axis=1).swapaxes(2, 3) * kept
    ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    dbias = np.zeros_like(bias)
    for i in range(q.shape[2]):
        for j in range(k.shape[2]):
            dbias[:, q.shape[2] - 1 + j - i] += ds[:, :, i, j].sum(axis=0)
    return dbias


@pytest.mark.parametrize("case", CASES)
def test_the_gradient(case, real):
    want = expected(case)
    dbias, gradients, without = found(case, real)
    limit = 1e-5 if real is np.float32 else 1e-12
    assert np.abs(dbias - want).max() <= limit * max(1, np.abs(want).max())
    for a, b in zip(gradients, without, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_for_any_number_of_threads(case, real, n_threads):
    with num_threads(1):
        one = found(case, real)[0]
    with num_threads(n_threads):
        np.testing.assert_array_equal(found(case, real)[0], one)


def test_it_is_added(real):
    once = found("plain", real)[0]
    twice = found("plain", real, into=np.ones_like(once))[0]
    np.testing.assert_allclose(twice, 1 + once, rtol=1e-5)


def test_wrong_arrays_are_refused(real):
    q, _, _, _, bias, _ = operands("plain", real)
    other = np.float64 if real is np.float32 else np.float32
    read_only = np.zeros_like(bias)
    read_only.flags.writeable = False
    for wrong, error, message in (
        (
            np.zeros((2, 12), real),
            ValueError,
            r"dbias must be .* of the shape \(2, 13\), got \(2, 12\)",
        ),
        (np.zeros((2, 13), other), TypeError, "dbias"),
        (np.zeros((13, 2), real).T, ValueError, "dbias must be C-contiguous, writable"),
        (read_only, ValueError, "dbias must be C-contiguous, writable"),
        ([0.0], TypeError, "dbias"),
    ):
        with pytest.raises(error, match=message):
            found("plain", real, into=wrong)
    whole = np.zeros((2, 13), real)
    k = v = np.ones((3, 2, 7, 8), real)
    out, lse = attention(q, k, v, return_lse=True)
    mask = of_distance(whole, 7, 7)
    with pytest.raises(ValueError, match="dbias"):
        attention_backward(out, q, k, v, out, lse, mask=mask, dbias=whole)


def test_nothing_is_nothing(real):
    q, k = np.zeros((2, 2, 0, 4), real), np.zeros((2, 2, 3, 4), real)
    out, lse = attention(q, k, k, return_lse=True)
    dbias = np.ones((2, 2), real)
    attention_backward(out, q, k, k, out, lse, dbias=dbias)
    assert (dbias == 1).all()
