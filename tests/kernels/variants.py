"""Equal arrays in other layouts, and outputs that show where they were written."""

import numpy as np


def layouts(x):
    """Yield (name, new array equal to x) with all kinds of strides."""
    yield "C", np.array(x, order="C")
    yield "F", np.array(x, order="F")
    yield "sliced", spaced(x)
    yield "reversed", np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    if x.ndim > 1:
        yield (
            "row stride",
            np.ascontiguousarray(np.concatenate([x, x], axis=-1))[..., : x.shape[-1]],
        )
        yield "upside down", np.ascontiguousarray(x[::-1])[::-1]


def spaced(x):
    """x with a gap of one element after each element and one row after each row."""
    wide = np.full([2 * d for d in x.shape], np.nan if x.dtype.kind == "f" else 77).astype(x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def guarded(shape, dtype, fill=np.nan):
    """Yield (array filled with `fill`, function that checks that its surroundings are intact)."""
    shape = tuple(shape)
    size = int(np.prod(shape, dtype=int))
    memory = np.full(size + 64, 7, dtype)
    inner = memory[32 : 32 + size].reshape(shape)
    inner[...] = fill

    def check():
        assert (memory[:32] == 7).all() and (memory[32 + size :] == 7).all(), (
            "written outside of the output"
        )

    return inner, check


WRONG_TYPES = [
    np.arange(4),
    np.ones(4, np.float16),
    np.ones(4, object),
    np.ones(4, np.complex64),
    np.ones(4, ">f4"),
    [1.0, 2.0],
    None,
    3.0,
]


def misaligned(n, dtype):
    """n elements at an address that is not a multiple of their size."""
    raw = np.zeros(n * np.dtype(dtype).itemsize + 1, np.uint8)
    return raw[1:].view(dtype)


def exact(a, b):
    return a.astype(np.longdouble) @ b.astype(np.longdouble)


def assert_product(c, a, b, extra=0.0):
    """|c - (a b + extra)| <= (k + 3) eps (|a| |b| + |extra|), elementwise."""
    k = a.shape[-1]
    want = exact(a, b) + extra
    bound = (k + 3) * np.finfo(c.dtype).eps * (
        exact(np.abs(a), np.abs(b)) + np.abs(extra)
    ) + np.finfo(c.dtype).tiny
    assert c.shape == want.shape
    assert (np.abs(c - want) <= bound).all()


def normal(rng, shape, real):
    return rng.standard_normal(shape).astype(real)
