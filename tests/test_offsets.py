"""Weights and losses do not change if a number is added to all scores of a row.

The scores are integer multiples of the spacing beside the offset, so adding it is exact and results
must have the same bits: no kernel may merge a row's maximum and its sum into one number. For
`attention` see kernels/test_attention_offsets.py.
"""

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.models.sampling import Sampler

LENGTHS = np.array([1, 7, 40, 3, 0, 39])
LABELS = np.array([0, 7, 39, 3, 3, 1])
SHARES = np.full((6, 40), 1 / 64)


def draws(x, **options):
    random = np.random.default_rng(5).random
    return Sampler(**options)(x, [random] * len(x), range(len(x)))


FUNCTIONS = {
    "softmax": fastnn.softmax,
    "softmax by lengths": lambda x: fastnn.softmax(x, lengths=LENGTHS),
    "log_softmax": fastnn.log_softmax,
    "cross_entropy": lambda x: kernels.cross_entropy(x, LABELS),
    "cross_entropy, smooth": lambda x: kernels.cross_entropy(x, LABELS, label_smoothing=0.1),
    "cross_entropy, soft": lambda x: kernels.cross_entropy(x, SHARES.astype(x.dtype)),
    "Sampler": draws,
    "Sampler, cool": lambda x: draws(x, temperature=0.3),
    "Sampler, top": lambda x: draws(x, top_k=5, top_p=0.8),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6, 1e9, 1e30])
def test_an_offset_changes_no_bit(name, size, real, rng):
    f = FUNCTIONS[name]
    unit = max(1.0, float(np.spacing(real(2 * size))))
    scores = (unit * rng.integers(-4, 5, (6, 40))).astype(real)
    want = f(scores)
    for offset in (real(size), real(-size)):
        offset = unit * np.round(offset / unit)
        assert (((scores + real(offset)) - real(offset)) == scores).all()
        got = f(scores + real(offset))
        for g, w in zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]:
            np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("name", ["softmax", "softmax by lengths", "log_softmax", "cross_entropy"])
def test_rows_as_low_and_as_high_as_the_type(name, real):
    f = FUNCTIONS[name]
    want = f(np.zeros((6, 40), real))
    for number in (np.finfo(real).min, np.finfo(real).max):
        got = f(np.full((6, 40), number))
        for g, w in zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]:
            np.testing.assert_array_equal(g, w)
