"""How many threads run: limits, environment, nesting, threadpoolctl, forks.

Tests that need a fresh process run one with a time limit.
"""

import os
import subprocess
import sys
import threading

import pytest

import fastnn
from fastnn.kernels import thread_info

HAS_OPENMP = fastnn.build_info()["openmp"]
needs_openmp = pytest.mark.skipif(not HAS_OPENMP, reason="this build of fastnn has no OpenMP")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
TIME_LIMIT = 60


def run(code, **env):
    """The output of a fresh interpreter; an error or a hang fails the test."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OMP_THREAD_LIMIT")
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


COUNT = (
    "import fastnn; from fastnn.kernels import thread_info as t; "
    "print(fastnn.get_num_threads(), t()['source'])"
)


@needs_openmp
def test_limits_nest_and_are_restored():
    before = fastnn.get_num_threads()
    with fastnn.num_threads(3):
        assert fastnn.get_num_threads() == 3 and thread_info()["source"] == "num_threads"
        with fastnn.num_threads(1):
            assert fastnn.get_num_threads() == 1
        assert fastnn.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), fastnn.num_threads(2):
            raise ZeroDivisionError
        assert fastnn.get_num_threads() == 3
    assert fastnn.get_num_threads() == before
    same = fastnn.num_threads(3)
    with same, same:
        assert fastnn.get_num_threads() == 3
    assert fastnn.get_num_threads() == before
    try:
        fastnn.set_num_threads(5)
        assert fastnn.get_num_threads() == 5 and thread_info()["source"] == "set_num_threads"
        fastnn.set_num_threads(10**9)
        assert fastnn.get_num_threads() <= 1024
    finally:
        fastnn.set_num_threads(-1)
    assert fastnn.get_num_threads() == before


@needs_openmp
def test_context_binds_its_own_thread_only():
    seen = []
    with fastnn.num_threads(7):
        other = threading.Thread(target=lambda: seen.append(fastnn.get_num_threads()))
        other.start()
        other.join()
        assert fastnn.get_num_threads() == 7
    assert seen == [fastnn.get_num_threads()]


@needs_openmp
def test_threads_may_share_a_context():
    """Each thread gets its previous limit back, in whatever order they exit."""
    shared, restored = fastnn.num_threads(3), {}
    inside = threading.Barrier(2)
    left = threading.Event()

    def work(own):
        with fastnn.num_threads(own):
            with shared:
                inside.wait(TIME_LIMIT)
                if own == 7:  # entered with the other, exits after it
                    left.wait(TIME_LIMIT)
            left.set()
            restored[own] = fastnn.get_num_threads()

    threads = [threading.Thread(target=work, args=(own,)) for own in (5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIME_LIMIT)
    assert restored == {5: 5, 7: 7}


@pytest.mark.parametrize("bad", [0, -2])
def test_counts_below_one(bad):
    with pytest.raises(ValueError, match=f"at least 1.*got {bad}"):
        fastnn.set_num_threads(bad)


@pytest.mark.parametrize("bad", [1.5, "2", None, True])
def test_counts_that_are_no_ints(bad):
    with pytest.raises(TypeError, match="must be an int"):
        fastnn.set_num_threads(bad)


@needs_openmp
def test_environment():
    assert run(COUNT, FASTNN_NUM_THREADS="3", OMP_NUM_THREADS="2") == "3 FASTNN_NUM_THREADS"
    assert run(COUNT, OMP_NUM_THREADS="5") == "5 OMP_NUM_THREADS"
    assert run(COUNT, OMP_NUM_THREADS="4,2") == "4 OMP_NUM_THREADS"
    assert run(COUNT, FASTNN_NUM_THREADS="nonsense").endswith("cpus")
    assert run(COUNT, OMP_NUM_THREADS="8", OMP_THREAD_LIMIT="2") == "2 OMP_NUM_THREADS"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_affinity():
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert run(one + COUNT) == "1 cpus"


@needs_openmp
def test_threadpoolctl_limits_fastnn():
    code = """
import numpy, fastnn, threadpoolctl
assert fastnn.get_num_threads() == 4
with threadpoolctl.threadpool_limits(2):
    print(fastnn.get_num_threads())
with threadpoolctl.threadpool_limits(1, user_api="openmp"):
    print(fastnn.get_num_threads())
print(fastnn.get_num_threads())
"""
    assert run(code, OMP_NUM_THREADS="4").split() == ["2", "1", "4"]


WORK = """
import numpy as np, fastnn, os, sys
a = np.random.default_rng(0).standard_normal((200, 300)).astype(np.float32)
def work():
    return fastnn.softmax(fastnn.matmul(a, a.T, activation="relu")).tobytes()
def child(want):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if fastnn.get_num_threads() == 1 and work() == want else 3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@needs_fork
@pytest.mark.parametrize("first", ["main", "worker", "nobody"])
def test_forked_child_runs_on_one_thread_and_ends(first):
    """Whichever thread ran a team before the fork.

    libgomp alone would wait forever for threads that the child does not have.
    """
    code = (
        WORK
        + {
            "main": "want = work()",
            "worker": "import threading; got = []; "
            "t = threading.Thread(target=lambda: got.append((work(), child(work()))));"
            " t.start(); t.join(); want, code = got[0]; assert code == 0",
            "nobody": "with fastnn.num_threads(1): want = work()",
        }[first]
    )
    code += """
assert child(want) == 0
assert work() == want and fastnn.get_num_threads() == (4 if fastnn.build_info()['openmp'] else 1)
assert child(want) == 0
print("ok")
"""
    assert run(code, FASTNN_NUM_THREADS="4", PYTHONWARNINGS="ignore") == "ok"


@needs_fork
def test_nested_fork_and_request_in_a_child():
    code = (
        WORK
        + """
import warnings
want = work()
pid = os.fork()
if pid == 0:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fastnn.set_num_threads(4)
    good = any("forked" in str(w.message) for w in seen) and fastnn.get_num_threads() == 1
    good = good and work() == want and child(want) == 0
    os._exit(0 if good else 3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("ok")
"""
    )
    assert run(code, FASTNN_NUM_THREADS="4", PYTHONWARNINGS="ignore") == "ok"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, tmp_path):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    script = tmp_path / "pool.py"
    script.write_text(
        f"""
import multiprocessing, numpy as np, fastnn
def product(i):
    a = np.full((300, 300), i, np.float32)
    return float(fastnn.matmul(a, a)[0, 0])
if __name__ == "__main__":
    product(1)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(pool.map(product, [1, 2, 3]))
"""
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=True,
    )
    assert done.stdout.strip() == "[300.0, 1200.0, 2700.0]"


def test_many_python_threads_at_once(rng, real):
    """Eight threads on shared operands, each with its own team: the bits of a single call."""
    import numpy as np

    a, b = (
        rng.standard_normal((150, 400)).astype(real),
        rng.standard_normal((400, 170)).astype(real),
    )
    want = fastnn.matmul(a, b).tobytes(), fastnn.softmax(a).tobytes(), fastnn.frobenius_norm(a)
    wrong = []

    def work():
        for _ in range(20):
            got = (
                fastnn.matmul(a, b).tobytes(),
                fastnn.softmax(a).tobytes(),
                fastnn.frobenius_norm(a),
            )
            if got != want:
                wrong.append(np.asarray(got[0]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
