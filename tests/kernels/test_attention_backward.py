"""Softmax attention, backward: float64, central differences, layouts, masks, threads, errors."""

import numpy as np
import pytest

import fastnn
from fastnn import attention, attention_backward

from .. import oracle
from .test_attention import SHAPES, TOLERANCE, masks, operands
from .variants import guarded


def forward_and_backward(dout, q, k, v, **options):
    out, lse = attention(q, k, v, return_lse=True, **options)
    return attention_backward(dout, q, k, v, out, lse, **options)


def upstream(rng, q, v):
    return rng.standard_normal((*q.shape[:3], v.shape[3])).astype(q.dtype)


def assert_gradients(got, want, real, what=""):
    for name, g, w in zip(("dq", "dk", "dv"), got, want, strict=True):
        limit = 2 * TOLERANCE[real] * max(1, np.abs(w).max(initial=0))
        assert g.dtype == real and g.shape == w.shape
        assert np.abs(g - w).max(initial=0) <= limit, (what, name)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_float64(shape, real, rng):
    q, k, v = operands(rng, shape, real)
    dout = upstream(rng, q, v)
    for name, options in masks(rng, shape, real).items():
        got = forward_and_backward(dout, q, k, v, **options)
        assert_gradients(got, oracle.attention_backward(dout, q, k, v, **options), real, name)


@pytest.mark.parametrize("dropout_p", [0.0, 0.4])
def test_by_central_differences(dropout_p, rng):
    q, k, v = operands(rng, (2, 2, 1, 5, 7, 3, 4), np.float64)
    dout, h = upstream(rng, q, v), 1e-6
    options = {"causal": True, "lengths": [7, 4], "scale": 0.7}
    options |= {"dropout_p": dropout_p, "seed": 3, "step": 9}
    got = forward_and_backward(dout, q, k, v, **options)
    for x, gradient in zip((q, k, v), got, strict=True):
        for i in np.ndindex(x.shape):
            kept = x[i]
            x[i] = kept + h
            up = (attention(q, k, v, **options) * dout).sum()
            x[i] = kept - h
            down = (attention(q, k, v, **options) * dout).sum()
            x[i] = kept
            assert abs(gradient[i] - (up - down) / (2 * h)) <= 1e-7


def test_dropout(real, rng):
    q, k, v = operands(rng, (2, 4, 2, 70, 300, 9, 8), real)
    dout = upstream(rng, q, v)
    kept = fastnn.dropout(np.ones((2, 4, 70, 300)), 0.25, seed=11, step=2)
    got = forward_and_backward(dout, q, k, v, causal=True, dropout_p=0.25, seed=11, step=2)
    want = oracle.attention_backward(dout, q, k, v, kept=kept, causal=True)
    assert_gradients(got, want, real)


def test_gradient_of_a_query_is_a_covariance(real, rng):
    """Where values are the keys, d out / d q is the covariance of the keys under the weights."""
    k = rng.standard_normal((1, 1, 20, 6)).astype(real)
    q = rng.standard_normal((1, 1, 1, 6)).astype(real)
    _, weights = attention(q, k, k, scale=1.0, need_weights=True)
    p = weights[0, 0, 0].astype(np.float64)
    mean = p @ k[0, 0]
    covariance = (k[0, 0] - mean).T @ (p[:, None] * (k[0, 0] - mean))
    for i, dout in enumerate(np.eye(6, dtype=real)):
        dq, _, _ = forward_and_backward(dout.reshape(1, 1, 1, 6), q, k, k, scale=1.0)
        np.testing.assert_allclose(dq[0, 0, 0], covariance[i], atol=10 * TOLERANCE[real])


def test_views_of_one_fused_gradient(real, rng):
    batch, n, heads, d = 2, 37, 3, 5
    fused = rng.standard_normal((batch, n, 3, heads, d)).astype(real)
    q, k, v = (fused[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    dout = rng.standard_normal((batch, n, heads, d)).astype(real).transpose(0, 2, 1, 3)
    plain = forward_and_backward(*(np.ascontiguousarray(x) for x in (dout, q, k, v)), causal=True)
    memory, untouched = guarded(fused.shape, real)
    views = {
        name: memory[:, :, i].transpose(0, 2, 1, 3) for i, name in enumerate(("dq", "dk", "dv"))
    }
    out, lse = attention(q, k, v, causal=True, return_lse=True)
    got = attention_backward(dout, q, k, v, out, lse, causal=True, **views)
    untouched()
    for g, view, want in zip(got, views.values(), plain, strict=True):
        assert g is view
        np.testing.assert_array_equal(g, want)
    flipped = [x[..., ::-1].copy()[..., ::-1] for x in (dout, q, k, v)]
    for g, want in zip(forward_and_backward(*flipped, causal=True), plain, strict=True):
        np.testing.assert_array_equal(g, want)


def test_nan_where_nobody_may_look_stays_there(real, rng):
    n = 70
    q, k, v = operands(rng, (1, 2, 1, n, 2 * n, 8, 8), real)
    dout = upstream(rng, q, v)
    bad_k, bad_v = k.copy(), v.copy()
    bad_k[:, :, -2], bad_v[:, :, -1] = np.nan, np.inf
    mask = np.arange(2 * n) < 2 * n - 2
    for options in (
        {"lengths": [2 * n - 2]},
        {"lengths": np.arange(n)[None]},
        {"mask": mask},
        {"mask": np.where(mask, 0, -np.inf).astype(real)},
    ):
        want = forward_and_backward(dout, q, k, v, **options)
        got = forward_and_backward(dout, q, bad_k, bad_v, **options)
        assert_gradients(got, [w.astype(np.float64) for w in want], real)
    # NaN of a query without keys stays in its row.
    lengths = np.full((1, n), 2 * n)
    lengths[0, 5] = 0
    bad_q = q.copy()
    bad_q[:, :, 5] = np.nan
    dq, dk, dv = forward_and_backward(dout, bad_q, k, v, lengths=lengths)
    assert (dq[:, :, 5] == 0).all()
    want = forward_and_backward(dout, q, k, v, lengths=lengths)
    assert_gradients((dq, dk, dv), [w.astype(np.float64) for w in want], real)


def test_rows_without_a_key_have_no_gradient(real, rng):
    q, k, v = operands(rng, (2, 2, 2, 40, 30, 4, 4), real)
    dout = upstream(rng, q, v)
    for got in (
        forward_and_backward(dout, q, k, v, lengths=[0, 0]),
        forward_and_backward(dout, q, k, v, mask=np.zeros(30, bool)),
    ):
        assert all((g == 0).all() for g in got)
    dq, _, _ = forward_and_backward(dout, q, k, v, causal=True)
    assert (dq[:, :, :10] == 0).all() and (dq[:, :, 11:] != 0).any()


@pytest.mark.parametrize(
    "shape", [SHAPES[2], (1, 1, 1, 300, 300, 8, 8), (1, 6, 3, 90, 300, 8, 8)], ids=str
)
def test_same_bits_at_any_thread_count(shape, real, rng):
    """Threads take whole heads if there are enough, otherwise keys first, then queries."""
    q, k, v = operands(rng, shape, real)
    dout = upstream(rng, q, v)
    for name, options in masks(rng, shape, real).items():
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                got = forward_and_backward(dout, q, k, v, **options)
                results.add(b"".join(x.tobytes() for x in got))
        assert len(results) == 1, name


def test_against_pytorch(rng):
    torch = pytest.importorskip("torch")
    q, k, v = operands(rng, (2, 4, 4, 50, 80, 16, 16), np.float32)
    dout = upstream(rng, q, v)
    tensors = [torch.from_numpy(x).requires_grad_() for x in (q, k, v)]
    out = torch.nn.functional.scaled_dot_product_attention(*tensors)
    out.backward(torch.from_numpy(dout))
    np.testing.assert_allclose(attention(q, k, v), out.detach().numpy(), atol=2e-6)
    for g, x in zip(forward_and_backward(dout, q, k, v), tensors, strict=True):
        np.testing.assert_allclose(g, x.grad.numpy(), atol=4e-6)


def test_bad_arguments(rng):
    q, k, v = operands(rng, (2, 2, 1, 5, 6, 3, 4), np.float32)
    out, lse = attention(q, k, v, return_lse=True)
    dout = np.ones_like(out)
    with pytest.raises(ValueError, match=r"dout must have the shape \(2, 2, 5, 4\)"):
        attention_backward(dout[:1], q, k, v, out, lse)
    with pytest.raises(ValueError, match=r"lse must have the shape \(2, 2, 5\)"):
        attention_backward(dout, q, k, v, out, lse[0])
    with pytest.raises(TypeError, match="out is of float64 but q of float32"):
        attention_backward(dout, q, k, v, out.astype(np.float64), lse)
    with pytest.raises(ValueError, match=r"dk must have the shape \(2, 1, 6, 3\)"):
        attention_backward(dout, q, k, v, out, lse, dk=np.empty_like(q))
    with pytest.raises(ValueError, match="dq overlaps q"):
        attention_backward(dout, q, k, v, out, lse, dq=q)
    same = np.empty_like(k)
    with pytest.raises(ValueError, match="last axis of dq must be contiguous"):
        attention_backward(dout, q, k, v, out, lse, dq=np.empty((2, 2, 5, 6), np.float32)[..., ::2])
    with pytest.raises(ValueError, match="dv overlaps dk"):
        attention_backward(dout[..., :3], q, k, k, out[..., :3], lse, dk=same, dv=same)


def test_empty_outputs(real):
    """NumPy's empty arrays have strides of 0, which is no reason to refuse them."""
    q, k = np.ones((2, 4, 3, 5), real), np.empty((2, 2, 0, 5), real)
    out, lse = attention(q, k, k, return_lse=True)
    given = {f"d{name}": np.empty_like(x) for name, x in zip("qkv", (q, k, k), strict=True)}
    dq, dk, dv = attention_backward(out, q, k, k, out, lse, **given)
    assert dq is given["dq"] and dk is given["dk"] and dv is given["dv"] and not dq.any()
