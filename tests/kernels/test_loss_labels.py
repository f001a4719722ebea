"""Cross entropy: kinds of labels, layouts, and what is refused."""

import math

import numpy as np
import pytest

import fastnn
from fastnn.kernels import cross_entropy

from .cross_entropy import OPTIONS, optioned, problem
from .variants import WRONG_TYPES, guarded, layouts, spaced


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, ">i4"])
def test_any_integer_labels(kind, rng):
    logits, targets = problem(rng, (20, 10), np.float32)
    want = cross_entropy(logits, targets)
    got = cross_entropy(logits, targets.astype(kind))
    assert got[0] == want[0] and (got[1] == want[1]).all()


INTEGERS = [*np.typecodes["AllInteger"], ">i4", ">u8"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_integers_of_two_dimensions(options, real, rng):
    """A column of labels is the labels, one-hot integers and bools are their probabilities."""
    logits, targets, options = optioned(rng, (7, 3), real, "labels", *options[1:])
    hot = np.zeros(logits.shape, real)
    hot[np.arange(7), targets % 3] = 1
    for reduction in ("mean", "sum", "none"):
        how = {"reduction": reduction, **options}
        want, want_d = cross_entropy(logits, targets, **how)
        want_hot, want_hot_d = cross_entropy(logits, hot, **how)
        for kind in INTEGERS:
            if (targets >= 0).all() or np.dtype(kind).kind == "i":
                out = np.zeros_like(logits)
                got, d = cross_entropy(logits, targets.astype(kind)[:, None], dlogits=out, **how)
                assert np.array_equal(got, want) and d is out and np.array_equal(d, want_d)
        for kind in (*INTEGERS, bool):
            for _, view in layouts(hot.astype(kind)):
                got, d = cross_entropy(logits, view, **how)
                assert np.array_equal(got, want_hot) and np.array_equal(d, want_hot_d)
    if "weight" not in options and -100 not in targets:
        loss = cross_entropy(logits, targets, **options)[0]
        assert cross_entropy(logits, hot.astype(int), **options)[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("kind", [*INTEGERS, bool])
@pytest.mark.parametrize("of", [cross_entropy, fastnn.nn.cross_entropy])
def test_integers_that_do_not_fit(of, kind, real):
    """Their bytes were once read as numbers of the logits' type, far out of bounds."""
    logits = np.zeros((6, 3), real)
    for shape in ((6, 2), (6, 4), (7, 1), (1, 1), (1, 3), (7, 3), (6, 0), (0, 3), (6, 3, 1)):
        with pytest.raises((TypeError, ValueError), match=r"cross_entropy: .*targets"):
            of(logits, np.zeros(shape, kind))
    with pytest.raises((TypeError, ValueError), match=r"cross_entropy: .*targets"):
        of(np.broadcast_to(real(0), (1, 200_000_000)), np.zeros((2, 1), kind))
    if kind is not bool:
        for wrong in (2, 100):
            with pytest.raises(ValueError, match=f"of 0 and 1, but row 2 holds {wrong}"):
                of(logits, np.full((6, 3), [[0], [1], [wrong], [0], [0], [0]]).astype(kind))


def test_a_column_beside_many_classes():
    """50,000 numbers were once read from the 8 bytes of one label."""
    logits = np.zeros((1, 50_000), np.float32)
    loss, d = cross_entropy(logits, np.zeros((1, 1), int))
    assert loss == pytest.approx(math.log(50_000)) and d[0, 0] < 0 and (d[0, 1:] > 0).all()
    column = np.ones((32, 1), np.uint8)
    assert cross_entropy(np.zeros((32, 50_000), np.float32), column)[0] == pytest.approx(loss)


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.int64, bool])
def test_more_axes_in_nn(kind, real, rng):
    logits = rng.standard_normal((2, 5, 3)).astype(real)
    labels = rng.integers(0, 3, (2, 5))
    hot = np.eye(3, dtype=real)[labels]
    loss, d = fastnn.nn.cross_entropy(logits, hot)
    got = [fastnn.nn.cross_entropy(logits, hot.astype(kind))]
    if kind is not bool:
        got.append(fastnn.nn.cross_entropy(logits, labels.astype(kind)))
        got.append(fastnn.nn.cross_entropy(logits, labels.astype(kind)[..., None]))
    for other, other_d in got:
        assert other == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(other_d, d, rtol=0, atol=1e-6)
    for shape in ((2, 5, 2), (5, 2), (2, 5, 3, 1), (10,), (10, 3), (2, 5, 0)):
        with pytest.raises(ValueError, match="cross_entropy: targets must be labels"):
            fastnn.nn.cross_entropy(logits, np.zeros(shape, kind))


def test_layouts_and_in_place(real, rng):
    logits, targets = problem(rng, (13, 21), real)
    loss, plain = cross_entropy(logits, targets)
    for name, view in layouts(logits):
        got = cross_entropy(view, targets)
        assert got[0] == loss and (got[1] == plain).all(), name
        over = cross_entropy(view, targets, dlogits=view)
        assert over[1] is view and over[0] == loss and (view == plain).all(), name
    out, untouched = guarded(logits.shape, real)
    assert cross_entropy(logits, targets, dlogits=out)[1] is out
    assert (out == plain).all()
    untouched()


def test_layouts_of_probabilities_and_weights(real, rng):
    logits, targets, options = optioned(
        rng, (13, 21), real, "probabilities", True, True, 0.1, False
    )
    loss, plain = cross_entropy(logits, targets, **options)
    for (name, view), (_, q) in zip(layouts(logits), layouts(targets), strict=True):
        strided = {k: spaced(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        got = cross_entropy(view, q, dlogits=view, **strided)
        assert got[1] is view and got[0] == loss and (view == plain).all(), name
    out, untouched = guarded(logits.shape, real)
    assert (cross_entropy(logits, targets, dlogits=out, **options)[1] == plain).all()
    untouched()
    with pytest.raises(ValueError, match="dlogits overlaps targets"):
        cross_entropy(logits, targets, dlogits=targets)


@pytest.mark.parametrize("label", [10, -1, 2**40])
def test_label_out_of_range_changes_nothing(label):
    logits = np.ones((6, 10), np.float32)
    targets = np.zeros(6, np.int64)
    targets[4] = label
    out = np.full_like(logits, 5)
    with pytest.raises(IndexError, match=f"target {label} of row 4 is not one of 10 classes"):
        cross_entropy(logits, targets, dlogits=out)
    assert (out == 5).all()


def test_cross_entropy_refuses():
    logits, targets = np.ones((4, 3), np.float32), np.zeros(4, int)
    for bad in (targets.astype(float), [0, 1, 2, 0], None, np.zeros(4, bool)):
        with pytest.raises(TypeError, match="targets must be a NumPy array of integers"):
            cross_entropy(logits, bad)
    for bad in WRONG_TYPES:
        with pytest.raises(TypeError, match="logits must be"):
            cross_entropy(bad, targets)
    with pytest.raises(ValueError, match=r"not \(4, 3\) and \(5,\)"):
        cross_entropy(logits, np.zeros(5, int))
    with pytest.raises(ValueError, match=r"not \(3,\) and \(4,\)"):
        cross_entropy(logits[0], targets)
    for shape in ((0, 3), (4, 0)):
        with pytest.raises(ValueError, match="mean over no examples"):
            cross_entropy(np.ones(shape, np.float32), np.zeros(shape[0], int))
    for name, n in (("weight", 3), ("sample_weight", 4)):
        with pytest.raises(ValueError, match=rf"{name} must have the shape \({n},\)"):
            cross_entropy(logits, targets, **{name: np.ones(5, np.float32)})
        with pytest.raises(TypeError, match=f"{name} is of float64 but logits of float32"):
            cross_entropy(logits, targets, **{name: np.ones(n)})
        for bad in (-1, np.nan, np.inf):
            weights = np.ones(n, np.float32)
            weights[2] = bad
            with pytest.raises(ValueError, match=rf"{name}\[2\] is .*; weights are finite"):
                cross_entropy(logits, targets, **{name: weights})
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="label_smoothing must be from 0 to 1"):
            cross_entropy(logits, targets, label_smoothing=bad)
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', not 'avg'"):
        cross_entropy(logits, targets, reduction="avg")
    with pytest.raises(ValueError, match="targets must have the shape of logits"):
        cross_entropy(logits, np.ones((4, 2), np.float32))
    with pytest.raises(TypeError, match="targets is of float64 but logits of float32"):
        cross_entropy(logits, np.ones((4, 3)))
    logits.flags.writeable = False
    cross_entropy(logits, targets)
    with pytest.raises(ValueError, match="dlogits is read-only"):
        cross_entropy(logits, targets, dlogits=logits)


def test_no_rows_to_sum():
    logits, targets = np.empty((0, 3), np.float32), np.empty(0, int)
    loss, d = cross_entropy(logits, targets, reduction="sum")
    assert loss == 0 and d.shape == (0, 3)
    each, d = cross_entropy(logits, targets, reduction="none")
    assert each.shape == (0,) and d.shape == (0, 3)
