"""Count the CPUs that this process may use: affinity, cgroup quota and physical cores.

OpenMP runtimes ignore the CPU quota of a container, and a team larger than the quota is throttled
severely (xgboost issue 7653: 90x slower in a container with one CPU on a host with sixteen).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
CPU_ROOT = Path("/sys/devices/system/cpu")

# A thread count with more digits is clamped; the limit is far lower.
MOST_DIGITS = 9


def _read(path: Path) -> str | None:
    """Return the text of a file, or None. Non-UTF-8 bytes are kept as in a path."""
    try:
        return path.read_text("utf-8", "surrogateescape")
    except (OSError, ValueError):  # ValueError: a NUL in a cgroup's name
        return None


def _ratio(quota: str, period: str) -> float | None:
    """Return the CPUs granted by quota microseconds per period; None if there is no limit."""
    try:
        limit, every = float(quota), float(period)
    except ValueError:  # cgroup v2 says "max"
        return None
    ratio = limit / every if limit > 0 and every > 0 else 0.0
    return ratio if 0 < ratio < math.inf else None


def _own_groups(proc_cgroup: Path) -> tuple[str, str]:
    """Return the process's group in the v2 and in the v1 cpu hierarchy ("/" if unknown)."""
    v2 = v1 = "/"
    for line in (_read(proc_cgroup) or "").splitlines():
        _, *found = line.split(":", 2)
        if len(found) < 2:  # not in the kernel's format
            continue
        controllers, group = found
        if not controllers:
            v2 = group
        elif "cpu" in controllers.split(","):
            v1 = group
    return v2, v1


def _upwards(group: str) -> list[str]:
    """Return the group and its ancestors, relative to the root: each of their quotas applies."""
    parts = [p for p in group.split("/") if p and p != ".."]
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]


def cgroup_quota(
    root: Path | None = None, proc_cgroup: Path = Path("/proc/self/cgroup")
) -> float | None:
    """Return the CPUs of the cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), or None."""
    root = CGROUP_ROOT if root is None else root
    if not root.is_dir():
        return None
    v2, v1 = _own_groups(proc_cgroup)
    quotas = []
    for group in _upwards(v2):
        words = (_read(root / group / "cpu.max") or "").split()
        if len(words) == 2:
            quotas.append(_ratio(words[0], words[1]))
    for group in _upwards(v1):
        folder = root / "cpu" / group
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota is not None and period is not None:
            quotas.append(_ratio(quota, period))
    return min((q for q in quotas if q is not None), default=None)


def affinity() -> set[int]:
    """Return the CPUs that the scheduler may run this process on."""
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):  # not Linux, or forbidden in this container
        return set(range(os.cpu_count() or 1))


def physical_cores(cpus: set[int], root: Path | None = None) -> int:
    """Count the cores of these CPUs: sibling hyper-threads share the FMA units and count once."""
    root = CPU_ROOT if root is None else root
    return len(
        {_read(root / f"cpu{c}" / "topology" / "thread_siblings_list") or f"{c}" for c in cpus}
    )


def _from_environment(name: str) -> int | None:
    """Return the count in an environment variable; the first of a list is the outer level."""
    word = os.environ.get(name, "").split(",")[0].strip()
    digits = word.lstrip("0")
    if not digits.isdecimal():
        return None
    return int(digits) if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS


def default_threads(omp_max_threads: int, *, environment: bool = True) -> dict[str, object]:
    """Return the default number of threads, its source, and the counts behind it.

    FASTNN_NUM_THREADS, else OMP_NUM_THREADS (both may exceed the cores), else the smallest of the
    physical cores among the CPUs of the process's affinity mask, the cgroup quota rounded up, and
    the OpenMP maximum (1 in a build without OpenMP). Without `environment` the variables do not
    count.
    """
    cpus = affinity()
    quota = cgroup_quota()
    cores = physical_cores(cpus)
    counts = {"affinity": len(cpus), "cgroup_quota": quota, "physical_cores": cores}
    for name in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS") if environment else ():
        asked = _from_environment(name)
        if asked is not None:
            return {"num_threads": asked, "source": name, **counts}
    allowed = max(1, math.ceil(quota)) if quota is not None else len(cpus)
    return {"num_threads": max(1, min(cores, allowed, omp_max_threads)), "source": "cpus", **counts}
