"""`fit(precision="bf16")`: what it learns, what a checkpoint keeps, and what is refused."""

import warnings

import numpy as np
import pytest

import fastnn
from fastnn import data, kernels, models, nn
from fastnn.train import ModelCheckpoint, fit

from .runs import EndAt, new_model, run
from .test_fit import blobs

# the warning of a CPU without products of bfloat16 has a test of its own
pytestmark = pytest.mark.filterwarnings("ignore:precision='bf16':RuntimeWarning")


def weights_of(found):
    return found[0]


def test_it_learns_as_float32_does():
    x, y = data.load_digits(split="train")
    test = data.load_digits(split="test")
    accuracy = {}
    for precision in ("float32", "bf16"):
        model = nn.MLP((64, 32, 10), rng=0)
        how = {"optimizer": "adam", "epochs": 12, "seed": 0, "verbose": 0}
        history = fit(model, x, y, precision=precision, validation_data=test, **how)
        accuracy[precision] = history.history["val_accuracy"][-1]
        assert model.parameters().dtype == np.float32
    assert min(accuracy.values()) > 0.93
    assert abs(accuracy["float32"] - accuracy["bf16"]) <= 0.012


def test_off_by_default():
    expected = weights_of(run())
    np.testing.assert_array_equal(weights_of(run(precision="float32")), expected)
    assert not np.array_equal(weights_of(run(precision="bf16")), expected)


@pytest.mark.parametrize("named", [True, False])
def test_a_run_goes_on_bit_by_bit_and_keeps_the_precision(tmp_path, named):
    expected = run(precision="bf16")
    path = tmp_path / "run.safetensors"
    with pytest.raises(EndAt.Killed):
        run(path, save_freq=3, callbacks=[EndAt(11)], precision="bf16")
    found = run(path, resume=path, **({"precision": "bf16"} if named else {}))
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


def test_a_resumed_run_may_change_it(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(EndAt.Killed):
        run(path, save_freq=3, callbacks=[EndAt(11)], precision="bf16")
    bf16 = weights_of(run(precision="bf16"))
    changed = weights_of(run(path, resume=path, precision="float32"))
    assert not np.array_equal(changed, bf16)


def test_files_of_float32_runs_are_as_before(tmp_path):
    for name, how in (("a", {}), ("b", {"precision": "float32"})):
        run(tmp_path / name, epochs=1, **how)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_language_model_learns(tmp_path):
    ids = np.tile(np.arange(7), 60)
    losses = {}
    for precision in ("float32", "bf16"):
        model = models.TransformerLM(7, 16, 2, 1, 8, rng=0)
        batches = data.windows(ids, 8, 4)
        how = {"optimizer": "adam", "epochs": 6, "verbose": 0, "precision": precision}
        losses[precision] = model.fit(batches, **how).history["loss"][-1]
    assert losses["float32"] < 1
    assert losses["bf16"] == pytest.approx(losses["float32"], abs=0.02)


def test_refusals_change_nothing():
    x, y = blobs(20)
    model = new_model()
    before = model.parameters().data.copy()
    with pytest.raises(ValueError, match="precision must be None, 'float32' or 'bf16'"):
        fit(model, x, y, optimizer="sgd", precision="bfloat16")
    np.testing.assert_array_equal(model.parameters().data, before)
    wide = nn.MLP((2, 3), rng=0, dtype=np.float64)
    with pytest.raises(TypeError, match="precision 'bf16' needs a model of float32, not float64"):
        fit(wide, x.astype(float), y, optimizer="sgd", precision="bf16")


def test_a_cpu_without_such_products_is_named(monkeypatch):
    x, y = blobs(20)
    how = {"optimizer": "sgd", "verbose": 0, "precision": "bf16"}
    for isa, warned in (("avx2", 1), ("avx512bf16", 1), ("avx512amx", 0)):
        info = kernels.build_info() | {"isa": isa}
        monkeypatch.setattr(kernels, "build_info", lambda info=info: info)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            fit(new_model(), x, y, **how)
        assert len([w for w in found if "no fast products of bfloat16" in str(w.message)]) == warned
        assert all(w.filename == __file__ for w in found)


def test_checkpoints_of_a_callback_say_it(tmp_path):
    x, y = blobs(20)
    path = tmp_path / "run"
    how = {"optimizer": "sgd", "verbose": 0, "precision": "bf16"}
    fit(new_model(), x, y, callbacks=ModelCheckpoint(path), **how)
    found = fastnn.train.load_checkpoint(path, new_model())
    assert found.extra["precision"] == "bf16"
