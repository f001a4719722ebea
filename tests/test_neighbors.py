"""fastnn beside PyTorch and scikit-learn, which bring OpenMP runtimes of their own.

Each order of imports runs in a fresh process, where every library uses its threads.
"""

import importlib.util
import itertools
import os
import subprocess
import sys

import pytest

import fastnn

pytest.importorskip("threadpoolctl")
needs_openmp = pytest.mark.skipif(
    not fastnn.build_info()["openmp"], reason="this build of fastnn has no OpenMP"
)
LIBRARIES = [name for name in ("fastnn", "sklearn", "torch") if importlib.util.find_spec(name)]
ORDERS = list(itertools.permutations(LIBRARIES))

# What each library computes with its team: work[name]().
WORK = {
    "fastnn": """
a = np.random.default_rng(0).standard_normal((300, 400)).astype(np.float32)
work["fastnn"] = lambda: fastnn.softmax(fastnn.matmul(a, a.T, activation="gelu")).tobytes()
""",
    "sklearn": """
from sklearn.ensemble import HistGradientBoostingRegressor
rng = np.random.default_rng(0)
xs = rng.standard_normal((2000, 5)); ys = xs.sum(1)
def boost():
    model = HistGradientBoostingRegressor(max_iter=3, early_stopping=False, random_state=0)
    return model.fit(xs, ys).predict(xs).tobytes()
work["sklearn"] = boost
""",
    "torch": """
b = torch.linspace(-1, 1, 300 * 400).reshape(300, 400)
work["torch"] = lambda: torch.softmax(b @ b.T, 1).numpy().tobytes()
""",
}
MAIN = """
import os, threading, threadpoolctl
def same(limit=None):
    for name, call in work.items():
        assert call() == first[name], (name, limit)
first = {name: call() for name, call in work.items()}
same()
thread = threading.Thread(target=same)
thread.start(); thread.join()
assert fastnn.get_num_threads() == 2
found = [lib["filepath"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "openmp"]
assert found, "threadpoolctl sees no OpenMP"
with threadpoolctl.threadpool_limits(1):
    assert fastnn.get_num_threads() == 1
    before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    same(1)
    if before:
        assert len(os.listdir("/proc/self/task")) <= before, "a limit of 1 starts threads"
assert fastnn.get_num_threads() == 2
same()
print("ok")
"""


@needs_openmp
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_every_order_of_imports(order):
    """All compute, threadpoolctl limits all of them, and the process ends well."""
    code = "import numpy as np\nwork = {}\n"
    code += "".join(f"import {name}\n" for name in order) + "".join(WORK[name] for name in order)
    done = subprocess.run(
        [sys.executable, "-c", code + MAIN],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if {first!r}:
    import fastnn
child = interpreters.create()
failed = interpreters.run_string(child, '''
import sys, warnings
warnings.simplefilter("ignore")  # NumPy warns of subinterpreters
sys.path[:] = {path!r}
try:
    import fastnn
except ImportError as error:
    text = f"refused: {{error}}"
else:
    text = "works"
print(text)
sys.stdout.flush()
''')
assert failed is None, failed
if {first!r}:
    import numpy
    assert (fastnn.matmul(numpy.eye(3), numpy.eye(3)) == numpy.eye(3)).all()
"""


@pytest.mark.parametrize("first", [True, False], ids=["after the main one", "alone"])
def test_a_second_interpreter_is_refused(first):
    """One interpreter of a process may use fastnn; another gets an ImportError, not a crash."""
    path = [os.fspath(entry) for entry in sys.path if entry]
    done = subprocess.run(
        [sys.executable, "-c", SUBINTERPRETER.format(first=first, path=path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if first:
        assert done.stdout.startswith("refused: "), done.stdout
        assert "interpreter" in done.stdout
    else:
        assert done.stdout.startswith(("works", "refused: ")), done.stdout
