"""A language model and its ids for tests of plans."""

import ctypes

import numpy as np

from fastnn import models

REALS = [np.float32, np.float64]


def varied(model):
    """The model with all parameters redrawn, so that none is 0 or 1."""
    rng = np.random.default_rng(7)
    for p in model.parameters():
        p.data[...] = rng.normal(0.1, 0.3, p.data.shape)
    return model


def language_model(real=np.float64, **how):
    return varied(models.TransformerLM(50, 24, 4, 2, 300, dtype=real, rng=0, **how))


def ids_of(*shape):
    return np.random.default_rng(3).integers(0, 50, shape)


def assert_close(y, want):
    limit = 1e-4 if y.dtype == np.float32 else 1e-12
    assert y.dtype == want.dtype
    np.testing.assert_allclose(y, want, rtol=0, atol=limit * np.abs(want).max())


def pointer(x):
    kind = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int64": ctypes.c_int64}
    return x.ctypes.data_as(ctypes.POINTER(kind[x.dtype.name]))
