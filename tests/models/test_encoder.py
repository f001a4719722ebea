"""Encoders: what transformers computes, the same bits in any company, and their gradients."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from fastnn.models.encoder_parts import buckets_of

from .pretrained_models import folders

FOLDERS = folders(encoders=True)
LENGTHS = [20, 13, 5]


def by_name(folder):
    return folder.name


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_hidden_vectors_are_those_of_transformers(folder):
    expected = np.load(folder / "expected.npz")
    single, double = models.load(folder), models.load(folder, dtype="float64")
    lengths = expected["lengths"]
    largest = np.abs(expected["hidden"]).max()
    for model in (single, double):
        found = model(expected["ids"], lengths=lengths)
        for i, n in enumerate(lengths):
            error = np.abs(found[i, :n] - expected["hidden"][i, :n]).max()
            assert error <= 2e-6 * largest


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_alone_batched_and_packed_have_the_same_bits(folder, n_threads):
    model = models.load(folder)
    ids = np.load(folder / "expected.npz")["ids"]
    batch = model(ids, lengths=LENGTHS)
    packed = model.packed(np.concatenate([ids[i, :n] for i, n in enumerate(LENGTHS)]), LENGTHS)
    again = model.packed(np.concatenate([ids[1, :13]] * 3 + [ids[2, :5]]), [13, 13, 13, 5])
    for i, n in enumerate(LENGTHS):
        alone = model(ids[i : i + 1, :n])[0]
        np.testing.assert_array_equal(batch[i, :n], alone)
        np.testing.assert_array_equal(packed[sum(LENGTHS[:i]) :][:n], alone)
    for i in range(3):
        np.testing.assert_array_equal(again[13 * i : 13 * (i + 1)], packed[20:33])


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_a_frozen_encoder_has_the_same_bits(folder):
    model = models.load(folder)
    ids = np.load(folder / "expected.npz")["ids"]
    plan, hidden = model.freeze(), model(ids, lengths=LENGTHS)
    found = plan(ids, lengths=np.array(LENGTHS))
    for i, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(found[i, :n], hidden[i, :n])
    packed = plan(np.concatenate([ids[i, :n] for i, n in enumerate(LENGTHS)]), lengths=LENGTHS)
    np.testing.assert_array_equal(
        packed, np.concatenate([hidden[i, :n] for i, n in enumerate(LENGTHS)])
    )
    assert model.freeze(max_len=7).max_len == 7
    with pytest.raises(ValueError, match="max_len must be from 1 to"):
        model.freeze(max_len=model.max_len + 1)


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_gradients(folder):
    model = models.load(folder, dtype="float64")
    ids = np.load(folder / "expected.npz")["ids"][:2, :6]
    assert nn.gradcheck(model, ids, samples=10).worst < 1e-5


def test_gradients_with_types_and_lengths():
    model = models.TransformerEncoderModel(7, 8, 2, 2, 12, 5, dtype=np.float64, rng=0)
    ids, types = np.array([[1, 2, 3], [4, 6, 0]]), np.array([[0, 1, 1], [1, 0, 0]])

    class Typed(nn.Module):
        def forward(self, x):
            y, ctx = model.forward(x, lengths=[3, 2], types=types)
            y[1, 2] = 0
            return y, ctx

        def backward(self, dy, ctx, need_dx=True):
            dy = dy.copy()
            dy[1, 2] = 0
            return model.backward(dy, ctx)

    assert fastnn.gradcheck(Typed({"model": model}), ids, samples=40).worst < 1e-6


def test_types_change_the_result_and_zero_is_the_default():
    model = models.TransformerEncoderModel(7, 8, 2, 1, 12, 5, rng=0)
    ids = np.array([[1, 2, 3]])
    np.testing.assert_array_equal(model(ids), model(ids, types=np.zeros((1, 3), int)))
    assert np.abs(model(ids) - model(ids, types=np.ones((1, 3), int))).max() > 1e-3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m([[1]]), ValueError, "x must be an array"),
        (lambda m: m(np.array([1])), ValueError, "x must be an array"),
        (lambda m: m(np.array([[0.5]])), TypeError, "x must be integers, got float64"),
        (lambda m: m(np.zeros((1, 6), int)), ValueError, "6 tokens are more than max_len 5"),
        (lambda m: m(np.array([[7]])), IndexError, "7"),
        (lambda m: m(np.array([[1]]), types=np.zeros((1, 2), int)), ValueError, "types of the"),
        (lambda m: m.packed(np.array([1, 2]), [1]), ValueError, "add up to the ids"),
        (lambda m: m.packed(np.array([1, 2]), [2, 0]), ValueError, "at least 1"),
        (lambda m: m.packed(np.array([1, 2]), [1.0, 1.0]), TypeError, "must be integers"),
        (lambda m: m.packed(np.zeros(6, int), [6]), ValueError, "more than max_len 5"),
    ],
)
def test_wrong_arguments(call, error, message):
    model = models.TransformerEncoderModel(7, 8, 2, 1, 12, 5, rng=0)
    with pytest.raises(error, match=message):
        call(model)


def test_a_model_without_types_refuses_them():
    model = models.TransformerEncoderModel(7, 8, 2, 1, 12, 5, n_types=0, rng=0)
    with pytest.raises(ValueError, match="this model has no types"):
        model(np.array([[1]]), types=np.array([[0]]))


def test_nothing_packed_is_nothing():
    model = models.TransformerEncoderModel(7, 8, 2, 1, 12, 5, rng=0)
    assert model.packed(np.zeros(0, int), np.zeros(0, int)).shape == (0, 8)


@pytest.mark.parametrize(
    ("lengths", "error", "says"),
    [
        ([5, 3], ValueError, "lengths must add up to the 9 rows of x, got 8"),
        ([9, 0], ValueError, "lengths must be 2 integers from 1 to 8, got 2 from 0 to 9"),
        ([9], ValueError, "lengths must be 1 integers from 1 to 8"),
        ([4.5, 4.5], TypeError, "lengths must be"),
        (9, ValueError, "lengths must be"),
        (None, ValueError, r"x must be \(batch, at most 8\), got \(9,\)"),
    ],
)
def test_lengths_of_sequences_one_after_the_other(lengths, error, says):
    plan = models.TransformerEncoderModel(20, 16, 2, 1, 32, 8, rng=0).freeze()
    out = np.full((9, 16), 7, np.float32)
    with pytest.raises(error, match=says):
        plan(np.arange(9), lengths=lengths, out=out)
    assert (out == 7).all()
    with pytest.raises(IndexError, match="the id 20 at"):
        plan(np.array([3, 20]), lengths=[1, 1])
    assert plan(np.zeros(0, int), lengths=np.zeros(0, int)).shape == (0, 16)


def test_rows_of_vectors_one_after_the_other():
    """Without an embedding x is (R, n_in)."""
    plan = nn.TransformerEncoder(2, 16, 2, 32, rng=0).freeze(max_len=9)
    x = np.random.default_rng(0).standard_normal((11, 16), np.float32)
    found = plan(x, lengths=[4, 4, 3])
    np.testing.assert_array_equal(found[:8].reshape(2, 4, 16), plan(x[:8].reshape(2, 4, 16)))
    np.testing.assert_array_equal(found[8:], plan(x[None, 8:])[0])


def test_buckets_of_distances_are_those_of_t5():
    """Eight distances have one each, farther ones share them by powers of the root of two."""
    found = buckets_of(32, 300)
    assert found.dtype == np.int64 and len(found) == 599
    for distance, bucket in zip(range(-299, 300), found, strict=True):
        n = abs(distance)
        shared = max((k for k in range(20) if 64 * 2**k <= n * n), default=0)
        near = n if n < 8 else min(8 + shared, 15)
        assert bucket == near + 16 * (distance > 0), distance


def test_a_bias_by_distance_moves_its_gradient_into_the_table():
    model = models.TransformerEncoderModel(9, 8, 2, 2, 12, 40, buckets=8, dtype=np.float64, rng=0)
    model.relative.data = np.random.default_rng(0).normal(size=(8, 2))
    ids = np.random.default_rng(1).integers(0, 9, (2, 40))
    assert nn.gradcheck(model, ids, samples=20).worst < 1e-5
    y, ctx = model.forward(ids)
    whole = []
    for _ in range(2):  # a context serves twice
        model.zero_grad()
        model.backward(np.cos(y), ctx)
        whole.append(model.relative.grad.copy())
    np.testing.assert_array_equal(*whole)
    model.set_requires_grad(False)
    model.relative.requires_grad = True
    model.backward(np.cos(y), ctx)
    np.testing.assert_array_equal(model.relative.grad, whole[0])


def test_a_frozen_bias_by_distance_is_that_of_any_room():
    model = models.TransformerEncoderModel(9, 8, 2, 2, 12, 300, buckets=32, rng=0)
    model.relative.data = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    ids = np.random.default_rng(1).integers(0, 9, (2, 250))
    for room in (300, 250):
        np.testing.assert_array_equal(
            model.freeze(room)(ids, lengths=np.array([250, 31])), model(ids, lengths=[250, 31])
        )
    with pytest.raises(ValueError, match="buckets must be at least 4, got 3"):
        models.TransformerEncoderModel(9, 8, 2, 2, 12, 300, buckets=3)
