"""GGUF files: values against formulas written out number by number, and damaged files."""

import os
import struct
import tracemalloc

import numpy as np
import pytest

from fastnn.files import ModelFileError, read_gguf

SCALARS = {"u8": (0, "B"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q")}


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(metadata=(), arrays=(), alignment=32, version=3):
    """The bytes of a file: metadata (key, type, bytes), arrays (name, shape, type, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(arrays), len(metadata))
    for key, kind, value in metadata:
        out += text(key) + struct.pack("<I", kind) + value
    data = b""
    for name, shape, kind, content in arrays:
        out += text(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *shape[::-1]) + struct.pack("<IQ", kind, len(data))
        data += content + b"\0" * (-len(content) % alignment)
    return out + b"\0" * (-len(out) % alignment) + data


def blocks(kind, n, rng):
    """Random blocks of a type, and their numbers by the definition in ggml-common.h."""
    content, numbers = b"", []
    for _ in range(n):
        d, m = (rng.normal(0, 0.1, 2)).astype(np.float16)
        if kind == 8:
            q = rng.integers(-127, 128, 32).astype(np.int8)
            content += d.tobytes() + q.tobytes()
            numbers += [np.float32(x) * np.float32(d) for x in q]
            continue
        q = rng.integers(0, 16, 32)
        packed = bytes(int(q[i]) | int(q[i + 16]) << 4 for i in range(16))
        content += d.tobytes() + (m.tobytes() if kind == 3 else b"") + packed
        if kind == 2:
            numbers += [np.float32(x - 8) * np.float32(d) for x in q]
        else:
            numbers += [np.float32(x) * np.float32(d) + np.float32(m) for x in q]
    return content, np.array(numbers, np.float32)


@pytest.mark.parametrize(("kind", "name"), [(2, "Q4_0"), (3, "Q4_1"), (8, "Q8_0")])
def test_blocks(tmp_path, rng, kind, name):
    content, numbers = blocks(kind, 6, rng)
    (tmp_path / "m.gguf").write_bytes(gguf(arrays=[("w", (3, 64), kind, content)]))
    found = read_gguf(tmp_path / "m.gguf").arrays["w"]
    assert (found.format, found.shape, found.dtype) == (name, (3, 64), "float32")
    np.testing.assert_array_equal(found.read(), numbers.reshape(3, 64))


def test_real_types(tmp_path, rng):
    x = rng.normal(size=(2, 5)).astype(np.float32)
    x = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    arrays = [
        ("f32", x.shape, 0, x.tobytes()),
        ("f16", x.shape, 1, x.astype(np.float16).tobytes()),
        ("bf16", x.shape, 30, (x.view(np.uint32) >> 16).astype("<u2").tobytes()),
        ("empty", (0,), 0, b""),
        ("scalar", (), 0, np.float32(3).tobytes()),
    ]
    (tmp_path / "m.gguf").write_bytes(gguf(arrays=arrays))
    found = read_gguf(tmp_path / "m.gguf").arrays
    np.testing.assert_array_equal(found["f32"].read(), x)
    np.testing.assert_array_equal(found["f16"].read(), x.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(found["bf16"].read(), x)
    assert found["empty"].read().shape == (0,)
    assert found["scalar"].read() == 3


def test_metadata(tmp_path):
    values = [(key, kind, struct.pack(f"<{code}", 1)) for key, (kind, code) in SCALARS.items()]
    values.append(("text", 8, text("zwölf")))
    values.append(("numbers", 9, struct.pack("<IQ3f", 6, 3, 1, 2, 3)))
    values.append(("texts", 9, struct.pack("<IQ", 8, 2) + text("a") + text("")))
    values.append(("general.alignment", 4, struct.pack("<I", 64)))
    arrays = [("w", (2,), 0, np.float32([1, 2]).tobytes())]
    for version in (2, 3):
        (tmp_path / "m.gguf").write_bytes(gguf(values, arrays, 64, version))
        found = read_gguf(tmp_path / "m.gguf")
        assert found.metadata == {
            **dict.fromkeys(SCALARS, 1),
            "text": "zwölf",
            "numbers": [1, 2, 3],
            "texts": ["a", ""],
            "general.alignment": 64,
        }
        np.testing.assert_array_equal(found.arrays["w"].read(), [1, 2])


HUGE = struct.pack("<Q", 2**62)
GOOD = gguf(
    [("a", 8, text("b")), ("c", 9, struct.pack("<IQ2i", 5, 2, 1, 2))],
    [("w", (2, 32), 8, bytes(68)), ("v", (3,), 0, bytes(12))],
)
DAMAGES = {
    "empty": (b"", "mmap an empty file"),
    "another format": (b"PK\3\4" + GOOD[4:], "does not begin with GGUF"),
    "version": (GOOD[:4] + struct.pack("<I", 9) + GOOD[8:], "its version is 9, known are"),
    "cut": (GOOD[:-40], "is the file complete"),
    "cut in the metadata": (GOOD[:30], "bytes are wanted|bytes left"),
    "many arrays": (GOOD[:8] + HUGE + GOOD[16:], r"claims 4611686018427387904 values"),
    "many values": (GOOD[:16] + HUGE + GOOD[24:], r"claims 4611686018427387904 values"),
    "a long text": (gguf([("a", 8, HUGE)]), "claims 4611686018427387904 values"),
    "a long array": (gguf([("a", 9, struct.pack("<I", 5) + HUGE)]), "claims 46116860184273879"),
    "texts": (gguf([("a", 9, struct.pack("<I", 8) + HUGE)]), "claims 4611686018427387904"),
    "arrays of arrays": (
        gguf([("a", 9, struct.pack("<IQ", 9, 1))]),
        "values of the unknown type 9",
    ),
    "type of a value": (gguf([("a", 77, b"")]), "a value has the unknown type 77"),
    "twice": (gguf([("a", 7, b"\1")] * 2), "the key 'a' occurs twice"),
    "two arrays": (gguf(arrays=[("w", (1,), 0, bytes(4))] * 2), "two arrays have one name"),
    "K": (gguf(arrays=[("w", (256,), 12, bytes(144))]), "'w' is Q4_K, which is not supported"),
    "type": (gguf(arrays=[("w", (256,), 99, bytes(144))]), "'w' is type 99, which is not"),
    "rows": (gguf(arrays=[("w", (2, 16), 8, bytes(34))]), "'w' has rows of 16 numbers in Q8_0"),
    "axes": (gguf(arrays=[("w", (1,) * 5, 0, bytes(4))]), "'w' has 5 axes"),
    "shape": (gguf(arrays=[("w", (2**40, 2**40), 0, bytes(4))]), "is the file complete"),
    "UTF-8": (gguf([("a", 8, struct.pack("<Q", 1) + b"\xff")]), "can't decode"),
    "alignment": (gguf([("general.alignment", 4, bytes(4))]), "general.alignment is 0"),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_file(tmp_path, damage):
    content, message = DAMAGES[damage]
    (tmp_path / "m.gguf").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=message) as caught:
            read_gguf(tmp_path / "m.gguf")
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert "m.gguf is not a GGUF file, or damaged" in str(caught.value)


def test_mutations(tmp_path):
    """Any damage gives a file or one error; FASTNN_MUTATIONS=10000 for a long run."""
    rng = np.random.default_rng(0)
    for _ in range(int(os.environ.get("FASTNN_MUTATIONS", "500"))):
        content = bytearray(GOOD)
        for _ in range(rng.integers(1, 5)):
            content[rng.integers(len(content))] = rng.integers(256)
        if rng.random() < 0.2:
            content = content[: rng.integers(len(content))]
        (tmp_path / "m.gguf").write_bytes(content)
        try:
            found = read_gguf(tmp_path / "m.gguf")
        except ModelFileError:
            continue
        with np.errstate(all="ignore"):
            for array in found.arrays.values():
                assert array.read().shape == array.shape
