"""mse, l1, huber, bce_with_logits: float64, central differences, PyTorch, weights, errors."""

import math

import numpy as np
import pytest

import fastnn
from fastnn.kernels import bce_with_logits, huber, l1, mse

from .variants import WRONG_TYPES, guarded, layouts, spaced

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (5000,), (40, 333)]
LOSSES = {"mse": mse, "l1": l1, "huber": huber, "bce": bce_with_logits}
OUTPUT = {"mse": "dpred", "l1": "dpred", "huber": "dpred", "bce": "dlogits"}


@pytest.fixture(params=LOSSES)
def name(request):
    return request.param


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def reference(name, x, t, delta=1.0, pos_weight=1.0):
    """The loss of each element and its slope, in float64."""
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    d = x - t
    if name == "mse":
        return d**2, 2 * d
    if name == "l1":
        return np.abs(d), np.sign(d)
    if name == "huber":
        small = np.abs(d) <= delta
        return np.where(small, d**2 / 2, delta * (np.abs(d) - delta / 2)), d.clip(-delta, delta)
    p = 1 / (1 + np.exp(-x))
    w = np.asarray(pos_weight, np.float64)
    return w * t * softplus(-x) + (1 - t) * softplus(x), (1 - t) * p - w * t * (1 - p)


def problem(rng, name, shape, real):
    x = np.array(3 * rng.standard_normal(shape), real)
    t = rng.uniform(0, 1, shape) if name == "bce" else rng.standard_normal(shape)
    return x, np.array(t, real)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_loss(name, shape, real, rng, n_threads):
    x, t = problem(rng, name, shape, real)
    loss, d = LOSSES[name](x, t)
    losses, slopes = reference(name, x, t)
    eps = float(np.finfo(real).eps)
    assert isinstance(loss, float) and loss == pytest.approx(losses.mean(), rel=8 * eps)
    assert d.shape == shape and d.dtype == real
    np.testing.assert_allclose(d, slopes / slopes.size, rtol=4 * eps, atol=4 * eps / slopes.size)
    each, d_sum = LOSSES[name](x, t, reduction="none")
    assert each.shape == shape and each.dtype == real
    np.testing.assert_allclose(each, losses, rtol=8 * eps, atol=2 * float(np.finfo(real).tiny))
    np.testing.assert_allclose(d_sum, slopes, rtol=4 * eps, atol=4 * eps)
    assert LOSSES[name](x, t, reduction="sum")[0] == pytest.approx(losses.sum(), rel=8 * eps)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradient_by_central_differences(name, reduction, rng):
    x, t = problem(rng, name, (6, 4), np.float64)
    options = {"reduction": reduction, "sample_weight": rng.uniform(0, 2, 6)}
    if name == "bce":
        options["pos_weight"] = rng.uniform(0, 3, 4)
    if name == "huber":
        options["delta"] = 1.5
    _, d = LOSSES[name](x, t, **options)
    want, h = np.empty_like(x), 1e-6
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        above, below = LOSSES[name](up, t, **options)[0], LOSSES[name](down, t, **options)[0]
        want[i] = np.sum(above - below) / (2 * h)
    assert np.abs(d - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_against_pytorch(name, reduction, real, rng):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    f = torch.nn.functional
    x, t = problem(rng, name, (31, 19), real)
    options, theirs = {}, {}
    if name == "bce":
        options["pos_weight"] = rng.uniform(0, 3, 19).astype(real)
        theirs["pos_weight"] = torch.tensor(options["pos_weight"])
    if name == "huber":
        options["delta"] = theirs["delta"] = 0.7
    function = {"mse": f.mse_loss, "l1": f.l1_loss, "huber": f.huber_loss}.get(
        name, f.binary_cross_entropy_with_logits
    )
    leaf = torch.tensor(x, requires_grad=True)
    want = function(leaf, torch.tensor(t), reduction=reduction, **theirs)
    want.sum().backward()
    loss, d = LOSSES[name](x, t, reduction=reduction, **options)
    tolerance = 2e-6 if real == np.float32 else 1e-14
    np.testing.assert_allclose(loss, want.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(d, leaf.grad.numpy(), rtol=0, atol=tolerance * np.abs(d).max())


@pytest.mark.parametrize("shape", [(1,), (7,), (5000,), (3, 5), (2, 3, 4), (900, 7)], ids=str)
def test_sample_weights(name, shape, real, rng):
    x, t = problem(rng, name, shape, real)
    w = rng.uniform(-0.5, 2, shape[0]).clip(0).astype(real)
    w[0] = 1
    losses, slopes = reference(name, x, t)
    wide = np.broadcast_to(w.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.float64)
    eps = float(np.finfo(real).eps)
    loss, d = LOSSES[name](x, t, sample_weight=w)
    assert loss == pytest.approx((wide * losses).sum() / wide.sum(), rel=16 * eps)
    np.testing.assert_allclose(
        d, wide * slopes / wide.sum(), rtol=8 * eps, atol=8 * eps / wide.sum()
    )
    each, d = LOSSES[name](x, t, sample_weight=w, reduction="none")
    np.testing.assert_allclose(each, wide * losses, rtol=16 * eps)
    np.testing.assert_allclose(d, wide * slopes, rtol=8 * eps, atol=16 * eps)
    x[w == 0] = np.nan
    again, d = LOSSES[name](x, t, sample_weight=w)
    assert again == loss and (d[w == 0] == 0).all()
    again, d = LOSSES[name](x, t, sample_weight=np.zeros(shape[0], real))
    assert again == 0 and (d == 0).all()


@pytest.mark.parametrize("columns", [1, 3, 67, 3000])
def test_weights_of_positive_targets(columns, real, rng):
    x, t = problem(rng, "bce", (5, columns), real)
    eps = float(np.finfo(real).eps)
    for w in (2.5, np.array(rng.uniform(0, 3, columns), real)):
        losses, slopes = reference("bce", x, t, pos_weight=w)
        loss, d = bce_with_logits(x, t, pos_weight=w)
        assert loss == pytest.approx(losses.mean(), rel=8 * eps)
        np.testing.assert_allclose(d, slopes / d.size, rtol=0, atol=8 * eps * 3 / d.size)


def test_bce_is_accurate_where_it_is_small(real):
    """Confident logits: log1p(exp(-x)), not 0, if right; the logit itself if wrong."""
    x = np.array([0, 5, 15, 40, 80], real)
    want = softplus(-x.astype(np.float64))
    eps = float(np.finfo(real).eps)
    for sign, target in ((1, 1), (-1, 0)):
        each, d = bce_with_logits(sign * x, np.full_like(x, target), reduction="none")
        np.testing.assert_allclose(each, want, rtol=4 * eps)
        np.testing.assert_allclose(d, -sign / (1 + np.exp(x.astype(float))), rtol=8 * eps)
        each, _ = bce_with_logits(-sign * x, np.full_like(x, target), reduction="none")
        np.testing.assert_allclose(each, softplus(x.astype(np.float64)), rtol=4 * eps)


def test_special_values(real):
    inf, nan = np.inf, np.nan
    x, t = (
        np.array([inf, -inf, inf, -inf, nan, 0, 1e30], real),
        np.array([1, 0, 0, 1, 1, nan, 0], real),
    )
    each, d = bce_with_logits(x, t, reduction="none")
    np.testing.assert_array_equal(each[:4], [0, 0, inf, inf])
    np.testing.assert_array_equal(d[:4], [0, 0, 1, -1])
    assert np.isnan(each[4:6]).all() and np.isnan(d[4:6]).all()
    assert each[6] == np.array(1e30, real) and d[6] == 1
    zero = np.zeros(4, real)
    odd = np.array([inf, -inf, nan, 0], real)
    for function, losses, slopes in (
        (mse, [inf, inf, nan, 0], [inf, -inf, nan, 0]),
        (l1, [inf, inf, nan, 0], [1, -1, nan, 0]),
        (huber, [inf, inf, nan, 0], [1, -1, nan, 0]),
    ):
        each, d = function(odd, zero, reduction="none")
        np.testing.assert_array_equal(each, losses)
        np.testing.assert_array_equal(d, slopes)
        assert math.isnan(function(odd, zero)[0])


def test_layouts_and_in_place(name, real, rng):
    loss_of, out_name = LOSSES[name], OUTPUT[name]
    x, t = problem(rng, name, (6, 9), real)
    w = rng.uniform(0, 1, 6).astype(real)
    loss, plain = loss_of(x, t, sample_weight=w)
    for layout, view in layouts(x):
        got = loss_of(view, spaced(t), sample_weight=spaced(w), **{out_name: view})
        assert got[0] == loss and got[1] is view and (view == plain).all(), layout
    over = t.copy()
    assert (loss_of(x, over, sample_weight=w, **{out_name: over})[1] == plain).all()
    out, untouched = guarded(x.shape, real)
    assert loss_of(x, t, sample_weight=w, **{out_name: out})[1] is out and (out == plain).all()
    untouched()
    memory = np.zeros((7, 9), real)
    with pytest.raises(ValueError, match=f"{out_name} overlaps"):
        loss_of(memory[:6], t, **{out_name: memory[1:]})


def test_wrong_arguments(name, rng):
    loss_of = LOSSES[name]
    x, t = problem(rng, name, (6, 9), np.float32)
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="must be a NumPy array"):
            loss_of(bad, t)
        with pytest.raises(TypeError, match="must be a NumPy array"):
            loss_of(x, bad)
    with pytest.raises(TypeError, match="is of float64"):
        loss_of(x, t.astype(np.float64))
    with pytest.raises(ValueError, match=r"targets? must have the shape of .*, \(6, 9\)"):
        loss_of(x, t[:, :3])
    with pytest.raises(ValueError, match="mean over no elements"):
        loss_of(x[:0], t[:0])
    for reduction, want in (("sum", 0.0), ("none", np.empty((0, 9)))):
        loss, d = loss_of(x[:0], t[:0], reduction=reduction)
        np.testing.assert_array_equal(loss, want)
        assert d.shape == (0, 9)
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 3"):
        loss_of(x, t, reduction=3)
    with pytest.raises(ValueError, match=r"sample_weight must have the shape \(6,\)"):
        loss_of(x, t, sample_weight=np.ones(9, np.float32))
    for bad in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"sample_weight\[3\] is .*; weights are finite"):
            loss_of(x, t, sample_weight=np.array([1, 1, 1, bad, 1, 1], np.float32))
    frozen = x.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="is read-only"):
        loss_of(x, t, **{OUTPUT[name]: frozen})


def test_wrong_delta_and_positive_weights():
    x = np.ones((2, 3), np.float32)
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="delta must be a finite number above 0"):
            huber(x, x, delta=bad)
    with pytest.raises(ValueError, match=r"pos_weight must have the shape \(3,\)"):
        bce_with_logits(x, x, pos_weight=np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"pos_weight\[0\] is -1"):
        bce_with_logits(x, x, pos_weight=-1.0)


def test_same_bits_at_any_thread_count(name, real, rng):
    x, t = problem(rng, name, (701, 165), real)
    w = rng.uniform(0, 1, 701).astype(real)
    options = {"pos_weight": rng.uniform(0, 2, 165).astype(real)} if name == "bce" else {}
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            a, b = LOSSES[name](x, t), LOSSES[name](x, t, sample_weight=w, **options)
            results.add((a[0], a[1].tobytes(), b[0], b[1].tobytes()))
    assert len(results) == 1


def test_totals_of_weights_that_a_mean_cannot_divide_by(name, real):
    x = np.ones((2, 3), real)
    d = np.full_like(x, 7)
    smallest = np.finfo(real).smallest_subnormal
    with pytest.raises(ValueError, match="weights of the mean add up to"):
        LOSSES[name](x, x, sample_weight=np.array([smallest, 0], real), **{OUTPUT[name]: d})
    assert (d == 7).all()
    LOSSES[name](x, x, sample_weight=np.array([smallest, 0], real), reduction="sum")
    if real is np.float64:
        with pytest.raises(ValueError, match="add up to inf"):
            LOSSES[name](x, x, sample_weight=np.full(2, np.finfo(real).max))


def test_huber_delta_is_above_0_in_the_type(real):
    x = np.ones(3, real)
    for delta in (
        float(np.finfo(real).smallest_subnormal) / 4,
        1e-400,
        float(np.finfo(real).max) * 2,
    ):
        with pytest.raises(ValueError, match=f"delta must be .* in {np.dtype(real)}"):
            huber(x, x, delta=delta)


@pytest.mark.parametrize("size", [5, 100, 3000, 40_000])
@pytest.mark.parametrize("wrong", [-1.0, 1.0001, 2.0, -np.inf, np.inf, -1e-30])
def test_targets_of_bce_are_from_0_to_1(wrong, size, real, n_threads, rng):
    """Labels of {-1, 1} or {1, 2} once gave losses below 0."""
    x, t = rng.standard_normal((size, 3)).astype(real), rng.random((size, 3)).astype(real)
    t[0] = [0, 1, -0.0]
    want = bce_with_logits(x[:-1], t[:-1], reduction="sum")
    at = size - 1
    t[at, 1] = wrong
    d = np.full_like(x, 7)
    with pytest.raises(ValueError, match=rf"targets\[{at}, 1\] is .*; targets are from 0 to 1"):
        bce_with_logits(x, t, dlogits=d)
    assert (d == 7).all()
    counts = (np.arange(size) != at).astype(real)
    loss, d = bce_with_logits(x, t, reduction="sum", sample_weight=counts)
    if np.isfinite(wrong):  # an example of weight 0 may hold anything finite
        assert loss == pytest.approx(want[0], rel=1e-5) and (d[:-1] == want[1]).all()
    t[at, 1] = np.nan
    assert math.isnan(bce_with_logits(x, t)[0])
