"""Where a run was measured: the processor, its limits by software, versions; sizes on disk."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ..kernels.ground.cpus import cgroup_quota
from .libraries import LIBRARIES
from .machine import all_threads, cpu_name

CPU = "/sys/devices/system/cpu/cpu0"
# name -> file, and what to find in it; the first group counts if there is one
FACTS = {
    "memory": ("/proc/meminfo", r"MemTotal:\s+(\d+)"),
    "frequency governor": (f"{CPU}/cpufreq/scaling_governor", r".+"),
    "huge pages": ("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]"),
    "virtual machine": ("/proc/cpuinfo", r" hypervisor"),
    "container": ("/proc/1/cgroup", r"docker|kubepods|containerd|lxc"),
}
CONTAINERS = {"docker": "/.dockerenv", "podman": "/run/.containerenv"}


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _fact(path: str, pattern: str) -> str:
    found = re.search(pattern, _text(path))
    return (found[1] if found.re.groups else found[0]).strip() if found else ""


def _caches() -> str:
    found = []
    for index in sorted(Path(f"{CPU}/cache").glob("index*")):
        if _text(f"{index}/type") in ("Data", "Unified"):
            found.append(f"L{_text(f'{index}/level')} {_text(f'{index}/size')}")
    return ", ".join(found)


def _revision() -> str:
    """Return the git revision of the checkout that fastnn is imported from, or ""."""
    here = Path(__file__).resolve().parent
    if not (here.parents[2] / ".git").exists():
        return ""
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def collect() -> dict[str, Any]:
    """Return what is known of the machine and the software; what is unknown is left out."""
    quota = cgroup_quota()
    found = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": cpu_name(),
        "CPUs": f"{all_threads()} of {os.cpu_count()}",
        "caches": _caches(),
        "quota of the control group": "" if quota is None else f"{quota:g} CPUs",
        **{name: _fact(*where) for name, where in FACTS.items()},
        "system": platform.platform(),
        "Python": platform.python_version(),
        "git revision": _revision(),
        "FASTNN_ISA": os.environ.get("FASTNN_ISA", ""),
    }
    if found["memory"]:
        found["memory"] = f"{int(found['memory']) / 2**20:.0f} GiB"
    if here := [name for name, path in CONTAINERS.items() if Path(path).exists()]:
        found["container"] = here[0]
    return {name: value for name, value in found.items() if value}


def clocks() -> tuple[float, float, float]:
    """Return jiffies of all CPUs, those stolen, and the mean MHz; NaN if unknown."""
    nan = float("nan")
    fields = [int(x) for x in _text("/proc/stat").partition("\n")[0].split()[1:9]]
    total, stolen = (sum(fields), fields[7]) if len(fields) == 8 else (nan, nan)
    rates = [float(x) for x in re.findall(r"cpu MHz\s*:\s*([\d.]+)", _text("/proc/cpuinfo"))]
    return total, stolen, sum(rates) / len(rates) if rates else nan


def compare_clocks(
    start: tuple[float, float, float], end: tuple[float, float, float]
) -> dict[str, str]:
    """Return the time stolen by other virtual machines, and the frequency at both ends."""
    found = {}
    if end[0] > start[0]:
        found["time stolen by the host"] = f"{(end[1] - start[1]) / (end[0] - start[0]):.1%}"
    if start[2] == start[2] and end[2] == end[2]:
        found["frequency, first and last"] = f"{start[2]:.0f} and {end[2]:.0f} MHz"
    return found


def installed_bytes(name: str) -> int:
    """Return the bytes of a library's packages and of all they need, as installed here."""
    seen: set[str] = set()
    owners = metadata.packages_distributions()
    todo = [dist for module in LIBRARIES[name].modules for dist in owners.get(module, ())]
    total = 0
    while todo:
        package = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if package in seen:
            continue
        seen.add(package)
        try:
            found = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            continue
        for requirement in found.requires or ():
            if "extra ==" not in requirement:
                todo.append(re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0])
        for file in found.files or ():
            try:
                total += Path(str(file.locate())).stat().st_size
            except OSError:  # listed, not installed
                pass
    return total
