"""The table of functions from C: contents, wrong calls, threads, incompatible versions."""

import gc
import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastnn
from fastnn import capi

from .conftest import HERE, build, compiler, run

BAD_ARGUMENT, WRONG_TYPE = 2, 3


def test_the_table_is_what_the_header_says(callers):
    about = callers.about()
    assert about["abi"] == capi.ABI_VERSION and about["api"] == capi.API_VERSION
    assert about["size"] == about["compiled_size"]
    assert about["size"] == about["first"] + 8 * len(capi.functions())
    assert about["version"] == fastnn.__version__
    assert about["isa"] == fastnn.build_info()["isa"]
    assert about["softmax_f32"] == capi.address("softmax_f32")
    assert callers.has() == (1, 1)


def test_wrong_calls_return_a_status_and_write_nothing(callers, plan):
    statuses = callers.bad_calls(plan)
    assert statuses.pop("wrong type") == WRONG_TYPE
    assert len(statuses) > 30
    assert {name: status for name, status in statuses.items() if status != BAD_ARGUMENT} == {}


@pytest.mark.parametrize("wrong", [None, 3, fastnn.nn.MLP((2, 2), rng=0)])
def test_what_is_no_plan_is_refused(callers, wrong):
    with pytest.raises((TypeError, AttributeError)):
        callers.bad_calls(wrong)


@pytest.mark.parametrize(("threads", "turns"), [(1, 500), (3, 500), (8, 10_000)])
def test_threads_get_the_bits_of_a_serial_run(callers, plan, threads, turns):
    """GEMM, softmax, attention and a shared plan; each thread has its own outputs."""
    assert callers.in_threads(plan, threads, turns, 1) == (0, 0)


def test_threads_that_open_teams_get_the_same_bits(callers):
    large = fastnn.nn.MLP((300, 700, 700, 9), "tanh", rng=0).freeze()
    assert callers.in_threads(large, 3, 4, 3) == (0, 0)


def test_threads_write_with_one_language_model(callers):
    """8 threads with one plan and a state each give the results of sequential steps."""
    how = {"position": "rotary", "tie_weights": False}
    plan = fastnn.models.TransformerLM(40, 32, 4, 2, 64, rng=0, **how).freeze()
    state, last, want = plan.new_state(), 1, []
    with fastnn.num_threads(1):
        for _ in range(64):
            last = int(plan.step(np.array([[last]]), state).argmax())
            want.append(last)
    assert callers.generate(plan, 8, 64, 20) == (0, 8 * want)
    assert len(set(want)) > 1


MOST_STACK = 48 << 10  # as docs/embedding.md says


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ((17, 64, 64, 6), 1),
        ((17, 64, 64, 6), 500),
        ((300, 700, 9), 40),
        ((2000, 1030, 3), 5),
        ((5, 12_000, 2), 3),
    ],
)
def test_a_plan_runs_on_a_small_stack(callers, sizes, rows, threads, real):
    """The stack that the calling thread touches; the kernels' threads have their own."""
    rng, nn = np.random.default_rng(0), fastnn.nn
    layers = [nn.MLP(sizes, "gelu", dtype=real, rng=0), nn.LayerNorm(sizes[-1], dtype=real)]
    plan = nn.Sequential(*layers, nn.LeakyReLU(), nn.Softmax()).freeze()
    x = rng.standard_normal((rows, sizes[0])).astype(real)
    y = np.empty((rows, sizes[-1]), real)
    bits = 8 * x.itemsize
    where = x.ctypes.data, y.ctypes.data, rows, bits, threads
    status, used = callers.stack_of(plan, 0, *where)
    assert status == 0 and 0 < used <= MOST_STACK
    with fastnn.num_threads(1):
        np.testing.assert_array_equal(y, plan(x))


@pytest.mark.parametrize("n", [1, 300])
def test_a_step_runs_on_a_small_stack(callers, n, real):
    how = {"position": "rotary", "dtype": real, "rng": 0}
    plan = fastnn.models.TransformerLM(100, 96, 4, 3, 400, **how).freeze()
    ids, y = np.arange(n) % 100, np.empty((1, 100), real)
    state = plan.new_state()
    where = ids.ctypes.data, y.ctypes.data, n, 8 * y.itemsize, 1
    status, used = callers.stack_of(plan, state.address, *where)
    assert status == 0 and 0 < used <= MOST_STACK
    with fastnn.num_threads(1):
        np.testing.assert_array_equal(y, plan.step(ids[None], plan.new_state()))


def test_states_are_given_back(callers):
    plan = fastnn.models.TransformerLM(40, 64, 4, 4, 512, rng=0).freeze()
    callers.generate(plan, 8, 2, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):  # 1.6 GB of states
        assert callers.generate(plan, 8, 2, 1)[0] == 0
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 30_000 * (1024 if sys.platform == "darwin" else 1)


def test_no_memory_is_lost(callers, plan):
    """2,000 plans and 16,000 calls would be a gigabyte if they leaked."""

    def turn():
        for _ in range(200):
            fastnn.nn.MLP((17, 64, 64, 6), rng=0).freeze().capsule  # noqa: B018
        assert callers.in_threads(plan, 8, 200, 1) == (0, 0)
        gc.collect()

    turn()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(9):
        turn()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 30_000 * (1024 if sys.platform == "darwin" else 1)


def test_thread_limit(callers):
    with fastnn.num_threads(5):
        before, threads, after = callers.thread_limit(2)
        assert before == after == 5 and threads <= 2
        assert fastnn.get_num_threads() <= 5
        assert callers.thread_limit(-1)[0] == 5
        assert callers.thread_limit(10**6) == (5, *callers.thread_limit(10**6)[1:2], 5)
    assert callers.thread_limit(0)[0] == 0


def test_a_plan_outlives_its_object_when_it_is_retained(callers):
    model = fastnn.nn.MLP((3, 5, 2), rng=0)
    want = model(np.ones((1, 3), np.float32))
    plan = model.freeze()
    assert callers.keep(plan) == 0
    del plan
    gc.collect()
    fastnn.nn.MLP((3, 5, 2), rng=1).freeze()
    status, bits, y = callers.run_kept()
    assert (status, bits) == (0, 32)
    np.testing.assert_allclose(y, want[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-DFASTNN_API_NEEDED=99"], "needs API 99 of fastnn, but fastnn .* has API"),
        (["-DFASTNN_ABI_VERSION=7"], "compiled for ABI 7 of fastnn, but .* has ABI 1: compile it"),
    ],
)
def test_versions_that_do_not_fit_are_import_errors(tmp_path, flags, message):
    """A header of another version: the number is defined on the command line."""
    header = (capi.HEADER).read_text()
    for flag in flags:
        name = flag[2:].split("=")[0]
        header = header.replace(f"#define {name} ", f"#define FASTNN_OLD_{name} ")
    (tmp_path / "fastnn.h").write_text(header)
    path = build(tmp_path, "misfit", HERE / "callers.c", flags=[f"-I{tmp_path}", *flags])
    spec = f"spec_from_file_location('misfit', {str(path)!r})"
    code = f"from importlib.util import *; spec = {spec}; spec.loader.create_module(spec)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "ImportError" in done.stderr
    assert __import__("re").search(message, done.stderr)


def test_a_header_with_fewer_slots_runs_with_this_fastnn(tmp_path):
    """A program of an older header: the slots and names of later APIs are not in it."""
    compiler()
    header = capi.HEADER.read_text().replace("FASTNN_API_VERSION 3", "FASTNN_API_VERSION 1")
    first, rest = header.split("    /* ---- API 2 ---- */")
    header = first + rest[rest.index("} fastnn_api;") :]
    later = [f.name for f in capi.functions().values() if f.api > 1]
    lines = header.splitlines()
    header = "\n".join(ln for ln in lines if not any(f"fastnn_table->{n}" in ln for n in later))
    source = (HERE / "callers.c").read_text()
    (tmp_path / "fastnn.h").write_text(header)
    (tmp_path / "older.c").write_text(source)
    path = build(tmp_path, "older", tmp_path / "older.c", flags=[f"-I{tmp_path}"])
    code = f"""
        from importlib.util import *
        import fastnn
        spec = spec_from_file_location('older', {str(path)!r})
        older = module_from_spec(spec)
        spec.loader.exec_module(older)
        about = older.about()
        assert about["compiled_size"] == about["size"] - {8 * len(later)}, about
        plan = fastnn.nn.MLP((17, 64, 64, 6), rng=0).freeze()
        print(older.in_threads(plan, 2, 10, 1))
    """
    assert run([sys.executable, "-c", textwrap.dedent(code)]).strip() == "(0, 0)"


def test_one_table_for_several_files(tmp_path):
    """FASTNN_UNIQUE_SYMBOL: one file imports, the other calls."""
    compiler()
    (tmp_path / "main.c").write_text("""
        #include <Python.h>
        #define FASTNN_UNIQUE_SYMBOL two_files_fastnn
        #include "fastnn.h"
        double norm(void);
        static PyObject *call(PyObject *m, PyObject *a) { return PyFloat_FromDouble(norm()); }
        static PyMethodDef methods[] = {{"norm", call, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
        static struct PyModuleDef d = {.m_base = PyModuleDef_HEAD_INIT, .m_name = "two",
                                       .m_size = -1, .m_methods = methods};
        PyMODINIT_FUNC PyInit_two(void) { return import_fastnn() < 0 ? NULL : PyModule_Create(&d); }
    """)
    (tmp_path / "other.c").write_text("""
        #define FASTNN_UNIQUE_SYMBOL two_files_fastnn
        #define FASTNN_NO_IMPORT
        #include "fastnn.h"
        double norm(void) {
            const float x[2] = {3, 4};
            double result;
            return fastnn_frobenius_norm_f32(2, x, &result) == FASTNN_OK ? result : -1;
        }
    """)
    build(tmp_path, "two", tmp_path / "main.c", tmp_path / "other.c")
    assert run([sys.executable, "-c", "import two; print(two.norm())"], cwd=tmp_path) == "5.0\n"
