"""What a checkpoint holds, and what it cannot."""

import os

import numpy as np
import pytest
import safetensors.numpy

import fastnn
from fastnn import load, nn, optim
from fastnn.train import Checkpoint, History, load_checkpoint, save_checkpoint

from .runs import run


def test_any_number_of_threads_gives_the_same_file(tmp_path, n_threads):
    run(tmp_path / "many", epochs=1)
    with fastnn.num_threads(1):
        run(tmp_path / "one", epochs=1)
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()


def test_save_and_load_by_hand(tmp_path, real):
    model = nn.MLP((3, 4, 2), dtype=real, rng=0)
    optimizer = optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad[...] = 0.5
    optimizer.step()
    rng = np.random.default_rng(3)
    rng.random(5)
    history = History({"loss": [1.0, 0.1], "accuracy": [0.25, float("nan")]}, [0, 1])
    extra = {"note": "a", "none": None, "list": [1, 2.5, {"array": np.arange(3)}], "big": 2**70}
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, model, optimizer, epoch=2, step=7, rng=rng, history=history, extra=extra)
    twin = nn.MLP((3, 4, 2), dtype=real, rng=1)
    other, rng2 = optim.Adam(twin.parameters(), lr=0.5), np.random.default_rng()
    found = load_checkpoint(path, twin, other, rng=rng2)
    assert (found.epoch, found.step, found.history.epoch) == (2, 7, [0, 1])
    np.testing.assert_equal(found.history.history, history.history)
    np.testing.assert_equal(found.extra, extra)
    np.testing.assert_array_equal(twin.parameters().data, model.parameters().data)
    np.testing.assert_equal(other.state_dict(), optimizer.state_dict())
    assert rng2.random() == rng.random()
    assert type(load(path)) is nn.MLP
    np.testing.assert_array_equal(load(path).parameters().data, model.parameters().data)
    names = set(safetensors.numpy.load_file(path)) - set(model.state())
    assert names == {"run/optimizer/m", "run/optimizer/v", "run/extra/list/2/array"}
    save_checkpoint(path, model)
    assert load_checkpoint(path, twin) == Checkpoint()


@pytest.mark.parametrize(
    "kind", [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox]
)
def test_every_kind_of_generator(tmp_path, kind):
    rng, again = (np.random.Generator(kind(seed)) for seed in (1, 2))
    rng.normal(size=7)
    save_checkpoint(tmp_path / "run", nn.ReLU(), rng=rng)
    load_checkpoint(tmp_path / "run", nn.ReLU(), rng=again)
    np.testing.assert_array_equal(again.normal(size=9), rng.normal(size=9))


def test_what_a_checkpoint_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match="run/extra/f: a checkpoint cannot hold"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"f": print})
    with pytest.raises(TypeError, match="complex128"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"z": np.zeros(2, complex)})
    assert os.listdir(tmp_path) == []


def test_keys_that_a_checkpoint_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match="str for keys, not 1"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"a": {1: 2}})
    twice = {"a": {"b": np.zeros(2)}, "a/b": np.ones(2)}
    with pytest.raises(ValueError, match=r"two arrays .* 'run/extra/a/b'"):
        save_checkpoint(tmp_path / "run", nn.ReLU(), extra=twice)
    assert os.listdir(tmp_path) == []
