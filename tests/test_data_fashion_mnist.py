"""Fashion-MNIST: the IDX format, where the files are looked for, and their download."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import struct
import sys
import threading

import numpy as np
import pytest

from fastnn.data import DownloadError, IdxError, fashion_mnist, load_fashion_mnist, read_idx
from fastnn.data.download import download

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array):
    """The bytes of an IDX file."""
    code = CODES[array.dtype.str[1:]]
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, code, array.ndim]) + shape + big_endian.tobytes()


def small_data(n_train=7, n_test=3):
    """Name -> content of four small files, the images and the labels."""
    rng = np.random.default_rng(0)
    files, arrays = {}, {}
    for prefix, n in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), np.uint8)
        labels = rng.integers(0, 10, n, np.uint8)
        arrays[prefix] = images, labels
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx(images), mtime=0)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels), mtime=0)
    return files, arrays


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path, monkeypatch):
    """No folder of this computer has the data, and nothing is downloaded from afar."""
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(fashion_mnist, "ADDRESS", "http://127.0.0.1:9/")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", CODES)
def test_read_idx(tmp_path, dtype, compressed):
    for shape in [(), (0,), (5,), (3, 0, 2), (2, 3, 4)]:
        array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        content = idx(array)
        (tmp_path / "x").write_bytes(gzip.compress(content, mtime=0) if compressed else content)
        found = read_idx(tmp_path / "x")
        assert found.dtype == array.dtype and found.dtype.isnative
        np.testing.assert_array_equal(found, array)


GOOD = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not an IDX file: it begins with b''"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x89PNG\r\n", r"not an IDX file: it begins with b'\\x89PNG'"),
        (b"\0\0\x0a\x01" + GOOD[4:], "not an IDX file"),
        (b"\0\0\x08\xff" + GOOD[4:], "255 axes; at most 32"),
        (GOOD[:9], "truncated in its header"),
        (GOOD[:-1], r"truncated: shape \(3, 4\) needs 12 bytes, got 11"),
        (GOOD + b"\0", r"trailing bytes: shape \(3, 4\) needs only 12"),
        # claims 2^64 bytes: must be refused without taking them
        (b"\0\0\x08\x02" + b"\xff" * 8 + b"abc", "truncated: .* got 3"),
        (gzip.compress(GOOD, mtime=0)[:-4], "damaged gzip stream"),
        (gzip.compress(GOOD, mtime=0)[:15], "damaged gzip stream"),
        (b"\x1f\x8bnonsense", "damaged gzip stream"),
        (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "damaged gzip stream"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(IdxError, match=message) as caught:
        read_idx(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: ")


@pytest.mark.parametrize("compressed", [False, True])
def test_load(tmp_path, real, compressed):
    files, arrays = small_data()
    if not compressed:
        files = {name[:-3]: gzip.decompress(content) for name, content in files.items()}
    write(tmp_path / "root", files)
    parts = {"train": ["train"], "test": ["t10k"], None: ["train", "t10k"]}
    for split, prefixes in parts.items():
        x, y = load_fashion_mnist(tmp_path / "root", split=split, dtype=real)
        images = np.concatenate([arrays[prefix][0] for prefix in prefixes])
        labels = np.concatenate([arrays[prefix][1] for prefix in prefixes])
        assert x.dtype == real and y.dtype == np.int64
        np.testing.assert_array_equal(x, images.reshape(-1, 784).astype(real) / real(255))
        np.testing.assert_array_equal(y, labels)


def test_where_the_files_are_looked_for(tmp_path, monkeypatch):
    """Each folder in turn hides those after it."""
    data = tmp_path / "data"
    monkeypatch.setenv("FASTNN_DATA", str(data))
    places = [tmp_path / "cache/fastnn/fashion-mnist", tmp_path / "debian"]
    places += [data / "fashion-mnist", data]
    for n, place in enumerate(places, start=1):
        write(place, small_data(n_test=n)[0])
        assert len(load_fashion_mnist(split="test", download=False)[1]) == n
    (data / "t10k-labels-idx1-ubyte.gz").unlink()  # an incomplete folder is passed over
    assert len(load_fashion_mnist(split="test", download=False)[1]) == 3
    write(tmp_path / "root", small_data(n_test=9)[0])
    assert len(load_fashion_mnist(tmp_path / "root", split="test")[1]) == 9
    monkeypatch.setenv("FASTNN_DATA", "")
    assert len(load_fashion_mnist(split="test", download=False)[1]) == 2


def test_missing_files_name_the_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"debian, .*cache/fastnn/fashion-mnist"):
        load_fashion_mnist(download=False)
    with pytest.raises(FileNotFoundError, match=r"any of: .*/nowhere$"):
        load_fashion_mnist(tmp_path / "nowhere", download=False)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("t10k-images-idx3-ubyte", np.zeros((3, 28, 27), np.uint8), r"uint8 \(3, 28, 27\) where"),
        ("t10k-images-idx3-ubyte", np.zeros((3, 28, 28), np.int32), "int32 .* where pictures"),
        ("t10k-labels-idx1-ubyte", np.zeros(4, np.uint8), r"uint8 \(4,\) where the labels of 3"),
        ("t10k-labels-idx1-ubyte", np.array([1, 10, 2], np.uint8), "label 10 of picture 1"),
    ],
)
def test_files_that_hold_something_else(tmp_path, name, array, message):
    files = small_data()[0]
    del files[f"{name}.gz"]
    write(tmp_path, {**files, name: idx(array)})
    with pytest.raises(IdxError, match=message) as caught:
        load_fashion_mnist(tmp_path, split="test")
    assert str(caught.value).startswith(str(tmp_path / name))


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="'valid'"):
        load_fashion_mnist(tmp_path, split="valid")
    with pytest.raises(TypeError, match="float16"):
        load_fashion_mnist(tmp_path, dtype=np.float16)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on this computer, and the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    (tmp_path / "site").mkdir()
    handler = functools.partial(Handler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(fashion_mnist, "ADDRESS", f"http://127.0.0.1:{running.server_port}/")
        yield tmp_path / "site", asked
        running.shutdown()
        thread.join()


def with_checksums(monkeypatch, files):
    checksums = {name: hashlib.md5(files[name]).hexdigest() for name in fashion_mnist.MD5}
    monkeypatch.setattr(fashion_mnist, "MD5", checksums)


def test_download(tmp_path, monkeypatch, server):
    site, asked = server
    files, arrays = small_data()
    write(site, files)
    with_checksums(monkeypatch, files)
    _, y = load_fashion_mnist(split="test")
    cached = tmp_path / "cache/fastnn/fashion-mnist"
    np.testing.assert_array_equal(y, arrays["t10k"][1])
    assert sorted(p.name for p in cached.iterdir()) == [n for n in sorted(files) if "t10k" in n]
    assert len(asked) == 2
    load_fashion_mnist(split="test")
    assert len(asked) == 2  # from the cache
    assert len(load_fashion_mnist()[1]) == 10 and len(asked) == 4  # only what was missing
    load_fashion_mnist(tmp_path / "root")
    assert len(asked) == 8 and sorted(p.name for p in (tmp_path / "root").iterdir()) == sorted(
        files
    )
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "data"))
    (cached / "train-labels-idx1-ubyte.gz").unlink()
    load_fashion_mnist(split="train")
    assert (tmp_path / "data/fashion-mnist/train-labels-idx1-ubyte.gz").exists()


def test_a_wrong_checksum_leaves_nothing(tmp_path, monkeypatch, server):
    site, _ = server
    files = small_data()[0]
    with_checksums(monkeypatch, files)
    write(site, {name: content + b"!" for name, content in files.items()})
    with pytest.raises(
        DownloadError, match=r"train-images.* has the MD5 checksum [0-9a-f]{32}, ex"
    ):
        load_fashion_mnist(tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_downloads_that_fail(tmp_path, monkeypatch, server):
    with pytest.raises(DownloadError, match=r"cannot download http://.*gz: (?i:File not found)"):
        load_fashion_mnist(tmp_path / "root")
    monkeypatch.setattr(fashion_mnist, "ADDRESS", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/train-images.*refused"):
        load_fashion_mnist(tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        load_fashion_mnist(tmp_path / "file")


def test_a_connection_that_breaks_off(tmp_path, monkeypatch, server):
    def half(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(500))

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "do_GET", half)
    target = tmp_path / "root" / "file"
    with pytest.raises(DownloadError, match="file"):
        download(fashion_mnist.ADDRESS + "file", target, "0" * 32)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_sees_the_progress(tmp_path, monkeypatch, server, has_rich):
    if has_rich:
        pytest.importorskip("rich")
    site, _ = server
    (site / "file").write_bytes(b"content")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    checksum = hashlib.md5(b"content").hexdigest()
    download(fashion_mnist.ADDRESS + "file", tmp_path / "file", checksum)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert "downloading file" in sys.stderr.getvalue()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are those of POSIX")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_idx_file_comes_from_a_pipe(tmp_path, pack):
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    os.mkfifo(tmp_path / "pipe")
    content = pack(idx(array))
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    np.testing.assert_array_equal(read_idx(tmp_path / "pipe"), array)
    writer.join()


def test_a_user_without_a_home_folder(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(fashion_mnist.Path, "home", no_home)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "absent")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="set FASTNN_DATA, or give root"):
        load_fashion_mnist(download=False)
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"in any of: {tmp_path}"):
        load_fashion_mnist(download=False)
