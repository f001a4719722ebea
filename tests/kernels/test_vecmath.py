"""The elementary functions of the kernels: bench/accuracy.py over a sample of all inputs."""

import pytest

import fastnn

accuracy = pytest.importorskip("bench.accuracy", reason="the tests run outside of the repository")
pytestmark = pytest.mark.skipif(accuracy.compiler() is None, reason="there is no C compiler")


@pytest.mark.parametrize("dtype", accuracy.LIMITS)
def test_worst_errors(dtype):
    functions = accuracy.compile_functions(fastnn.build_info()["isa"], dtype)
    if not functions.truth_is_wider():
        pytest.skip("long double is no wider than double here")
    for name, limit in accuracy.LIMITS[dtype].items():
        error, where = accuracy.worst_error(functions, name, dtype, 1_000_000)
        assert error <= limit, f"{name}: {error} ulp at {where!r}"
        assert error > 0.4, f"{name}: nothing rounds as well as {error} ulp: was it compared?"
