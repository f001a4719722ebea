"""The sizes of the data caches, read from simulated files of the operating system."""

import pytest

from fastnn.kernels.ground import caches


def describe(root, *indices):
    for i, (level, kind, size) in enumerate(indices):
        folder = root / f"index{i}"
        folder.mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{value}\n")


@pytest.fixture(autouse=True)
def on_linux(monkeypatch):
    monkeypatch.setattr(caches.sys, "platform", "linux")


def test_sizes_are_read(tmp_path):
    describe(
        tmp_path,
        (1, "Data", "48K"),
        (1, "Instruction", "32K"),
        (2, "Unified", "1M"),
        (3, "Unified", "32M"),
    )
    assert caches.data_caches(tmp_path) == (48 << 10, 1 << 20)


@pytest.mark.parametrize("size", ["", "?", "1K", "-48K", "K", "9" * 5000 + "K", "99999999999M"])
def test_fallbacks(tmp_path, size):
    describe(tmp_path, (1, "Data", size), (2, "Unified", size))
    assert caches.data_caches(tmp_path) == (caches.L1_FALLBACK, caches.L2_FALLBACK)
    assert caches.data_caches(tmp_path / "absent") == (caches.L1_FALLBACK, caches.L2_FALLBACK)
