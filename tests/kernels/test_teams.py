"""How large teams are, how long their threads spin, and what they do beside busy neighbors."""

import json
import os
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest

import fastnn
from fastnn.kernels.ground import threads, waiting

pytestmark = pytest.mark.skipif(
    not fastnn.build_info()["openmp"], reason="this build of fastnn has no OpenMP"
)
LIBRARIES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "FASTNN_NUM_THREADS")


def in_a_thread(function):
    """Call it in a new thread, which has run no team yet."""
    found = []
    worker = threading.Thread(target=lambda: found.append(function()))
    worker.start()
    worker.join(60)
    return found[0]


def sizes(limit, grains):
    """The teams of kernels of so many grains of work, one after the other."""

    def work():
        with fastnn.num_threads(limit):
            return [threads._team_for(g) for g in grains]

    return in_a_thread(work)


def test_as_large_as_the_work_pays_for():
    for grains, team in ((0, 1), (1.9, 1), (2, 2), (7.9, 7), (63, 63), (1e18, 64)):
        assert sizes(64, [grains]) == [team]
    assert sizes(64, [2, 5, 4, 20, 64]) == [2, 5, 5, 20, 64]
    assert sizes(2, [1, 2, 1e9]) == [1, 2, 2] and sizes(1, [1e9]) == [1]


def test_small_work_does_not_rebuild_a_large_team():
    """It takes the threads that are there or one, and a smaller team only in the long run."""
    assert sizes(64, [64, 3, 64]) == [64, 1, 64]  # 64 threads cost 5 grains
    assert sizes(64, [64, 8, 64]) == [64, 64, 64]
    assert sizes(8, [8, 3, 8]) == [8, 8, 8]
    lasting = sizes(64, [64] + [8] * 200 + [64])
    assert lasting[0] == lasting[-1] == 64 and lasting[-2] == 8
    assert sum(a != b for a, b in pairwise(lasting)) == 2
    mixed = sizes(64, [64, 3, 3, 3] * 100)
    assert set(mixed) == {64, 1}


def test_a_limit_bounds_the_team_there_was():
    def work():
        with fastnn.num_threads(16):
            first = threads._team_for(16)
        with fastnn.num_threads(4):
            return first, threads._team_for(3), threads._team_for(100)

    assert in_a_thread(work) == (16, 4, 4)


def test_same_bits_in_teams_of_any_size():
    x = np.random.default_rng(0).standard_normal((300, 700)).astype(np.float32)
    want = [fastnn.matmul(x[:m], x.T).tobytes() for m in (300, 20, 90)]
    for limit in (3, 5, 16):
        with fastnn.num_threads(limit):
            assert [fastnn.matmul(x[:m], x.T).tobytes() for m in (300, 20, 90)] == want


def run(code, **env):
    clean = {name: value for name, value in os.environ.items() if name not in LIBRARIES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SPIN = """
import json, os
import fastnn
from fastnn.kernels import thread_info
info = thread_info()
left = [name for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ]
print(json.dumps([info["spin_count"], info["spin_source"], left]))
"""
# In a process of its own: other packages bring copies of the library with them.
OWN_RUNTIME = "from fastnn.kernels.ground import waiting; print(*waiting._runtimes())"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has GNU OpenMP and /proc")


@LINUX
def test_the_spin_is_bounded_by_default():
    """And the variable that does it is not left to other libraries and child processes."""
    assert json.loads(run(SPIN)) == [waiting.bounded_spin(), "fastnn", []]


@LINUX
@pytest.mark.parametrize("name", waiting.VARIABLES)
def test_a_setting_of_the_user_is_kept(name):
    value = "7" if name == "GOMP_SPINCOUNT" else "active"
    assert json.loads(run(SPIN, **{name: value})) == [None, name, [name]]


@LINUX
def test_a_library_that_was_loaded_before():
    """Its threads spin as they like."""
    path = run(OWN_RUNTIME)
    load = f"import ctypes; ctypes.CDLL({path!r})\n"
    assert json.loads(run(load + SPIN)) == [None, "openmp", []]


def test_spins_of_a_few_pauses_on_any_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(waiting.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(waiting, "CPUINFO", tmp_path / "cpuinfo")
    assert waiting.bounded_spin() == waiting.PAUSES_X86
    for vendor, count in (("GenuineIntel", waiting.PAUSES_INTEL), ("AMD", waiting.PAUSES_X86)):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
        assert waiting.bounded_spin() == count
    monkeypatch.setattr(waiting.platform, "machine", lambda: "aarch64")
    assert waiting.bounded_spin() == waiting.LOOPS


@LINUX
def test_one_thread_beside_neighbors_if_the_threads_spin_for_long():
    """Where the library was loaded before, and its spin cannot be bounded any more."""
    path = run(OWN_RUNTIME)
    code = f"""
import ctypes, os, subprocess, sys, time
ctypes.CDLL({path!r})
import fastnn
from fastnn.kernels.ground import threads
cores = len(os.sched_getaffinity(0))
if fastnn.get_num_threads() == 1:
    print("one core")
    raise SystemExit
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores)]
try:
    stop, crowded = time.monotonic() + 20, False
    while time.monotonic() < stop and not crowded:
        sum(range(10000))       # at work: only threads that are can be interrupted
        crowded = threads._team_for(1e9) == 1
finally:
    for other in busy:
        other.kill()
        other.wait()
print(crowded, threads._team_for(1e9) >= 1)
"""
    assert run(code) in ("True True", "one core")
