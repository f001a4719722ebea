"""Functions by address: ctypes, SciPy, numba, and what other libraries' arrays are for them."""

import ctypes

import numpy as np
import pytest

import fastnn
from fastnn import capi, nn


def pointer(x, kind=ctypes.c_float):
    return x.ctypes.data_as(ctypes.POINTER(kind))


def test_ctypes_call_kernels():
    gemm = capi.ctypes("gemm_f64")
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, 4)), rng.standard_normal((4, 5)), np.zeros((3, 5))
    p = [pointer(x, ctypes.c_double) for x in (a, b, c)]
    assert gemm(3, 5, 4, 1.0, p[0], 4, 1, p[1], 5, 1, 0.0, p[2], 5, 1, None, 0, None) == 0
    np.testing.assert_allclose(c, a @ b, rtol=1e-14)
    assert "C := act" in gemm.__doc__ or "c := act" in gemm.__doc__
    assert gemm.__name__ == "fastnn_gemm_f64"
    x = (ctypes.c_float * 3)(1, 2, 3)
    assert capi.ctypes("softmax_f32")(1, 3, x, 3, x, 3) == 0
    assert sum(x) == pytest.approx(1)
    assert capi.ctypes("softmax_f32")(-1, 3, x, 3, x, 3) == 2
    with pytest.raises(ctypes.ArgumentError):
        capi.ctypes("softmax_f32")(1, 3, (ctypes.c_double * 3)(), 3, x, 3)


def test_every_function_has_ctypes_and_an_address():
    seen = set()
    for name in capi.functions():
        assert capi.ctypes(name).argtypes is not None
        seen.add(capi.address(name))
    assert len(seen) == len(capi.functions()) and 0 not in seen


def test_statuses_are_explained():
    explain = capi.ctypes("strerror")
    texts = {explain(status) for status in (0, 1, 2, 3, 99, -1)}
    assert len(texts) == 5 and explain(99) == explain(-1)


@pytest.mark.parametrize("call", [capi.address, capi.capsule, capi.ctypes])
def test_unknown_names(call):
    with pytest.raises(ValueError, match=r"no function 'softmin_f32'; .*functions\(\)"):
        call("softmin_f32")


def test_a_plan_by_ctypes():
    model = nn.MLP((5, 8, 3), "tanh", rng=0)
    plan = model.freeze()
    x, y = np.ones((4, 5), np.float32), np.zeros((4, 3), np.float32)
    assert capi.ctypes("plan_run_f32")(plan.address, pointer(x), pointer(y), 4) == 0
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-6)
    bits, n_in, n_out = ctypes.c_int(), ctypes.c_int64(), ctypes.c_int64()
    refs = map(ctypes.byref, (bits, n_in, n_out))
    assert capi.ctypes("plan_info")(plan.address, *refs) == 0
    assert (bits.value, n_in.value, n_out.value) == (32, 5, 3)


def test_scipy_integrates_a_network():
    integrate = pytest.importorskip("scipy.integrate")
    model = nn.MLP((2, 16, 1), "tanh", dtype=np.float64, rng=0)
    callable_ = capi.low_level_callable("plan_integrand", model.freeze())
    got, _ = integrate.nquad(callable_, [(-1, 1), (0, 2)])
    want, _ = integrate.nquad(lambda *x: model(np.array([x]))[0, 0], [(-1, 1), (0, 2)])
    assert got == pytest.approx(want, rel=1e-9)
    with pytest.warns(integrate.IntegrationWarning):
        assert np.isnan(integrate.quad(callable_, 0, 1)[0])  # one value, but it has two inputs


def test_scipy_filters_an_image_by_a_network():
    ndimage = pytest.importorskip("scipy.ndimage")
    model = nn.MLP((9, 8, 1), "relu", dtype=np.float64, rng=0)
    callable_ = capi.low_level_callable("plan_filter", model.freeze())
    image = np.random.default_rng(0).standard_normal((12, 10))
    got = ndimage.generic_filter(image, callable_, size=3)
    want = ndimage.generic_filter(image, lambda w: model(w[None])[0, 0], size=3)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_what_scipy_cannot_call():
    pytest.importorskip("scipy")
    plan = nn.MLP((2, 1), dtype=np.float64, rng=0).freeze()
    with pytest.raises(ValueError, match="plan_integrand and plan_filter"):
        capi.low_level_callable("softmax_f32", plan)
    with pytest.raises(TypeError, match=r"must be a fastnn\.kernels\.Plan, got int"):
        capi.low_level_callable("plan_filter", 3)
    with pytest.raises(TypeError, match="this plan is of float32"):
        capi.low_level_callable("plan_filter", nn.MLP((2, 1), rng=0).freeze())
    with pytest.raises(ValueError, match="2 outputs"):
        capi.low_level_callable("plan_filter", nn.MLP((2, 2), dtype=np.float64, rng=0).freeze())


def test_numba_calls_a_kernel_inside_its_loop():
    numba = pytest.importorskip("numba")
    extending = pytest.importorskip("numba.extending")
    address = extending.get_cython_function_address("fastnn.kernels.rowwise.softmax", "softmax_f32")
    assert address == capi.address("softmax_f32")
    softmax = capi.ctypes("softmax_f32")

    @numba.njit
    def ragged(x, starts):
        status = 0
        for i in range(len(starts) - 1):
            row = x[starts[i] : starts[i + 1]]
            status |= softmax(1, len(row), row.ctypes, len(row), row.ctypes, len(row))
        return status

    x = np.arange(6, dtype=np.float32)
    assert ragged(x, np.array([0, 2, 6])) == 0
    np.testing.assert_allclose([x[:2].sum(), x[2:].sum()], 1, rtol=1e-6)


def test_void_pointers_take_null_and_arrays():
    gemm = capi.ctypes("gemm_f32", void_pointers=True)
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    c = np.empty((3, 5), np.float32)
    pa, pb, pc = (x.ctypes.data for x in (a, b, c))
    assert gemm(3, 5, 4, 1.0, pa, 4, 1, pb, 5, 1, 0.0, pc, 5, 1, None, 0, None) == 0
    np.testing.assert_array_equal(c, 4)


def test_numba_passes_null():
    numba = pytest.importorskip("numba")
    gemm = capi.ctypes("gemm_f32", void_pointers=True)

    @numba.njit
    def product(a, b, c):
        (m, k), n = a.shape, b.shape[1]
        ctypes = a.ctypes, b.ctypes, c.ctypes
        return gemm(m, n, k, 1.0, ctypes[0], k, 1, ctypes[1], n, 1, 0.0, ctypes[2], n, 1, 0, 0, 0)

    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    c = np.empty((3, 5), np.float32)
    assert product(a, b, c) == 0
    np.testing.assert_array_equal(c, 4)


def test_modules_are_lazy():
    assert "capi" in dir(fastnn) and fastnn.capi is capi
