"""Weights of 16 and 8 bits against what their formats say, computed in NumPy."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import kernels

from ..capi.conftest import compiler, run

FORMATS = ("bf16", "int8", "int8_g32")
# (rows, k, columns): below, at and above strips, units, blocks of k and tiles
SHAPES = [
    (1, 1, 1),
    (1, 512, 64),
    (2, 33, 17),
    (3, 130, 200),
    (4, 515, 31),
    (5, 64, 16),
    (7, 1023, 50),
    (9, 31, 113),
    (16, 126, 32),
    (17, 1537, 33),
    (33, 65, 47),
    (50, 770, 96),
    (70, 515, 129),
]
ISA = fastnn.build_info()["isa"]
MULTIPLIES_BF16 = ISA in ("avx512bf16", "avx512amx", "neonbf16")
FEW = 4


def arrays(m, k, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, k), dtype=np.float32)
    w = rng.standard_normal((k, n), dtype=np.float32) / np.float32(np.sqrt(k))
    return x, w, rng.standard_normal(n, dtype=np.float32)


def to_bf16(x):
    """Round finite float32 numbers to bfloat16."""
    u = np.ascontiguousarray(x).view(np.uint32)
    return ((u + 0x7FFF + (u >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def block_k(k):
    """Rows of a block of k (gemm/loops.pxd)."""
    return max(1, -(-k // max(1, -(-k // 512))))


def quantized(w):
    """q and the scales of the columns: w = q scale."""
    scale = np.abs(w).max(axis=0) / np.float32(127)
    with np.errstate(invalid="ignore", divide="ignore"):
        q = np.where(scale > 0, np.rint(w / scale), 0)
    return q.astype(np.int64), scale


def groups(w):
    """w rounded to int8 with a scale for each 32 rows of a block."""
    out = np.empty_like(w)
    for start in range(0, len(w), block_k(len(w))):
        block = w[start : start + block_k(len(w))]
        for g in range(0, len(block), 32):
            q, scale = quantized(block[g : g + 32])
            out[start + g : start + g + len(q)] = q.astype(np.float32) * scale
    return out


def rows_of_bytes(x):
    """u, scale and zero of each row: x = scale (u - zero)."""
    f = np.float32
    high, low = np.maximum(x.max(axis=1), 0), np.maximum(-x.min(axis=1), 0)
    scale = high / f(255) + low / f(255)
    inverse = np.where(scale > 0, f(1) / np.where(scale > 0, scale, 1), 0).astype(f)
    zero = np.rint(low * inverse)
    u = np.clip(np.rint(x * inverse[:, None]) + zero[:, None], 0, 255)
    return u.astype(np.int64), scale, zero.astype(np.int64)


def w8a8(x, w, bias):
    """The product of int8 as low.pyx defines it: every step rounded once."""
    q, scales = quantized(w)
    u, scale, zero = rows_of_bytes(x)
    sums = u @ q - zero[:, None] * q.sum(axis=0)
    return sums.astype(np.float32) * (scale[:, None] * scales) + bias


@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_is_float32_of_rounded_weights(shape):
    x, w, bias = arrays(*shape)
    y = fastnn.matmul(x, fastnn.pack(w, "bf16"), bias=bias)
    expected = fastnn.matmul(x, to_bf16(w), bias=bias)
    if shape[0] <= FEW or not MULTIPLIES_BF16:
        np.testing.assert_array_equal(y, expected)
    else:
        exact = to_bf16(x).astype(float) @ to_bf16(w).astype(float) + bias
        bound = np.abs(to_bf16(x)).astype(float) @ np.abs(to_bf16(w)).astype(float)
        assert (np.abs(y - exact) <= (shape[1] + 3) * 2.0**-23 * (bound + np.abs(bias))).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_groups_are_float32_of_rounded_weights(shape):
    x, w, bias = arrays(*shape)
    y = fastnn.matmul(x, fastnn.pack(w, "int8_g32"), bias=bias)
    np.testing.assert_array_equal(y, fastnn.matmul(x, groups(w), bias=bias))


@pytest.mark.parametrize("shape", SHAPES)
def test_int8(shape):
    x, w, bias = arrays(*shape)
    y = fastnn.matmul(x, fastnn.pack(w, "int8"), bias=bias)
    if shape[0] > FEW:
        np.testing.assert_array_equal(y, w8a8(x, w, bias))
    else:
        q, scale = quantized(w)
        exact = x.astype(float) @ q * scale + bias
        bound = np.abs(x).astype(float) @ np.abs(q) * scale + np.abs(bias)
        assert (np.abs(y - exact) <= (shape[1] + 3) * 2.0**-23 * bound).all()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("k", [30, 61, 1034])
def test_each_number_of_rows_has_the_bits_of_many(format, k):
    x, w, bias = arrays(70, k, 50)
    packed = fastnn.pack(w, format)
    many = fastnn.matmul(x, packed, bias=bias, activation="relu")
    for m in range(FEW + 1, 70):
        y = fastnn.matmul(x[-m:], packed, bias=bias, activation="relu")
        np.testing.assert_array_equal(y, many[-m:])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("k", [6, 31, 34, 550])
def test_columns_that_are_not_finite_leave_the_others_alone(format, k):
    x, w, _ = arrays(40, k, 80)
    expected = fastnn.matmul(x, fastnn.pack(w, format))
    w[:, 16:32], w[:, 64:] = np.nan, np.inf
    y = fastnn.matmul(x, fastnn.pack(w, format))
    alone = [*range(16), *range(32, 64)]
    np.testing.assert_array_equal(y[:, alone], expected[:, alone])
    assert not np.isfinite(np.delete(y, alone, axis=1)).any()


IN_USE = """
unsigned tiles_in_use(void) {
    unsigned a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return a >> 18 & 1;
}
"""


@pytest.mark.skipif(ISA != "avx512amx", reason="the CPU has no tiles, or FASTNN_ISA excludes them")
def test_no_thread_keeps_its_tiles(tmp_path):
    (tmp_path / "in_use.c").write_text(IN_USE)
    library = str(tmp_path / "in_use.so")
    run([*compiler(), "-shared", "-fPIC", str(tmp_path / "in_use.c"), "-o", library])
    tiles_in_use = ctypes.CDLL(library).tiles_in_use
    x, w, _ = arrays(40, 64, 64)
    for format in FORMATS:
        with fastnn.num_threads(1):
            fastnn.matmul(x, fastnn.pack(w, format))
        assert tiles_in_use() == 0


@pytest.mark.parametrize("k", [65_536, 65_537, 131_072])
def test_no_sum_of_int8_overflows(k):
    x = np.full((6, k), 3, np.float32)
    x[1], x[2, ::2], x[3, ::3] = -3, -3, 0
    w = np.full((k, 3), 0.5, np.float32)
    w[:, 1], w[::2, 2] = -0.5, -0.5
    zeros = np.zeros(3, np.float32)
    np.testing.assert_array_equal(fastnn.matmul(x, fastnn.pack(w, "int8")), w8a8(x, w, zeros))


def test_int8_bits_are_those_of_every_instruction_set(tmp_path):
    """Also at the least and largest values, where int16 sums of other libraries saturate."""
    code = (
        "import sys; import numpy as np, fastnn; a = np.load(sys.argv[1]);"
        "y = fastnn.matmul(a['x'], fastnn.pack(a['w'], 'int8'), bias=a['bias'], activation='relu');"
        "sys.stdout.buffer.write(y.tobytes())"
    )
    x, w, bias = arrays(21, 403, 59)
    x[3], x[4] = np.sign(x[3]), np.abs(np.sign(x[4]))
    w[:, 5], w[:, 6] = np.sign(w[:, 5]), 1
    np.savez(tmp_path / "a.npz", x=x, w=w, bias=bias)
    found = []
    for isa in fastnn.build_info()["isa_found"]:
        command = [sys.executable, "-c", code, str(tmp_path / "a.npz")]
        env = os.environ | {"FASTNN_ISA": isa}
        found.append(subprocess.run(command, env=env, capture_output=True, check=True).stdout)
    expected = np.maximum(w8a8(x, w, bias), 0)
    assert set(found) == {expected.tobytes()}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("m", [1, 4, 6, 70])
def test_epilogue_strides_and_outputs(format, m):
    x, w, bias = arrays(m, 75, 41)
    packed = fastnn.pack(w, format)
    plain = fastnn.matmul(x, packed)
    z = np.empty_like(plain)
    for name in ("relu", "gelu", "tanh"):
        y = fastnn.matmul(x, packed, bias=bias, activation=name, preact=z)
        np.testing.assert_allclose(z, plain + bias, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(y, getattr(fastnn, name)(z), rtol=1e-6, atol=1e-7)
    wide = np.zeros((2 * m, 3 * 75), np.float32)
    wide[::2, ::3] = x
    np.testing.assert_array_equal(fastnn.matmul(wide[::2, ::3], packed), plain)
    np.testing.assert_array_equal(fastnn.matmul(np.asfortranarray(x), packed), plain)
    out = np.full((41, m), np.nan, np.float32).T
    fastnn.matmul(x, packed, out=out)
    np.testing.assert_array_equal(out, plain)
    np.testing.assert_array_equal(
        fastnn.matmul(x, fastnn.pack(np.asfortranarray(w), format)), plain
    )
    if m > FEW:
        np.testing.assert_array_equal(fastnn.matmul(np.stack([x, x]), packed)[1], plain)


@pytest.mark.parametrize("format", FORMATS)
def test_same_bits_at_any_number_of_threads(format):
    for m, k, n in ((1, 2000, 1500), (3, 700, 900), (20, 515, 1700), (130, 700, 300)):
        x, w, bias = arrays(m, k, n)
        found = set()
        for threads in (1, 2, 3, 8):
            with fastnn.num_threads(threads):
                y = fastnn.matmul(x, fastnn.pack(w, format), bias=bias, activation="gelu")
            found.add(y.tobytes())
        assert len(found) == 1


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("m", [2, 6])
def test_empty_zeros_and_what_is_not_finite(format, m):
    for k, n in ((0, 5), (3, 0)):
        y = fastnn.matmul(np.ones((m, k), np.float32), fastnn.pack(np.ones((k, n), "f4"), format))
        np.testing.assert_array_equal(y, np.zeros((m, n)))
    x, w, _ = arrays(m, 40, 20)
    w[:, 3], w[:, 4] = 0, 1e-41
    x[0], x[1, 7] = 0, np.nan
    y = fastnn.matmul(x, fastnn.pack(w, format))
    assert (y[0] == 0).all() and np.isnan(y[1]).all()
    assert (np.abs(y[2:, 3:5]) < 1e-38).all() and np.isfinite(y[2:]).all()
    w[2, 6], w[3, 7] = np.inf, np.nan
    x = np.ones((m, 40), np.float32)
    y = fastnn.matmul(x, fastnn.pack(w, format))
    assert not np.isfinite(y[:, 6:8]).any() and np.isfinite(np.delete(y, [6, 7], axis=1)).all()
    if format != "bf16":
        assert np.isnan(y[:, 6:8]).all()


def test_rows_of_the_largest_and_smallest_numbers():
    _, w, _ = arrays(6, 8, 5)
    x = np.ones((6, 8), np.float32)
    x[0], x[1], x[2], x[3, 3] = 3e38, 1e-41, [-3e38, 3e38] * 4, np.inf
    y = fastnn.matmul(x, fastnn.pack(np.abs(w) / 8, "int8"))
    assert np.isfinite(y[[0, 2, 4]]).all() and (y[1] == 0).all() and np.isnan(y[3]).all()


def test_packed_attributes_and_refusals():
    w = np.ones((40, 32), np.float32)
    sizes = [fastnn.pack(w, f).nbytes for f in (None, "bf16", "int8")]
    assert sizes[0] == w.nbytes and sizes[1] < 0.6 * w.nbytes and sizes[2] < 0.4 * w.nbytes
    packed = kernels.pack(w, format="int8")
    assert (packed.format, packed.shape, packed.dtype) == ("int8", (40, 32), np.float32)
    assert repr(packed) == "PackedMatrix(shape=(40, 32), dtype=float32, format='int8')"
    assert fastnn.pack(w).format == "float32"
    with pytest.raises(TypeError, match="format 'bf16' needs a b of float32, got float64"):
        fastnn.pack(w.astype(float), "bf16")
    with pytest.raises(ValueError, match="format"):
        fastnn.pack(w, "int4")
    with pytest.raises(TypeError, match="packed matrix of float32 but a of float64"):
        fastnn.matmul(np.ones((2, 40)), packed)
