"""The default number of threads, from simulated files of the operating system."""

import math
import os
import subprocess
import sys

import pytest

from fastnn.kernels.ground import cpus


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("", None),
        ("rubbish\n", None),
    ],
)
def test_cgroup_v2(tmp_path, text, quota):
    write(tmp_path / "cpu.max", text)
    write(tmp_path / "self", "0::/\n")
    assert cpus.cgroup_quota(tmp_path, tmp_path / "self") == quota


def test_cgroup_v2_quota_of_a_group_above(tmp_path):
    write(tmp_path / "a/b/cpu.max", "max 100000\n")
    write(tmp_path / "a/cpu.max", "200000 100000\n")
    write(tmp_path / "self", "0::/a/b\n")
    assert cpus.cgroup_quota(tmp_path, tmp_path / "self") == 2.0


def test_cgroup_v1(tmp_path):
    write(tmp_path / "cpu/box/cpu.cfs_quota_us", "300000\n")
    write(tmp_path / "cpu/box/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "cpu/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "self", "12:cpu,cpuacct:/box\n3:memory:/box\n")
    assert cpus.cgroup_quota(tmp_path, tmp_path / "self") == 3.0


def test_no_cgroups(tmp_path):
    assert cpus.cgroup_quota(tmp_path / "absent", tmp_path / "absent") is None


def test_hyper_threads_count_once(tmp_path):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        write(tmp_path / f"cpu{cpu}/topology/thread_siblings_list", siblings + "\n")
    assert cpus.physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert cpus.physical_cores({0, 2}, tmp_path) == 1
    assert cpus.physical_cores({0, 1, 2}, tmp_path / "absent") == 3


@pytest.fixture
def no_environment(monkeypatch):
    for name in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("quota", "cores", "omp", "count"),
    [(None, 8, 8, 8), (2.5, 8, 8, 3), (0.3, 8, 8, 1), (None, 4, 8, 4), (None, 8, 1, 1)],
)
def test_default_is_the_smallest_bound(no_environment, quota, cores, omp, count):
    no_environment.setattr(cpus, "affinity", lambda: set(range(8)))
    no_environment.setattr(cpus, "cgroup_quota", lambda: quota)
    no_environment.setattr(cpus, "physical_cores", lambda _: cores)
    found = cpus.default_threads(omp)
    assert (found["num_threads"], found["source"]) == (count, "cpus")
    assert (found["affinity"], found["cgroup_quota"], found["physical_cores"]) == (8, quota, cores)


# No kernel writes these, but a container or a wrong mount may show them.
HOSTILE = [
    b"",
    b"\n\n",
    b"no colon",
    b"0:one colon",
    b":::::",
    b"0::/\xff\xfe",
    b"0::/a\0b",
    b"4:cpu:/\xc3(",
    b"0::/" + b"a" * 5000,
    b"0::/../../..",
    b"inf 100000",
    b"-inf 1",
    b"nan nan",
    b"1e400 1e400",
    b"5 1e-320",
    b"1e-320 5",
    b"0 0",
    b"-1",
    b"9" * 5000 + b" 1",
    b"\xff\xfe\0\0",
    "٣ ٣".encode(),
    b"1 2 3",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", ["self", "cpu.max", "cpu/cpu.cfs_quota_us", "siblings"])
def test_files_that_no_kernel_writes(tmp_path, content, name):
    """None of them breaks the import: each means no limit, or a finite limit."""
    files = {
        "self": b"0::/\n4:cpu:/\n",
        "cpu.max": b"max 100000\n",
        "cpu/cpu.cfs_quota_us": b"-1\n",
        "cpu/cpu.cfs_period_us": b"100000\n",
    }
    for path, text in (files | {name: content}).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(text)
    quota = cpus.cgroup_quota(tmp_path, tmp_path / "self")
    assert quota is None or (0 < quota < math.inf and math.ceil(quota) >= 1)
    for cpu in range(2):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_bytes(content)
    assert cpus.physical_cores({0, 1}, tmp_path) in (1, 2)


def test_a_group_whose_name_is_not_utf8_has_its_quota(tmp_path):
    group = os.fsdecode(b"b\xf6x")
    try:
        write(tmp_path / group / "cpu.max", "200000 100000\n")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes UTF-8 alone")
    (tmp_path / "self").write_bytes(b"rubbish\n0::/b\xf6x\n")
    assert cpus.cgroup_quota(tmp_path, tmp_path / "self") == 2.0


@pytest.mark.parametrize("name", ["FASTNN_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("3", 3),
        (" 4 , 2", 4),
        ("0" * 5000 + "5", 5),
        ("9" * 5000, 10**9),
        ("٣", 3),
        *[(text, None) for text in ("", "0", "-1", "2.5", "²", "many", ",2", "\udcff", "1e3")],
    ],
)
def test_variables(no_environment, name, value, count):
    no_environment.setenv(name, value)
    found = cpus.default_threads(8)
    assert found["source"] == ("cpus" if count is None else name)
    assert count is None or found["num_threads"] == count


def test_the_import_survives_any_variable(tmp_path):
    code = "import fastnn; print(fastnn.get_num_threads() >= 1)"
    for value in ("9" * 5000, "-1", "x", "1,1,1"):
        threads = {"OMP_NUM_THREADS": value, "FASTNN_NUM_THREADS": value}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **threads},
        )
        assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
