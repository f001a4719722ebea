"""Sizes of the data caches, from which the block sizes and thresholds of the kernels follow."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

CACHE_ROOT = Path("/sys/devices/system/cpu/cpu0/cache")
# Every x86-64 and aarch64 core of the last ten years has at least these.
L1_FALLBACK = 32 << 10
L2_FALLBACK = 512 << 10
# Sizes that nothing tells: kernels were tuned with 32 MiB.
L3_FALLBACK = 32 << 20
# A virtual machine sees the whole of a cache that it shares with strangers: count on 16 MiB a CPU.
L3_OF_A_CPU = 16 << 20
# Containers may report nonsense: smallest and largest size of each level that is believed.
BELIEVED = {1: (16 << 10, 1 << 20), 2: (128 << 10, 1 << 30), 3: (256 << 10, 16 << 30)}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Caches(NamedTuple):
    """Bytes of the data caches that a core can use; l3 is the last level, l2 if there is no L3."""

    l1: int
    l2: int
    l3: int
    source: str


def _bytes(text: str) -> int:
    """Parse a size such as "48K"; ValueError if it is none."""
    found = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text.strip(), re.ASCII)
    if not found:
        raise ValueError(text)
    return int(found[1]) * UNITS[found[2]]


def _cpus(text: str) -> int:
    """Count the CPUs of a list such as "0-3,8"."""
    ends = [part.split("-") for part in text.strip().split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _level(folder: Path) -> tuple[int, int] | None:
    """Return the level and the bytes of a data cache in sysfs; None if it is not one."""
    try:
        if (folder / "type").read_text().strip() == "Instruction":
            return None
        level, size = int((folder / "level").read_text()), _bytes((folder / "size").read_text())
        if level == 3:
            size = min(size, _cpus((folder / "shared_cpu_list").read_text()) * L3_OF_A_CPU)
    except (OSError, ValueError):
        return None
    least, most = BELIEVED.get(level, (1, 0))
    return (level, size) if least <= size <= most else None


def data_caches(root: Path | None = None) -> Caches:
    """Return the sizes that the operating system tells, with fallbacks for those it does not."""
    root = CACHE_ROOT if root is None else root
    found: dict[int, int] = {}
    if sys.platform == "linux":
        levels = (_level(root / f"index{i}") for i in range(4))
        found = dict(level for level in levels if level is not None)
    l2 = found.get(2, L2_FALLBACK)
    l3 = found.get(3, l2 if 2 in found else L3_FALLBACK)
    return Caches(
        found.get(1, L1_FALLBACK), l2, max(l2, l3), "system" if 2 in found else "fallback"
    )


def forced_caches() -> Caches | None:
    """Return the sizes of FASTNN_CACHE_SIZES, None if it is not set; ImportError if not sizes."""
    text = os.environ.get("FASTNN_CACHE_SIZES", "")
    if not text:
        return None
    try:
        sizes = [_bytes(word) for word in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (2, 3) or sizes != sorted(sizes) or not 1024 <= sizes[0] <= 1 << 40:
        raise ImportError(
            f"FASTNN_CACHE_SIZES={text:.80} must be the sizes of the L1, L2 and, if there is one, "
            "L3 data cache, none smaller than the one before, such as 48K,2M,32M"
        )
    return Caches(sizes[0], sizes[1], sizes[-1], "FASTNN_CACHE_SIZES")
