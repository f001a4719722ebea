"""Workers: turns, checks, processes that stop and end, and `fastnn bench` from start to end."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from fastnn import cli
from fastnn.bench import command
from fastnn.bench.cases import OPERATIONS, BenchError, Case, case_named, cases_of, select
from fastnn.bench.libraries import LIBRARIES, OURS, prepares
from fastnn.bench.operations import FORMATS
from fastnn.bench.reference import Tensor, attend, gelu, gradients, normalized, relu
from fastnn.bench.results import AGAIN, Results
from fastnn.bench.runner import (
    HERE,
    LOADER,
    Runner,
    Settings,
    Worker,
    WorkerError,
    ask_once,
    find,
    worker_environment,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are stopped by signals")
CASE = Case("softmax", "softmax", (8, 16))
TINY = Settings((1,), rounds=2, samples=2, seconds=1e-4, quick=True)


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def settled(pid, expected):
    """Whether the process gets into a state within a second."""
    for _ in range(100):
        if state(pid) == expected:
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def runner():
    found = Runner({OURS: sys.executable, "numpy": sys.executable}, TINY, Results())
    yield found
    found.close()


def test_libraries_take_turns_and_are_stopped_between_them(runner):
    runner.use_threads(1)
    assert list(runner.workers) == [OURS, "numpy", AGAIN]
    for _ in range(3):
        runner.turn(CASE)
    row = runner.row(CASE)
    assert {name: len(turns) for name, turns in row.times.items()} == dict.fromkeys(
        runner.workers, 3
    )
    assert row.errors["numpy"] < 20 and row.best_peer == "numpy" and row.ratio() > 0
    if sys.platform == "linux":
        assert all(settled(worker.process.pid, "T") for worker in runner.workers.values())
    processes = [worker.process for worker in runner.workers.values()]
    runner.close()
    assert all(process.returncode is not None for process in processes)


def test_a_wrong_result_is_reported_with_its_case(runner):
    runner.use_threads(1)
    wrong = Case("gemm", "call_matmul", (3, 3, -1))
    runner.turn(wrong)
    assert runner.row(wrong).failed == [OURS, "numpy", AGAIN]
    assert any("numpy, 1 threads, call_matmul" in what for what in runner.results.failures)
    runner.turn(CASE)  # the others go on
    assert not runner.row(CASE).failed


def test_a_worker_that_dies_is_reported_and_the_rest_measured(runner):
    runner.use_threads(1)
    runner.workers["numpy"].process.kill()
    runner.turn(CASE)
    assert runner.row(CASE).failed == ["numpy"] and "numpy" not in runner.workers
    assert set(runner.row(CASE).times) == {OURS, AGAIN}


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for a signal")
def test_stopped_workers_end_with_their_parent():
    code = (
        "import sys, time; from fastnn.bench.runner import Worker\n"
        "w = Worker(sys.executable, 'numpy', 1, ''); w.ask(do='hello')\n"
        "print(w.process.pid, flush=True); time.sleep(60)"
    )
    environment = worker_environment(OURS, 1)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                          env=environment) as parent:  # fmt: skip
        pid = int(parent.stdout.readline())
        assert settled(pid, "T")
        parent.kill()
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}") or state(pid) == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("the worker outlived its parent")


def test_a_worker_of_a_peer_does_not_import_fastnn():
    code = LOADER.replace(".main(sys.argv[2:])", "") + "print('fastnn' in sys.modules)"
    command = [sys.executable, "-c", code, str(HERE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_errors_of_workers_are_told():
    with pytest.raises(WorkerError, match="no task 'nothing'"):
        ask_once(sys.executable, "nothing")
    worker = Worker(sys.executable, "nothing", 1, "")
    with pytest.raises(WorkerError, match="KeyError: 'nothing'"):
        worker.ask(do="hello")


def test_environment_of_workers(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.delenv("FASTNN_ISA", raising=False)
    ours = worker_environment(OURS, 3)
    assert ours["OMP_NUM_THREADS"] == "3" and ours["OPENBLAS_NUM_THREADS"] == "1"
    assert "OPENBLAS_CORETYPE" not in ours
    peer = worker_environment("numpy", 3, "avx2")
    assert peer["OPENBLAS_NUM_THREADS"] == "3" and peer["OPENBLAS_CORETYPE"] == "Haswell"


def test_missing_libraries_are_found_missing():
    found, missing = find(["numpy", "numkong"])
    assert list(found)[:2] == [OURS, "numpy"]
    assert set(found) | set(missing) == {OURS, "numpy", "numkong"}


@pytest.mark.parametrize("name", ["fastnn", "numpy", *(f"fastnn_{form}" for form in FORMATS)])
def test_every_kernel_of_a_library_gives_the_reference(name):
    smallest = {}
    for case in select("full"):
        if case.kernel not in smallest or case.working_set < smallest[case.kernel].working_set:
            smallest[case.kernel] = case
    assert set(smallest) == set(OPERATIONS)
    threads = LIBRARIES[name].threads(1)
    with threads:
        for kernel, prepare in prepares(name).items():
            case = smallest[kernel]
            if case.flops < 1e9:
                results = prepare(case.inputs(5))()
                case.check(results, case.reference(5), LIBRARIES[name].lossy)


FORWARD = {
    "relu": lambda a, b: relu(a @ b + b[1]),
    "gelu": lambda a, b: gelu(a * b[0] + -2.0 * b[:3].swap(0, 1).swap(0, 1)),
    "norms": lambda a, b: normalized(a) * b[0] + normalized(b[[0, 2, 2]], rms=True),
    "attention": lambda a, b: attend(a, b, b * b, np.tri(3, 4, dtype=bool)),
    "parts": lambda a, b: a.split(2)[1] @ a.split(2)[0].swap(0, 1) @ b.reshape(2, 8)[[0, 1, 1]],
}


@pytest.mark.parametrize("name", FORWARD)
def test_gradients_of_references_are_those_of_differences(name):
    rng = np.random.default_rng(0)
    inputs = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal((4, 4))}
    if name == "gelu":
        pytest.importorskip("scipy")
    forward = FORWARD[name]
    dy = rng.standard_normal(forward(**{n: Tensor(x) for n, x in inputs.items()}).shape)

    def value(**moved):
        return (dy * forward(**{n: Tensor(x) for n, x in {**inputs, **moved}.items()}).value).sum()

    _, *found = gradients(forward, "a b")(dy, **inputs)
    for (given, x), gradient in zip(inputs.items(), found, strict=True):
        for at in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[at] = 1e-6
            slope = (value(**{given: x + step}) - value(**{given: x - step})) / 2e-6
            assert gradient[at] == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_a_name_is_that_of_its_case():
    for case in select("full"):
        assert case_named(case.name) == case
    for name in ("matmul", "matmul-f16-8x8x8", "nothing-f32-8", "relu-f32-8xy", "relu-f32-8-nn-nn"):
        with pytest.raises(BenchError, match="names are like"):
            case_named(name)


def test_check_refuses_wrong_results():
    exact = np.ones((2, 3))
    with pytest.raises(AssertionError, match="shape"):
        CASE.check([exact.T], [exact])
    with pytest.raises(AssertionError, match="off by"):
        CASE.check([exact + 1e-3], [exact])
    with pytest.raises(AssertionError, match="off by nan"):
        CASE.check([exact * np.nan], [exact])
    assert CASE.check([exact + 1e-3], [exact], lossy=True) > 1000
    assert CASE.check([None, exact], [exact, exact]) == 0


def test_the_command_from_start_to_end(tmp_path, monkeypatch, capsys):
    pytest.importorskip("jinja2")
    monkeypatch.chdir(tmp_path)
    tiny = {"rounds": 3, "samples": 3, "seconds": 1e-4, "quick": True}
    monkeypatch.setattr(command, "QUICK", tiny)
    options = ["bench", "--quick", "--peers", "numpy", "--threads", "1"]
    assert cli.main([*options, "-k", "softmax-f32-64x64", "call_relu"]) == 0
    shown = capsys.readouterr().out
    assert "softmax" in shown and "bench-report/index.html" in shown
    folder = tmp_path / "bench-report"
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html",
        "report.md",
        "results.json",
    ]
    found = json.loads((folder / "results.json").read_text())
    assert {row["case"]["kernel"] for row in found["rows"]} == {
        "softmax",
        "call_relu",
    }
    assert found["libraries"]["numpy"]["import"] > 0
    # the same results are not slower than themselves; slower ones have an exit code
    again = ["bench", "--from", "bench-report/results.json", "--report", "other", "--compare"]
    assert cli.main([*again, "bench-report/results.json"]) == 0
    for row in found["rows"]:
        row["times"] = {n: [[x / 50 for x in t] for t in ts] if n in (OURS, AGAIN) else ts
                        for n, ts in row["times"].items()}  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(found))
    assert cli.main([*again, "old.json"]) == command.SLOWER
    assert "slower" in (tmp_path / "other" / "report.md").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--peers", "pandas"], "no library 'pandas'"),
        (["--family", "gem"], "no family 'gem'"),
        (["--threads", "0"], "thread counts are like"),
        (["-k", "no-such-case", "--list"], "no case has 'no-such-case'"),
        (["--from", "nowhere.json"], "nowhere.json"),
        (["--rep", "x", "--quik"], "did you mean"),
    ],
)
def test_wrong_options_are_told_in_one_line(options, told, capsys):
    assert cli.main(["bench", *options]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


def test_lists_of_cases(capsys):
    assert cli.main(["bench", "--list", "--family", "gemm", "--full"]) == 0
    assert capsys.readouterr().out.split() == [case.name for case in cases_of("gemm")]
