"""Children of a process that has used its threads: fork, spawn and forkserver."""

import multiprocessing
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import models, nn
from tests.kernels.test_threads import run

from . import common

WORKS = ("product", "plan", "decode", "attention", "fit", "generate")
METHODS = multiprocessing.get_all_start_methods()


def work(name):
    """Return the bytes of one kind of work, the same in every process."""
    rng = np.random.default_rng(common.SEED)
    a = rng.normal(size=(150, 200)).astype(np.float32)
    if name == "product":
        return fastnn.softmax(fastnn.matmul(a, a.T, activation="relu")).tobytes()
    if name == "plan":
        return nn.MLP((200, 64, 5), rng=0).freeze(batch_max=64)(a).tobytes()
    if name == "attention":
        q = rng.normal(size=(2, 4, 80, 32)).astype(np.float32)
        return fastnn.attention(q, q, q, causal=True).tobytes()
    if name == "fit":
        model = nn.Sequential(nn.MLP((200, 64, 2), rng=0), nn.Dropout(0.1, rng=0))
        y = (a[:, 0] > 0).astype(np.int64)
        options = {"epochs": 2, "batch_size": 50, "seed": 0, "verbose": 0}
        fastnn.fit(model, a, y, optimizer="adam", **options)
        return model.parameters().data.tobytes()
    model = models.TransformerLM(17, 64, 4, 2, 32, rng=0)
    if name == "generate":
        return model.generate([[1, 2], [3]], 6, temperature=0.9, seed=1)[0].tobytes()
    plan = model.freeze()
    state = plan.new_state(2)
    return plan.step(rng.integers(0, 17, (2, 9)), state).tobytes()


def works():
    return [work(name) for name in WORKS]


def serve(_):
    """Return the result of a child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return works()


PARENT = """
import multiprocessing, os, sys, threading
from tests.reliability.test_forks import serve, works
if __name__ == "__main__":
    first, method = sys.argv[1:]
    expected = works()  # the threads of this process are there from now on
    if first == "worker":
        thread = threading.Thread(target=works)
        thread.start()
        thread.join()
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(serve, range(2), chunksize=1)
    assert found == [expected] * 2
    assert works() == expected  # and the threads of this process work as before
    print("ok")
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", ["main", "worker"])
def test_pools_of_processes(method, first, tmp_path):
    """The children give the bytes of the parent; those of a fork run on one thread."""
    script = tmp_path / "parent.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(common.ROOT)!r})\n{PARENT}")
    env = os.environ | {"FASTNN_NUM_THREADS": "4", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), first, method],
        env=env,
        capture_output=True,
        text=True,
        timeout=common.TIME_LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forks_while_other_threads_compute():
    """Forks at any moment of another thread's kernel: the child's kernels end and are right."""
    code = f"""
import os, sys, threading, warnings
sys.path.insert(0, {str(common.ROOT)!r})
warnings.simplefilter("ignore")
from tests.reliability.test_forks import work
expected, stop = {{name: work(name) for name in ("product", "attention", "plan")}}, []
def loop(name):
    while not stop:
        assert work(name) == expected[name]
threads = [threading.Thread(target=loop, args=(name,), daemon=True) for name in expected]
for thread in threads:
    thread.start()
for i in range({common.count(20)}):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if all(work(name) == expected[name] for name in expected) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, i
stop.append(True)
for thread in threads:
    thread.join(30)
print("ok")
"""
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(common.ROOT)])
    assert run(code, FASTNN_NUM_THREADS="2", PYTHONWARNINGS="ignore", PYTHONPATH=path) == "ok"
