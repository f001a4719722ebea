"""Checkpoints that are refused and change nothing: damaged, foreign, of another model."""

import json

import numpy as np
import pytest
import safetensors.numpy

import fastnn
from fastnn import models, nn, optim
from fastnn.files import ModelFileError
from fastnn.train import fit, load_checkpoint, save_checkpoint

from .runs import new_model, new_optimizer, run
from .test_fit import blobs


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.safetensors"
    run(path, epochs=1)
    return path


def refuse(path, message, make=None):
    """`load_checkpoint` and `fit` refuse the file and change nothing."""
    model = (make or new_model)()
    optimizer, rng = new_optimizer(model), np.random.default_rng(1)
    before = model.parameters().data.copy(), optimizer.state_dict(), rng.bit_generator.state
    calls = model.random_state()
    for call in (
        lambda: load_checkpoint(path, model, optimizer, rng=rng),
        lambda: fit(model, *blobs(9), optimizer=optimizer, seed=rng, resume=path, verbose=0),
    ):
        with pytest.raises(ModelFileError, match=message) as caught:
            call()
        assert str(path) in str(caught.value)
        np.testing.assert_array_equal(model.parameters().data, before[0])
        np.testing.assert_equal(optimizer.state_dict(), before[1])
        assert rng.bit_generator.state == before[2] and model.random_state() == calls


def test_truncated_at_any_point(saved):
    content = saved.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    for length in (0, 7, 8, header_length, 8 + header_length, len(content) - 1):
        saved.write_bytes(content[:length])
        refuse(saved, "not a safetensors file, or damaged")


def test_another_model_or_none(saved, tmp_path):
    refuse(saved, "missing arrays", lambda: nn.MLP((2, 16, 16, 3), rng=0))
    refuse(saved, "needs float32", other_sizes)
    fastnn.save(new_model(), tmp_path / "model")
    refuse(tmp_path / "model", "not hold a training run")
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "nowhere", new_model())


def other_sizes():
    return nn.Sequential(nn.Linear(2, 8, rng=0), nn.Dropout(0.2), nn.Linear(8, 3, rng=1))


def test_another_optimizer_or_generator(saved):
    model = new_model()
    before = model.parameters().data.copy(), model.random_state()
    rng = np.random.Generator(np.random.MT19937(0))
    for options, message in (
        ({"optimizer": optim.SGD(model.parameters(), lr=0.1)}, "not one of SGD"),
        ({"rng": rng}, "MT19937"),
    ):
        with pytest.raises(ModelFileError, match=message):
            load_checkpoint(saved, model, **options)
        np.testing.assert_array_equal(model.parameters().data, before[0])
        assert model.random_state() == before[1]
    save_checkpoint(saved, model)
    refuse(saved, "saved without (rng|optimizer)")


def rewrite(path, change):
    """The file again with its description of the run changed."""
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    run = json.loads(metadata["fastnn.run"])
    state = dict(run["state"]["dict"])
    run = change(run, state) or run
    if isinstance(run, dict) and "state" in run and isinstance(run["state"], dict):
        run["state"] = {"dict": [[key, value] for key, value in state.items()]}
    path.write_bytes(
        safetensors.numpy.save(arrays, metadata=metadata | {"fastnn.run": json.dumps(run)})
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda run, state: [1],
        lambda run, state: run.pop("epoch") and None,
        lambda run, state: run.update(version=2),
        lambda run, state: run.update(epoch=-1),
        lambda run, state: run.update(step=True),
        lambda run, state: run.update(state=[]),
        lambda run, state: run.update(state=3),
        lambda run, state: state.pop("rng") and None,
        lambda run, state: state.update(rng=None),
        lambda run, state: state.update(rng=7),
        lambda run, state: state.update(rng={"dict": [["bit_generator", "PCG64"]]}),
        lambda run, state: state.update(optimizer=[]),
        lambda run, state: state.update(optimizer={"dict": [["steps", 1]]}),
        lambda run, state: state.update(optimizer={"dict": 3}),
        lambda run, state: state.update(optimizer={}),
        lambda run, state: state.update(optimizer={"array": "0.weight"}),
        lambda run, state: state.update(optimizer={"array": "run/nowhere"}),
        lambda run, state: state.update(random=[]),
        lambda run, state: state.update(random={"dict": []}),
        lambda run, state: state.update(history=[]),
        lambda run, state: state.update(history={"dict": [["epoch", ["a"]], ["history", []]]}),
        lambda run, state: state.update(extra=[]),
    ],
)
def test_descriptions_that_are_malformed(saved, change):
    rewrite(saved, change)
    refuse(saved, "run.safetensors")


@pytest.mark.parametrize(
    "extra",
    [
        {"means": {"loss": 1.0}},
        {"means": [1]},
        {"callbacks": {"EarlyStopping.0": {}}},
        {"callbacks": [1]},
    ],
)
def test_a_run_of_somebody_else(tmp_path, extra):
    model = new_model()
    path = tmp_path / "run"
    optimizer = new_optimizer(model)
    save_checkpoint(path, model, optimizer, rng=np.random.default_rng(), extra=extra)
    with pytest.raises(ModelFileError, match="holds no run of fit"):
        run(resume=path)


LM = {"vocab_size": 7, "d_model": 8, "n_heads": 2, "n_layers": 1, "max_len": 4, "rng": 0}


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (lambda v: nn.MLP((4, 4, 4), v, rng=0), "activation", ("relu", "tanh")),
        (
            lambda v: nn.Sequential(nn.Linear(4, 4, rng=0), nn.GELU(v)),
            "approximate",
            (None, "tanh"),
        ),
        (lambda v: nn.Sequential(nn.Linear(4, 4, rng=0), nn.LeakyReLU(v)), "slope", (0.1, 0.2)),
        (lambda v: nn.LayerNorm(4, v), "eps", (1e-5, 1e-3)),
        (lambda v: nn.RMSNorm(4, v), "eps", (1e-5, 1e-3)),
        (lambda v: nn.MultiHeadAttention(8, v, rng=0), "n_heads", (2, 4)),
        (lambda v: nn.EncoderBlock(8, 2, 4, norm_first=v, rng=0), "norm_first", (True, False)),
        (lambda v: nn.TransformerEncoder(2, 8, 2, 4, eps=v, rng=0), "eps", (1e-5, 1e-6)),
        (lambda v: models.TransformerLM(**LM | {"n_heads": v}), "n_heads", (2, 4)),
        (lambda v: models.TransformerLM(**LM, activation=v), "activation", ("gelu", "gelu_tanh")),
        (
            lambda v: models.Seq2SeqTransformer(7, None, 8, 2, 1, scale_embedding=v, rng=0),
            "scale_embedding",
            (True, False),
        ),
    ],
)
def test_a_model_of_the_same_shapes_and_another_config(tmp_path, make, name, values):
    """Both ways; and the same config is taken."""
    path = tmp_path / "run"
    for before, now in (values, values[::-1]):
        model = make(before)
        save_checkpoint(path, model, new_optimizer(model))
        other, twin = make(now), make(before)
        kept = other.parameters().data.copy()
        optimizer = new_optimizer(other)
        with pytest.raises(ModelFileError, match=rf"{name} = {before!r}, .* has {now!r}"):
            load_checkpoint(path, other, optimizer)
        np.testing.assert_array_equal(other.parameters().data, kept)
        load_checkpoint(path, twin, new_optimizer(twin))
