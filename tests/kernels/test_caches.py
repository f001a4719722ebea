"""The sizes of the data caches, read from simulated files of the operating system."""

import pytest

from fastnn.kernels.ground import caches


def describe(root, *indices, shared="0-3"):
    for i, (level, kind, size) in enumerate(indices):
        folder = root / f"index{i}"
        folder.mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{value}\n")
        (folder / "shared_cpu_list").write_text(f"{shared}\n")


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
    assert caches.data_caches(tmp_path) == (48 << 10, 1 << 20, 32 << 20, "system")


@pytest.mark.parametrize("size", ["", "?", "1K", "-48K", "K", "9" * 5000 + "K", "99999999999M"])
def test_fallbacks(tmp_path, size):
    describe(tmp_path, (1, "Data", size), (2, "Unified", size))
    fallbacks = (caches.L1_FALLBACK, caches.L2_FALLBACK, caches.L3_FALLBACK, "fallback")
    assert caches.data_caches(tmp_path) == fallbacks
    assert caches.data_caches(tmp_path / "absent") == fallbacks


def test_the_last_level(tmp_path):
    """Without an L3 cache it is the L2; a virtual machine does not count on all of a host's."""
    describe(tmp_path, (1, "Data", "32K"), (2, "Unified", "1M"))
    assert caches.data_caches(tmp_path).l3 == 1 << 20
    (tmp_path / "big").mkdir()
    describe(tmp_path / "big", (2, "Unified", "2M"), (3, "Unified", "300M"), shared="0-1,4")
    assert caches.data_caches(tmp_path / "big").l3 == 3 * caches.L3_OF_A_CPU


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("48K,2M,32M", (48 << 10, 2 << 20, 32 << 20)),
        ("32768, 1M", (32 << 10, 1 << 20, 1 << 20)),
        ("64K,1M,1G", (64 << 10, 1 << 20, 1 << 30)),
    ],
)
def test_forced_sizes(monkeypatch, text, sizes):
    monkeypatch.setenv("FASTNN_CACHE_SIZES", text)
    assert caches.forced_caches() == (*sizes, "FASTNN_CACHE_SIZES")


@pytest.mark.parametrize(
    "text",
    [
        "?",
        "48K",
        "48K,",
        "2M,48K",
        "1,2,3",
        "48K,2M,32M,1G",
        "48k,2M",
        "-1K,2M",
        "1.5M,2M",
        "९K,2M",
    ],
)
def test_forced_nonsense(monkeypatch, text):
    monkeypatch.setenv("FASTNN_CACHE_SIZES", text)
    with pytest.raises(ImportError, match=r"FASTNN_CACHE_SIZES=.* must be the sizes of the L1"):
        caches.forced_caches()


def test_not_forced(monkeypatch):
    monkeypatch.delenv("FASTNN_CACHE_SIZES", raising=False)
    assert caches.forced_caches() is None
    monkeypatch.setenv("FASTNN_CACHE_SIZES", "")
    assert caches.forced_caches() is None
