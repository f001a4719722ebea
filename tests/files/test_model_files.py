"""Model files: round trips, atomic writes, and every kind of broken file."""

import json
import os
import stat
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

import fastnn.files.atomic
from fastnn import nn
from fastnn.files import ModelFileError, load, save
from fastnn.files.atomic import check_writable, write_atomically
from fastnn.models import Seq2SeqTransformer, TransformerLM
from fastnn.nn.positional import MOST_POSITIONS


@pytest.mark.parametrize(
    "make",
    [
        lambda real: nn.MLP((5, 4, 3), dtype=real, rng=0),
        lambda real: nn.Linear(5, 3, bias=False, activation="relu", dtype=real, rng=0),
        lambda real: nn.Sequential(nn.MLP((5, 6), dtype=real, rng=0), nn.ReLU(), nn.Softmax()),
        lambda real: nn.Sequential(nn.ReLU()),
        lambda real: nn.Sequential(nn.MLP((5, 4), "silu", dtype=real, rng=0), nn.GELU("tanh")),
        lambda real: nn.Sequential(
            nn.PReLU(5, init=0.1, dtype=real), nn.LeakyReLU(), nn.Softplus()
        ),
    ],
)
def test_round_trip(make, real, tmp_path):
    model = make(real)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert type(again) is type(model) and again.config() == model.config()
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(real)
    np.testing.assert_array_equal(again(x), model(x))


def test_a_model_saves_itself(tmp_path):
    model = nn.MLP((5, 4, 3), rng=0)
    model.save(tmp_path / "a", metadata={"for": "a test"})
    save(model, tmp_path / "b", metadata={"for": "a test"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(OSError, match="nowhere"):
        model.save(tmp_path / "nowhere" / "a")


def test_a_shared_layer_stays_shared(tmp_path):
    shared = nn.Linear(3, 3, rng=0)
    save(nn.Sequential(shared, nn.ReLU(), shared), tmp_path / "model")
    again = load(tmp_path / "model")
    assert again[0] is again[2] and len(again.parameters()) == 2


def test_any_safetensors_reader_sees_the_arrays(tmp_path):
    model = nn.MLP((5, 4, 3), rng=0)
    save(model, tmp_path / "model.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert arrays.keys() == model.state().keys()
    for name, array in model.state().items():
        np.testing.assert_array_equal(arrays[name], array)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = nn.MLP((5, 4, 3), rng=0)
    save(model, tmp_path / "a")
    save(load(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    class Doubled(nn.Linear):
        def config(self):
            return super().config() | {"type": "Doubled"}

    shared = nn.Linear(3, 3, rng=0)
    across = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared))
    for model, message in ((Doubled(2, 2), "'Doubled'"), (across, "does not describe all")):
        with pytest.raises(ValueError, match=message):
            save(model, tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save(nn.MLP((5, 4, 3), rng=0), path)
    return path


def rewrite(path, *, change=None, metadata=None, config=None):
    """The file again with other arrays, other metadata or another config."""
    arrays = safetensors.numpy.load_file(path) | (change or {})
    arrays = {name: array for name, array in arrays.items() if array is not None}
    if metadata is None:
        described = {"version": 1, "model": config or nn.MLP((5, 4, 3)).config()}
        metadata = {"fastnn": json.dumps(described)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata=metadata))


def refuse(path, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_truncated_at_any_point(saved):
    content = saved.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    for length in (0, 1, 7, 8, 9, header_length, 8 + header_length, len(content) - 1):
        saved.write_bytes(content[:length])
        refuse(saved, "not a safetensors file, or damaged")


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(256)) * 8,
        b"\xff" * 64,
        (2**63 - 1).to_bytes(8, "little") + b"{}",
        (10**8 - 1).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        b"PK\x03\x04" + b"\0" * 100,
    ],
)
def test_something_else_altogether(content, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(content)
    refuse(path, "not a safetensors file, or damaged")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1.bias": None}, r"missing arrays \['1\.bias'\]"),
        ({"2.bias": np.zeros(3, np.float32)}, r"unexpected \['2\.bias'\]"),
        ({"1.bias": np.zeros(4, np.float32)}, r"'1\.bias' is float32 \(4,\).* float32 \(3,\)"),
        ({"1.bias": np.zeros(3)}, r"'1\.bias' is float64 \(3,\)"),
        ({"1.bias": np.zeros(3, np.int32)}, r"'1\.bias' is int32 \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_the_model(saved, change, message):
    rewrite(saved, change=change)
    refuse(saved, message)


MLP = nn.MLP((5, 4, 3), rng=0).config()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not written by fastnn"),
        ({"format": "pt"}, "not written by fastnn"),
        ({"fastnn": "{"}, "holds no model"),
        ({"fastnn": "[" * 100_000}, "holds no model"),
        ({"fastnn": "7"}, "malformed"),
        ({"fastnn": json.dumps({"version": 1})}, "malformed"),
        ({"fastnn": json.dumps({"version": 3, "model": MLP})}, "version 3 of the format"),
    ],
)
def test_metadata_that_are_not_ours(saved, metadata, message):
    rewrite(saved, metadata=metadata)
    refuse(saved, message)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MLP | {"sizes": [5, 4, 4]}, r"1\.(weight|bias)"),
        (MLP | {"sizes": [10**9, 10**9]}, "missing|needs"),
        (MLP | {"sizes": [5, 4.0, "3"]}, "needs"),
        (MLP | {"activation": "__import__('os')"}, "activation"),
        (MLP | {"dtype": "float64"}, "float64"),
        (MLP | {"dtype": "object"}, "object"),
        ({"type": "os.system"}, "unknown type"),
    ],
)
def test_configs_that_do_not_fit_the_arrays(saved, config, message):
    rewrite(saved, config=config)
    refuse(saved, message)


POSITIONS = nn.PositionalEncoding(4, 9, rng=0)
LM = TransformerLM(5, 4, 1, 1, 9, position="rotary", rng=0)
SEQ2SEQ = Seq2SeqTransformer(5, d_model=4, n_heads=1, n_layers=1, max_len=9, rng=0)


@pytest.mark.parametrize("model", [POSITIONS, LM, SEQ2SEQ], ids=lambda m: type(m).__name__)
def test_a_file_of_many_positions_takes_no_memory_for_them(model, tmp_path):
    path = tmp_path / "model"
    save(model, path)
    rewrite(path, config=model.config() | {"max_len": 10**9})
    refuse(path, "max_len must be from 1 to")
    wide = {"d_model": 10**9} if model is POSITIONS else {}
    rewrite(path, config=model.config() | {"max_len": MOST_POSITIONS} | wide)
    tracemalloc.start()
    try:
        load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # its table of positions has at least 16 MB


def test_a_missing_file_and_a_directory_are_the_systems_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_a_failure_while_writing_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("the disk is full")

    for name in ("fsync", "replace", "chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(fastnn.files.atomic.os, name, fail)
            with pytest.raises(OSError, match="the disk is full"):
                save(nn.MLP((2, 2), rng=0), saved)
        assert saved.read_bytes() == before
        assert os.listdir(saved.parent) == [saved.name]


def test_the_bytes_are_on_the_disk_before_they_take_the_place(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            fastnn.files.atomic.os,
            name,
            lambda *args, name=name, real=real: (calls.append(name), real(*args)),
        )
    write_atomically(tmp_path / "file", b"content")
    assert calls == ["fsync", "replace"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_permissions_are_those_of_a_plain_open(tmp_path):
    old_umask = os.umask(0o027)
    try:
        (tmp_path / "plain").write_bytes(b"")
        write_atomically(tmp_path / "new", b"")
        (tmp_path / "old").write_bytes(b"")
        os.chmod(tmp_path / "old", 0o604)
        write_atomically(tmp_path / "old", b"")
    finally:
        os.umask(old_umask)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "new", "old")]
    assert modes == [0o640, 0o640, 0o604]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and devices are those of POSIX")
def test_links_are_followed_and_devices_refused(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"
    for write in (check_writable, lambda path: write_atomically(path, b"")):
        with pytest.raises(OSError, match="Not a regular file"):
            write(os.devnull)
        with pytest.raises(IsADirectoryError):
            write(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"No such file .*nowhere"):
            write(tmp_path / "nowhere" / "file")
    check_writable(tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_a_subclass_is_not_saved_as_its_parent(tmp_path):
    class Negated(nn.Linear):
        def __call__(self, x):
            return -super().__call__(x)

    for model in (Negated(2, 2), nn.Sequential(nn.Residual(Negated(2, 2)))):
        with pytest.raises(ValueError, match="your own class Negated"):
            save(model, tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("metadata", "error"),
    [({"a": 1}, TypeError), ({1: "a"}, TypeError), ({"fastnn.run": "{}"}, ValueError)],
)
def test_metadata_that_are_refused(metadata, error, tmp_path):
    with pytest.raises(error, match="metadata"):
        save(nn.ReLU(), tmp_path / "model", metadata=metadata)
    assert os.listdir(tmp_path) == []


def test_a_probability_that_was_set_to_an_integer(tmp_path):
    layer = nn.Dropout(0.5)
    layer.p = 0
    save(layer, tmp_path / "model")
    assert load(tmp_path / "model").p == 0


def test_an_interrupt_at_any_moment_leaves_nothing_behind(tmp_path, monkeypatch):
    for name in ("open", "fsync", "replace"):
        real = getattr(os, name)

        def press(*args, real=real):
            real(*args)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(fastnn.files.atomic.os, name, press)
            with pytest.raises(KeyboardInterrupt):
                write_atomically(tmp_path / "file", b"content")
        assert os.listdir(tmp_path) == (["file"] if name == "replace" else [])
