"""cross_entropy: float64, central differences, PyTorch, invalid labels and weights, padding."""

import math

import numpy as np
import pytest

import fastnn
from fastnn.kernels import cross_entropy

from .cross_entropy import OPTIONS, optioned, problem

SHAPES = [(1, 1), (1, 2), (3, 10), (17, 16), (128, 10), (9, 1000), (400, 65)]


def cross_entropy_64(
    logits, targets, weight=None, sample_weight=None, label_smoothing=0.0, ignore=-100
):
    """Row losses, the sum of the weights, and the gradient of the summed loss, in float64."""
    x = logits.astype(np.float64)
    n, c = x.shape
    x = x - x.max(1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    w = np.ones(c) if weight is None else weight.astype(np.float64)
    v = np.ones(n) if sample_weight is None else sample_weight.astype(np.float64)
    if targets.ndim == 2:
        q, norm = targets.astype(np.float64), v.sum()
    else:
        v = np.where(targets == ignore, 0, v)
        labels = np.where(targets == ignore, 0, targets)
        q, norm = np.eye(c)[labels], (v * w[labels]).sum()
    a = w * ((1 - label_smoothing) * q + label_smoothing / c)
    d = v[:, None] * (a.sum(1, keepdims=True) * np.exp(log_p) - a)
    return v * -(a * log_p).sum(1), norm, d


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy(shape, real, rng, n_threads):
    logits, targets = problem(rng, shape, real)
    loss, d = cross_entropy(logits, targets)
    losses, n, want = cross_entropy_64(logits, targets)
    want_loss, want = losses.sum() / n, want / n
    eps = float(np.finfo(real).eps)
    assert isinstance(loss, float) and loss == pytest.approx(want_loss, rel=64 * eps, abs=8 * eps)
    np.testing.assert_allclose(d, want, rtol=0, atol=16 * eps / len(d))
    assert d.dtype == real


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(7, 3), (23, 45), (5, 1100)], ids=str)
def test_options(shape, options, real, rng):
    logits, targets, options = optioned(rng, shape, real, *options)
    losses, norm, want = cross_entropy_64(logits, targets, **options)
    eps, scale = float(np.finfo(real).eps), max(losses.max(), 1)
    each, d = cross_entropy(logits, targets, reduction="none", **options)
    assert each.dtype == real and each.shape == (len(logits),)
    np.testing.assert_allclose(each, losses, rtol=0, atol=32 * eps * scale)
    np.testing.assert_allclose(d, want, rtol=0, atol=16 * eps * max(np.abs(want).max(), 1))
    total, d_sum = cross_entropy(logits, targets, reduction="sum", **options)
    assert total == pytest.approx(losses.sum(), rel=64 * eps) and (d_sum == d).all()
    mean, d_mean = cross_entropy(logits, targets, **options)
    assert mean == pytest.approx(losses.sum() / norm, rel=64 * eps)
    np.testing.assert_allclose(
        d_mean, want / norm, rtol=0, atol=16 * eps * max(np.abs(want).max(), 1) / norm
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options", [("labels", False, False, 0.0, False), *OPTIONS[-30::7]], ids=str
)
def test_gradient_by_central_differences(options, reduction, rng):
    logits, targets, options = optioned(rng, (5, 6), np.float64, *options)
    _, d = cross_entropy(logits, targets, reduction=reduction, **options)
    want, h = np.empty_like(logits), 1e-6
    for i in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[i] += h
        down[i] -= h
        above = cross_entropy(up, targets, reduction=reduction, **options)[0]
        below = cross_entropy(down, targets, reduction=reduction, **options)[0]
        want[i] = np.sum(above - below) / (2 * h)
    assert np.abs(d - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [o for o in OPTIONS if not o[2]], ids=str)
def test_against_pytorch(options, reduction, real, rng):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    logits, targets, options = optioned(rng, (31, 19), real, *options)
    x = torch.tensor(logits, requires_grad=True)
    theirs = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
    loss = torch.nn.functional.cross_entropy(
        x, torch.tensor(targets), reduction=reduction, **theirs
    )
    loss.sum().backward()
    got, d = cross_entropy(logits, targets, reduction=reduction, **options)
    tolerance = 3e-6 if real == np.float32 else 1e-13
    np.testing.assert_allclose(got, loss.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(d, x.grad.numpy(), rtol=0, atol=tolerance * np.abs(d).max())


@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1}, {"sample_weight": True}], ids=str
)
def test_rows_left_out_are_not_read(options, real, rng):
    logits, targets = problem(rng, (11, 37), real)
    out = np.array([0, 3, 4, 10])
    kept = np.setdiff1d(np.arange(11), out)
    logits[out] = np.nan
    if "sample_weight" in options:
        options = {"sample_weight": np.where(np.isin(np.arange(11), out), 0, 1).astype(real)}
        targets[3] = -7
        few = {}
    else:
        targets[out] = -7
        few = options
    loss, d = cross_entropy(logits, targets, ignore_index=-7, **options)
    want, d_few = cross_entropy(logits[kept], targets[kept], **few)
    assert loss == pytest.approx(want, rel=1e-6) and (d[out] == 0).all()
    np.testing.assert_array_equal(d[kept], d_few)
    each, _ = cross_entropy(logits, targets, ignore_index=-7, reduction="none", **options)
    assert (each[out] == 0).all() and (each[kept] > 0).all()


def test_a_batch_of_padding_gives_zeros(real):
    logits, padding = np.full((3, 5), np.nan, real), np.full(3, -100)
    for options in ({}, {"label_smoothing": 0.5}, {"weight": np.ones(5, real)}):
        loss, d = cross_entropy(logits, padding, **options)
        assert loss == 0 and (d == 0).all()
    none = np.zeros(3, real)
    loss, d = cross_entropy(logits, np.zeros((3, 5), real), sample_weight=none)
    assert loss == 0 and (d == 0).all()
    loss, d = cross_entropy(np.ones((3, 5), real), np.zeros(3, int), weight=np.zeros(5, real))
    assert loss == 0 and (d == 0).all()


def test_an_ignored_label_may_be_any_number(rng):
    logits, targets = problem(rng, (6, 4), np.float64)
    targets[:] = [0, 1, 2, 3, 2, 1]
    loss, d = cross_entropy(logits, targets, ignore_index=2)
    keep = targets != 2
    assert loss == pytest.approx(cross_entropy(logits[keep], targets[keep])[0], rel=1e-14)
    assert (d[~keep] == 0).all() and (d[keep] != 0).all()
    wraps = targets.astype(np.uint64)
    wraps[1] = 2**64 - 100
    with pytest.raises(IndexError, match=f"target {2**64 - 100} of row 1 is not one of 4 classes"):
        cross_entropy(logits, wraps)


def test_a_small_loss_is_accurate(real):
    """One term is near 1, the other is the loss."""
    for t in (4, 8, 12):
        loss, d = cross_entropy(np.array([[t, 0]], real), np.array([0]))
        assert loss == pytest.approx(math.log1p(math.exp(-t)), abs=4 * float(np.finfo(real).eps))
        assert d[0, 1] == pytest.approx(1 / (1 + math.exp(t)), rel=8 * float(np.finfo(real).eps))


def test_large_and_infinite_logits(real):
    loss, d = cross_entropy(np.array([[1e4, 0, -1e4]], real), np.array([2]))
    assert loss == 2e4
    np.testing.assert_array_equal(d, np.array([[1, 0, -1]], real))
    loss, d = cross_entropy(np.array([[-np.inf, 0]], real), np.array([0]))
    assert loss == math.inf and (d == np.array([[-1, 1]], real)).all()
    for bad in (np.nan, np.inf):
        loss, d = cross_entropy(np.array([[bad, 0], [1, 2]], real), np.array([1, 0]))
        assert not math.isfinite(loss) and np.isnan(d[0]).all() and np.isfinite(d[1]).all()


def test_a_masked_class_costs_nothing(real):
    """A logit of -inf whose target probability is 0, and one whose is not."""
    logits = np.array([[-np.inf, 1, 2]], real)
    loss, d = cross_entropy(logits, np.array([[0, 0.25, 0.75]], real))
    want, d_two = cross_entropy(logits[:, 1:].copy(), np.array([[0.25, 0.75]], real))
    assert loss == pytest.approx(want, rel=1e-6) and d[0, 0] == 0
    np.testing.assert_allclose(d[:, 1:], d_two, rtol=1e-5)
    assert cross_entropy(logits, np.array([[0.5, 0.25, 0.25]], real))[0] == math.inf
    assert cross_entropy(logits, np.array([1]), label_smoothing=0.1)[0] == math.inf
    assert math.isnan(cross_entropy(np.full((1, 3), -np.inf, real), np.array([1]))[0])


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}])
def test_huge_logits(options, real):
    big = 1e30 if real == np.float32 else 1e300
    logits = np.array([[big, -big, 0], [big, big, -big]], real)
    for targets in (np.array([0, 1]), np.array([[1, 0, 0], [0.5, 0.5, 0]], real)):
        each, d = cross_entropy(logits, targets, reduction="none", **options)
        assert np.isfinite(d).all()
        if not options:
            np.testing.assert_allclose(each, [0, math.log(2)], rtol=1e-6)


@pytest.mark.parametrize("shape", [(700, 65), (6000, 9), (301, 700)], ids=str)
def test_same_bits_at_any_thread_count(shape, real, rng):
    cases = [optioned(rng, shape, real, *options) for options in OPTIONS[::5]]
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            got = [cross_entropy(x, t, **options) for x, t, options in cases]
            results.add(tuple((loss, d.tobytes()) for loss, d in got))
    assert len(results) == 1


def test_a_row_does_not_depend_on_its_company(real, rng):
    """Short rows are worked on four at a time."""
    logits, targets = problem(rng, (11, 21), real)
    each, d = cross_entropy(logits, targets, reduction="none")
    for i in range(11):
        one, d_one = cross_entropy(logits[i : i + 1], targets[i : i + 1], reduction="none")
        assert one[0] == each[i] and (d_one[0] == d[i]).all()


def test_totals_of_weights_that_a_mean_cannot_divide_by(real):
    logits, labels = np.ones((2, 3), real), np.array([0, -100])
    d = np.full_like(logits, 7)
    smallest = np.finfo(real).smallest_subnormal
    for weights in (
        {"sample_weight": np.array([smallest, 1], real)},
        {"weight": np.array([smallest, 1, 1], real)},
    ):
        with pytest.raises(ValueError, match=f"weights of the mean add up to {float(smallest)},"):
            cross_entropy(logits, labels, **weights, dlogits=d)
        assert (d == 7).all()
        cross_entropy(logits, labels, **weights, reduction="sum")
    if real is np.float64:
        with pytest.raises(ValueError, match="add up to inf"):
            cross_entropy(logits, np.array([0, 1]), weight=np.full(3, np.finfo(real).max))


@pytest.mark.parametrize("shape", [(5, 3), (40, 70), (300, 400)])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "none"}])
def test_probabilities_are_not_negative(shape, options, real, n_threads, rng):
    """They once gave losses below 0."""
    logits, q, _ = optioned(rng, shape, real, "probabilities", False, False, 0, False)
    row = shape[0] - 1
    for wrong in (-0.5, -np.inf):
        q[row, 2] = wrong
        d = np.full_like(logits, 7)
        with pytest.raises(ValueError, match=rf"targets\[{row}, 2\] is .* are at least 0"):
            cross_entropy(logits, q, dlogits=d, **options)
        assert (d == 7).all()
    counts = (np.arange(shape[0]) != row).astype(real)
    loss, d = cross_entropy(logits, q, sample_weight=counts, **options)
    want, d_want = cross_entropy(logits[:-1], q[:-1], **options)
    np.testing.assert_allclose(np.sum(loss), np.sum(want), rtol=1e-5)
    assert (d[row] == 0).all()
    np.testing.assert_allclose(d[:-1], d_want, rtol=0, atol=1e-6)
