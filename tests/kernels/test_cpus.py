"""The default number of threads, with the files of the kernel made up."""

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
