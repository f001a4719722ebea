"""Updates give the same bits for any partition of the work, and by pointer."""

import ctypes
import importlib
from itertools import pairwise

import numpy as np
import pytest

import fastnn
from fastnn.kernels import (
    adagrad_update,
    adam_update,
    adamw_update,
    ema_update,
    rmsprop_update,
    sgd_update,
)

from .variants import guarded, normal

# Every update as a function of p, g and three states, the last two of which are not negative.
UPDATES = {
    "sgd": lambda p, g, m, v, c: sgd_update(p, g, lr=0.1, weight_decay=0.1),
    "momentum": lambda p, g, m, v, c: sgd_update(p, g, m, lr=0.1, momentum=0.9, grad_scale=0.3),
    "nesterov": lambda p, g, m, v, c: sgd_update(
        p, g, m, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
    "adam": lambda p, g, m, v, c: adam_update(p, g, m, v, step=3, lr=0.01, weight_decay=0.1),
    "adamw": lambda p, g, m, v, c: adamw_update(p, g, m, v, step=3, lr=0.01, grad_scale=0.3),
    "rmsprop": lambda p, g, m, v, c: rmsprop_update(p, g, v, lr=0.01),
    "rmsprop_all": lambda p, g, m, v, c: rmsprop_update(
        p, g, v, m, c, lr=0.01, momentum=0.9, weight_decay=0.1
    ),
    "adagrad": lambda p, g, m, v, c: adagrad_update(p, g, v, step=3, lr=0.1, weight_decay=0.1),
    "ema": lambda p, g, m, v, c: ema_update(p, g, 0.99),
}


@pytest.fixture(params=UPDATES)
def update(request):
    return UPDATES[request.param]


def state(rng, n, real):
    p, g, m, v, c = normal(rng, (5, n), real)
    return [p, g, m, np.abs(v), np.abs(c)]


def done(update, start, *cuts):
    """The arrays after one step over the parts between the cuts."""
    after = [a.copy() for a in start]
    bounds = [0, *cuts, len(start[0])]
    for i, j in pairwise(bounds):
        update(*[a[i:j] for a in after])
    return [a.tobytes() for a in after]


def test_same_bits_at_any_thread_count(update, real, rng):
    start = state(rng, 50_003, real)
    results = []
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            results.append(done(update, start))
    assert results.count(results[0]) == len(results)
    assert results[0][0] != start[0].tobytes()


def test_same_bits_wherever_the_arrays_are_cut(update, real, rng):
    start = state(rng, 203, real)
    whole = done(update, start)
    for cuts in [(1,), (16, 17, 100), (5, 5, 64, 202), range(1, 203)]:
        assert done(update, start, *cuts) == whole


def test_writes_nothing_outside(update, real, rng):
    for n in (0, 1, 5, 16, 31, 33):
        start = state(rng, n, real)
        inside = []
        for a in start:
            x, check = guarded((n,), real)
            x[...] = a
            inside.append((x, check))
        update(*[x for x, _ in inside])
        for (x, check), want in zip(inside, done(update, start), strict=True):
            check()
            assert x.tobytes() == want


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_gradient_reaches_only_its_element(update, bad, real, rng):
    start = state(rng, 40, real)
    start[1][7] = bad
    after = [a.copy() for a in start]
    update(*after)
    if np.isnan(bad):  # an infinite one is divided by the root of its square in some
        assert np.isnan(after[0][7])
    rest = [np.delete(a, 7) for a in start]
    update(*rest)
    for a, b in zip(after, rest, strict=True):
        np.testing.assert_array_equal(np.delete(a, 7), b)


@pytest.mark.parametrize("stops", [[], [0], [64], [0, 64], [64, 4100, 4100, 30_000], [0, 1, 2, 3]])
def test_runs_without_decay(stops, real, rng, n_threads):
    n = 40_007
    start = state(rng, n, real)[:4]
    expected = [a.copy() for a in start]
    bounds = [0, *stops, n]
    for i, (first, last) in enumerate(pairwise(bounds)):
        part = [a[first:last] for a in expected]
        adamw_update(*part, step=2, lr=0.1, weight_decay=0.0 if i % 2 else 0.3)
    adamw_update(
        *start, step=2, lr=0.1, weight_decay=0.3, decay_stops=np.array(stops, dtype=np.int64)
    )
    for got, want in zip(start, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_stops_outside_of_the_array_are_harmless(real):
    results = []
    for stops in ([64], [-5, -3, 64], [-(2**63), -1, 64], [64, 10**15], [64, 2**63 - 1]):
        start = state(np.random.default_rng(0), 99, real)[:4]
        adamw_update(*start, step=2, lr=0.1, decay_stops=np.array(stops, np.int64))
        results.append(start[0].tobytes())
    assert results.count(results[0]) == 5


@pytest.mark.parametrize("stops", [[64, 8], [0, 64, 63, 99], [2**63 - 1, -(2**63)]])
def test_stops_that_do_not_ascend_are_refused(stops, real, rng):
    start = state(rng, 99, real)[:4]
    before = [a.copy() for a in start]
    with pytest.raises(ValueError, match=r"decay_stops must ascend, but .* after"):
        adamw_update(*start, step=2, lr=0.1, decay_stops=np.array(stops, np.int64))
    for got, want in zip(start, before, strict=True):
        np.testing.assert_array_equal(got, want)


def pointer_face(name):
    """The function that other extensions call, as ctypes sees it: ints, pointers and doubles."""
    capsule = importlib.import_module("fastnn.kernels.api").__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    signature = api.PyCapsule_GetName(capsule)
    kinds = {b"double": ctypes.c_double, b"int": ctypes.c_int, b"int64_t": ctypes.c_int64}
    parameters = signature[signature.index(b"(") + 1 : -1].split(b", ")
    types = [kinds.get(parameter, ctypes.c_void_p) for parameter in parameters]
    function = ctypes.CFUNCTYPE(ctypes.c_int, *types)
    return function(api.PyCapsule_GetPointer(capsule, signature))


def test_pointer_faces_do_the_same(real, rng):
    suffix = "f32" if real is np.float32 else "f64"
    calls = {
        "sgd": ("pgm", (0.1, 0.9, 1, 0.1, 1.0), "nesterov"),
        "adam": ("pgmv", (3, 0.01, 0.9, 0.999, 1e-8, 0.1, 0, 1.0), "adam"),
        "rmsprop": ("pgvmc", (0.01, 0.99, 1e-8, 0.9, 0.1, 1.0), "rmsprop_all"),
        "adagrad": ("pgv", (3, 0.1, 0.0, 1e-10, 0.1, 1.0), "adagrad"),
        "ema": ("pg", (0.99,), "ema"),
    }
    for name, (used, scalars, update) in calls.items():
        start = dict(zip("pgmvc", state(rng, 77, real), strict=True))
        want = done(UPDATES[update], list(start.values()))
        face = pointer_face(f"{name}_{suffix}")
        pointers = [start[x].ctypes.data for x in used]
        assert face(77, *pointers, *scalars) == 0
        assert [a.tobytes() for a in start.values()] == want, name
        assert face(-1, *pointers, *scalars) == 2
        assert face(77, None, *pointers[1:], *scalars) == 2
        assert face(0, *[None] * len(used), *scalars) == 0
