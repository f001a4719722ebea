"""Dropout and its generator: published vectors of Philox, a reference, layouts, threads, errors."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import dropout, dropout_backward
from fastnn.kernels import philox

from .variants import WRONG_TYPES, guarded, layouts

SHAPES = [(), (0,), (1,), (5,), (5, 0), (0, 5), (3, 7), (4, 64), (2, 3, 65), (70, 129), (1, 70001)]
U32 = 0xFFFFFFFF


def philox_block(counter, key):
    """Philox 4x32-10 of one block, in Python's integers, as in the paper."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & U32, (p0 >> 32) ^ c[3] ^ k1, p0 & U32]
        k0, k1 = (k0 + 0x9E3779B9) & U32, (k1 + 0xBB67AE85) & U32
    return c


def words(n, seed, step):
    blocks = [
        philox_block(
            (i & U32, i >> 32, step & U32, step >> 32),
            (seed & U32, seed >> 32),
        )
        for i in range(-(-n // 4))
    ]
    return np.array(blocks, np.uint64).reshape(-1)[:n]


def expected(x, p, seed, step):
    """dropout in float64, from the plain generator."""
    x = np.asarray(x, np.float64)
    if p == 1:
        return np.zeros_like(x)
    kept = (words(x.size, seed, step) >= round(p * 2**32)).reshape(x.shape)
    return np.where(kept, x / (1 - p), 0)


# The first three "philox4x32 10" lines of kat_vectors in Random123: counter, key, output.
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([U32] * 4, [U32] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_known_answers(counter, key, output):
    assert philox_block(counter, key) == output
    block, step = counter[0] | counter[1] << 32, counter[2] | counter[3] << 32
    got = philox(4, seed=key[0] | key[1] << 32, step=step, block=block)
    assert got.dtype == np.uint32 and got.tolist() == output


def test_words_from_any_block():
    seed, step = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    want = words(1000, seed, step)
    np.testing.assert_array_equal(philox(1000, seed=seed, step=step), want)
    for block in (1, 3, 7, 8, 15, 16, 17, 100):
        np.testing.assert_array_equal(
            philox(77, seed=seed, step=step, block=block), want[4 * block : 4 * block + 77]
        )
    near = 2**32 - 5  # the block's number carries into its upper half
    got = philox(40, seed=seed, step=step, block=near).reshape(-1, 4)
    for i, row in enumerate(got):
        c = near + i
        assert row.tolist() == philox_block(
            (c & U32, c >> 32, step & U32, step >> 32), (seed & U32, seed >> 32)
        )
    assert philox(0, seed=1).shape == (0,)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_dropout(shape, p, real, rng):
    x = np.array(rng.standard_normal(shape), real)
    kept = x.copy()
    y = dropout(x, p, seed=2**63 + 5, step=7)
    assert y.dtype == real and y.shape == x.shape and (x == kept).all()
    rtol = 2 * float(np.finfo(real).eps)
    np.testing.assert_allclose(y, expected(x, p, 2**63 + 5, 7), rtol=rtol, atol=0)
    np.testing.assert_array_equal(dropout_backward(x, p, seed=2**63 + 5, step=7), y)


def test_how_many_are_dropped():
    """Rates are within five deviations of p; patterns of other steps or seeds are independent."""
    n = 1_000_000
    x = np.ones(n, np.float32)
    for p in (0.01, 0.3, 0.5, 0.9):
        a = dropout(x, p, seed=1, step=0) == 0
        assert abs(a.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
        for other in (dropout(x, p, seed=1, step=1), dropout(x, p, seed=2, step=0)):
            both = (a & (other == 0)).mean()
            assert abs(both - p * p) < 5 * np.sqrt(p * p * (1 - p * p) / n)


def test_smallest_and_largest_p():
    x = np.ones(4096, np.float32)
    np.testing.assert_array_equal(dropout(x, 2.0**-40, seed=0, step=0), x)
    assert (dropout(x, 1 - 2.0**-40, seed=0, step=0) == 0).all()
    threshold = int(philox(4096, seed=3).min()) + 1  # drops one word alone
    assert (dropout(x, threshold / 2**32, seed=3, step=0) == 0).sum() == 1
    assert (dropout(x, (threshold - 1) / 2**32, seed=3, step=0) == 0).sum() == 0


def test_what_is_dropped_is_zero_whatever_it_was(real):
    x = np.array([np.nan, np.inf, -np.inf, 1] * 20, real)
    kept = dropout(np.ones_like(x), 0.5, seed=4, step=2) != 0
    y = dropout(x, 0.5, seed=4, step=2)
    assert (y[~kept] == 0).all()
    np.testing.assert_array_equal(y[kept], 2 * x[kept])
    assert (dropout(x, 1.0, seed=0, step=0) == 0).all()
    np.testing.assert_array_equal(dropout(x, 0.0, seed=0, step=0), x)


def test_any_layout_in_and_out(real, rng):
    x = rng.standard_normal((21, 37)).astype(real)
    plain = dropout(x, 0.3, seed=9, step=1)
    for name, view in layouts(x):
        np.testing.assert_array_equal(dropout(view, 0.3, seed=9, step=1), plain, err_msg=name)
    for name, out in layouts(np.full_like(x, np.nan)):
        assert dropout(x, 0.3, seed=9, step=1, out=out) is out
        np.testing.assert_array_equal(out, plain, err_msg=name)
    for name, same in layouts(x.copy()):
        np.testing.assert_array_equal(
            dropout(same, 0.3, seed=9, step=1, out=same), plain, err_msg=name
        )
    out, untouched = guarded(x.shape, real)
    dropout(x, 0.3, seed=9, step=1, out=out)
    untouched()


def test_same_mask_at_any_thread_count(real):
    for shape in [(100_003,), (500, 333), (999, 64)]:
        x = np.ones(shape, real)
        wide = np.ones((*shape[:-1], 2 * shape[-1]), real)[..., : shape[-1]]
        results = set()
        for n_threads in (1, 2, 3, 8):
            with fastnn.num_threads(n_threads):
                results.add(dropout(x, 0.2, seed=5, step=3).tobytes())
                results.add(dropout(wide, 0.2, seed=5, step=3).tobytes())
        assert len(results) == 1


@pytest.mark.parametrize("isa", fastnn.build_info()["isa_found"])
def test_same_mask_with_every_instruction_set(isa):
    code = """
import sys, zlib, numpy as np, fastnn
x = np.linspace(1, 2, 33 * 71).reshape(33, 71)
for real in (np.float32, np.float64):
    y = fastnn.dropout(x.astype(real)[:, :70], 0.25, seed=11, step=2**40)
    print(zlib.crc32(y.tobytes()))
print(zlib.crc32(fastnn.kernels.philox(1001, seed=3, block=5).tobytes()))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FASTNN_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    here = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == here.stdout and len(run.stdout.split()) == 3


@pytest.mark.parametrize("bad", WRONG_TYPES, ids=str)
def test_wrong_arrays(bad):
    with pytest.raises(TypeError, match="x must be a NumPy array"):
        dropout(bad, 0.5, seed=0, step=0)
    with pytest.raises(TypeError, match="dy must be a NumPy array"):
        dropout_backward(bad, 0.5, seed=0, step=0)


def test_wrong_arguments():
    x = np.ones((4, 6), np.float32)
    for p in (-0.1, 1.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="p must be from 0 to 1"):
            dropout(x, p, seed=0, step=0)
    for p in (None, "0.5", True, 1j):
        with pytest.raises(TypeError, match="p must be a number"):
            dropout(x, p, seed=0, step=0)
    for name in ("seed", "step"):
        good = {"seed": 0, "step": 0}
        with pytest.raises(ValueError, match=rf"{name} must be from 0 to 2\*\*64 - 1, got -1"):
            dropout(x, 0.5, **{**good, name: -1})
        with pytest.raises(ValueError, match=f"{name} must be from 0"):
            dropout(x, 0.5, **{**good, name: 2**64})
        with pytest.raises(TypeError, match=f"{name} must be an integer, got float 1.0"):
            dropout(x, 0.5, **{**good, name: 1.0})
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        philox(-1, seed=0)
    with pytest.raises(TypeError, match="n must be an int"):
        philox(2.0, seed=0)


def test_wrong_outputs():
    x, memory = np.ones((4, 6), np.float32), np.ones((8, 6), np.float32)
    with pytest.raises(ValueError, match=r"shape of x, \(4, 6\), got \(6, 4\)"):
        dropout(x, 0.5, seed=0, step=0, out=np.ones((6, 4), np.float32))
    with pytest.raises(TypeError, match="out is of float64"):
        dropout(x, 0.5, seed=0, step=0, out=np.ones((4, 6)))
    with pytest.raises(ValueError, match="out overlaps x"):
        dropout(memory[:4], 0.5, seed=0, step=0, out=memory[1:5])
