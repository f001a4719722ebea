"""The digits that ship with the package."""

import numpy as np
import pytest

from fastnn.data import load_digits


def test_all_digits(real):
    x, y = load_digits(dtype=real)
    assert x.shape == (1797, 64) and x.dtype == real
    assert y.shape == (1797,) and y.dtype == np.int64
    assert x.min() == 0 and x.max() == 1
    # the class counts that the UCI repository documents for optdigits.tes
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_first_image_is_a_zero():
    x, y = load_digits()
    ring = (x[0].reshape(8, 8) > 0).astype(int)
    assert y[0] == 0 and ring[3:5, 3:5].sum() == 0 and ring.sum() == 35


def test_every_fifth_image_is_held_out():
    x, y = load_digits()
    x_train, y_train = load_digits(split="train")
    x_test, y_test = load_digits(split="test")
    assert len(x_train) == len(y_train) == 1437 and len(x_test) == len(y_test) == 360
    np.testing.assert_array_equal(x_test, x[::5])
    np.testing.assert_array_equal(y_test, y[::5])
    assert len(np.unique(np.concatenate([x_train, x_test]), axis=0)) == len(np.unique(x, axis=0))
    assert np.array_equal(np.bincount(y_train) + np.bincount(y_test), np.bincount(y))


def test_bad_arguments():
    with pytest.raises(ValueError, match="'valid'"):
        load_digits(split="valid")
    with pytest.raises(TypeError, match="float16"):
        load_digits(dtype=np.float16)


def test_they_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn's copy")
    expected = datasets.load_digits()
    x, y = load_digits(dtype=np.float64)
    np.testing.assert_array_equal(x * 16, expected.data)
    np.testing.assert_array_equal(y, expected.target)
