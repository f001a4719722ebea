"""Sizes of the data caches, from which the block sizes of the matrix product are derived."""

from __future__ import annotations

import sys
from pathlib import Path

CACHE_ROOT = Path("/sys/devices/system/cpu/cpu0/cache")
# Every x86-64 and aarch64 core of the last ten years has at least these.
L1_FALLBACK = 32 << 10
L2_FALLBACK = 512 << 10


def _bytes(text: str) -> int:
    """Parse a size from sysfs, such as "48K"."""
    text = text.strip()
    unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
    return int(text.rstrip("KM")) * unit


def data_caches(root: Path | None = None) -> tuple[int, int]:
    """Return the bytes of a core's L1 and L2 data caches, or the fallbacks if unknown."""
    root = CACHE_ROOT if root is None else root
    found = {}
    if sys.platform == "linux":
        for index in ("index0", "index1", "index2", "index3"):
            folder = root / index
            try:
                if (folder / "type").read_text().strip() != "Instruction":
                    found[int((folder / "level").read_text())] = _bytes(
                        (folder / "size").read_text()
                    )
            except (OSError, ValueError):
                continue
    # Containers may report nonsense: accept 16 KiB to 1 MiB for L1, 128 KiB to 1 GiB for L2.
    l1, l2 = found.get(1, 0), found.get(2, 0)
    return (
        l1 if 16 << 10 <= l1 <= 1 << 20 else L1_FALLBACK,
        l2 if 128 << 10 <= l2 <= 1 << 30 else L2_FALLBACK,
    )
