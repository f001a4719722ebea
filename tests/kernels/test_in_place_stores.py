"""Which stores every row kernel asks of its primitive: non-temporal ones, but never in place.

The slots of the dispatch table are replaced by functions that note `past_caches`, the last argument
of such a primitive, and call the primitive itself.
"""

import ctypes
import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.kernels.ground import dispatch

HEADER = Path(__file__).parents[2] / "src" / "fastnn" / "kernels" / "simd" / "leaves.h"
# Bytes: every kernel uses non-temporal stores from here on.
LARGE = fastnn.build_info()["machine"]["choices"]["streamed_rows"]
pytestmark = pytest.mark.skipif(
    not HEADER.exists() or LARGE > 128 << 20,
    reason="needs the sources, and gigabytes unless FASTNN_CACHE_SIZES=48K,1M,32M",
)
COLUMNS = 1024
TYPES = {
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "double": ctypes.c_double,
    "void": None,
}


def slots(real):
    """Return the primitives in the order of the table: {name: (index, ctypes function type)}."""
    head, _, table = HEADER.read_text().partition("#define FASTNN_LEAVES(LEAF")
    table, _, _ = table.partition("#define FASTNN_SIZES_F32")  # float32 alone: after the others
    sizes = len(re.findall(r"^    SIZE\(", head, re.M))
    table = re.sub(r"/\*.*?\*/|\\\n", "", table)
    types = {**TYPES, "R": ctypes.c_float if real is np.float32 else ctypes.c_double}
    found = {}
    leaves = re.findall(r"LEAF\((\w+), (\w+), ([^)]*)\)", table)
    for i, (result, name, listed) in enumerate(leaves):
        kinds = [a.strip().rsplit(" ", 1)[0] for a in listed.split(",")]
        stars = ["*" in a for a in listed.split(",")]
        pairs = zip(kinds, stars, strict=True)
        arguments = [ctypes.c_void_p if star else types[kind] for kind, star in pairs]
        found[name] = sizes + i, ctypes.CFUNCTYPE(types[result], *arguments), listed
    return found


def table_of(real):
    """Return the dispatch table of a real type as an array of words."""
    capsule = dispatch.__pyx_capi__["leaves_f32" if real is np.float32 else "leaves_f64"]
    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = python.PyCapsule_GetPointer(capsule, python.PyCapsule_GetName(capsule))
    return (ctypes.c_uint64 * (max(i for i, *_ in slots(real).values()) + 1)).from_address(address)


def noting(seen, name, primitive, *given):
    seen.add((name, bool(given[-1])))
    return primitive(*given)


@contextmanager
def noted(real):
    """Yield a set that receives (primitive, past_caches) of each call."""
    table, seen, kept = table_of(real), set(), []
    for name, (index, kind, arguments) in slots(real).items():
        if not arguments.rstrip().endswith("int past_caches"):
            continue
        before = table[index]

        made = kind(partial(noting, seen, name, kind(before)))
        kept.append((index, before, made))
        table[index] = ctypes.cast(made, ctypes.c_void_p).value
    try:
        with fastnn.num_threads(1):
            yield seen
    finally:
        for index, before, _ in kept:
            table[index] = before


def two(name):
    """Return calls of a forward (x, out) and of its backward (dy, saved, out)."""
    return {
        name: lambda x, y, out: getattr(kernels, name)(x, out=out),
        f"{name}_backward": lambda x, y, out: getattr(kernels, f"{name}_backward")(x, y, out=out),
    }


def ones(x):
    return np.ones(x.shape[-1], x.dtype)


def stats_of(x):
    stats = np.ones((len(x), 3), x.dtype)
    stats[:, 0] = 0
    return stats


CASES = {
    key: call
    for name in [*kernels.ACTIVATIONS, "leaky_relu", "softmax", "log_softmax"]
    for key, call in two(name).items()
}
CASES |= {
    "prelu": lambda x, y, out: kernels.prelu(x, ones(x), out=out),
    "prelu_backward": lambda x, y, out: kernels.prelu_backward(x, y, ones(x), out=out),
    "layer_norm": lambda x, y, out: kernels.layer_norm(x, out=out),
    "rms_norm": lambda x, y, out: kernels.rms_norm(x, out=out),
    "add_norm": lambda x, y, out: kernels.add_norm(x, y, h=np.empty_like(x), out=out),
    "layer_norm_backward": lambda x, y, out: kernels.layer_norm_backward(
        x, y, stats_of(x), out=out
    ),
    "rms_norm_backward": lambda x, y, out: kernels.rms_norm_backward(
        x, y, stats_of(x), ones(x), out=out
    ),
    "mse": lambda x, y, out: kernels.mse(x, y, dpred=out),
    "l1": lambda x, y, out: kernels.l1(x, y, dpred=out),
    "huber": lambda x, y, out: kernels.huber(x, y, dpred=out),
    "bce_with_logits": lambda x, y, out: kernels.bce_with_logits(x, y, dlogits=out),
    "cross_entropy": lambda x, y, out: kernels.cross_entropy(x, np.zeros(len(x), int), dlogits=out),
}
IN_PLACE_OF_BOTH = {name for name in CASES if name.endswith("_backward")} | {"add_norm", "mse"}


@pytest.mark.parametrize("name", CASES)
def test_stores(name, real):
    rows = LARGE // (COLUMNS * np.dtype(real).itemsize)
    call = partial(CASES[name])
    x, y = (np.full((rows, COLUMNS), 0.5, real) for _ in range(2))
    with noted(real) as seen:
        call(x, y, np.empty_like(x))
    assert {past for _, past in seen} == {True}, seen
    for out in (x, y) if name in IN_PLACE_OF_BOTH else (x,):
        with noted(real) as seen:
            call(x, y, out)
        assert seen and {past for _, past in seen} == {False}, seen


def test_every_primitive_with_such_stores_is_seen(real):
    x = np.full((8, 8), 0.5, real)
    with noted(real) as seen:
        for call in CASES.values():
            call(x, x.copy(), np.empty_like(x))
    asked = {n for n, (_, _, arguments) in slots(real).items() if "past_caches" in arguments}
    assert asked - {name for name, _ in seen} == {"gather_rows"}  # its output is never in place
