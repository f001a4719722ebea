"""Frozen models with weights of 16 and 8 bits."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn

FORMATS = ("bf16", "int8", "int8_g32")
WORST = {"bf16": 0.02, "int8": 0.08, "int8_g32": 0.05}  # relative to the largest output


def close(a, b, format):
    return np.abs(a - b).max() <= WORST[format] * np.abs(b).max()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rows", [1, 3, 70, 300])
def test_mlp(format, rows):
    model = nn.MLP((40, 130, 30), rng=0)
    x = np.random.default_rng(1).standard_normal((rows, 40)).astype(np.float32)
    plan = model.freeze(weights=format)
    y = plan(x)
    assert close(y, model(x), format) and not np.array_equal(y, model(x))
    assert plan.nbytes < 0.8 * model.freeze().nbytes
    (w1, b1), (w2, b2) = [(m.weight.data, m.bias.data) for m in model if isinstance(m, nn.Linear)]
    hidden = fastnn.matmul(x, fastnn.pack(w1, format), bias=b1, activation="relu")
    np.testing.assert_array_equal(y, fastnn.matmul(hidden, fastnn.pack(w2, format), bias=b2))


@pytest.mark.parametrize("format", FORMATS)
def test_same_bits_at_any_number_of_threads(format):
    plan = nn.MLP((64, 256, 256, 10), rng=0).freeze(weights=format)
    x = np.random.default_rng(1).standard_normal((600, 64)).astype(np.float32)
    found = set()
    for threads in (1, 2, 3, 8):
        with fastnn.num_threads(threads):
            found.add(plan(x).tobytes())
    # strips of few rows and of many may differ where activations are rounded, strips alone do not
    assert len(found) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_language_model_steps_as_it_reads(format):
    model = models.TransformerLM(65, d_model=32, n_heads=2, n_layers=2, max_len=16, rng=0)
    plan = model.freeze(weights=format)
    ids = np.random.default_rng(0).integers(0, 65, (2, 9))
    whole, state = plan.step(ids, plan.new_cache(2)), plan.new_cache(2)
    for i in range(9):
        y = plan.step(ids[:, i : i + 1], state)
    exact = model.step(ids, model.new_cache(2))
    assert close(whole, exact, format) and close(y, exact, format)
    assert plan.nbytes < model.freeze().nbytes
    assert len(models.generate(plan, ids[:, :3], 4, temperature=0)[0]) == 4


@pytest.mark.parametrize("format", FORMATS)
def test_encoder_decoder(format):
    model = models.Seq2SeqTransformer(50, d_model=32, n_layers=1, max_len=8, rng=0)
    frozen = model.freeze(weights=format)
    src = np.array([[4, 5, 6], [7, 8, 9]])
    assert close(frozen.encode(src), model.encode(src), format)
    ids = np.array([[1], [2]])
    y = frozen.step(ids, frozen.new_cache(src))
    assert close(y, model.step(ids, model.new_cache(src)), format)


def test_refusals():
    with pytest.raises(TypeError, match="weights 'bf16' need a model of float32"):
        nn.MLP((3, 2), rng=0, dtype=np.float64).freeze(weights="bf16")
    with pytest.raises(ValueError, match="weights must be"):
        nn.MLP((3, 2), rng=0).freeze(weights="int4")


def test_files_and_command_line(tmp_path, capsys):
    from fastnn.cli import main

    model = nn.MLP((40, 130, 30), rng=0)
    fastnn.save(model, tmp_path / "a.safetensors")
    plan = fastnn.plan_from_file(tmp_path / "a.safetensors", weights="int8")
    x = np.ones((3, 40), np.float32)
    np.testing.assert_array_equal(plan(x), model.freeze(weights="int8")(x))
    assert main(["generate", "lm.safetensors", "--weights", "int4"]) == 2
    assert "--weights" in capsys.readouterr().err


def test_files_of_bfloat16(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    from fastnn.files.tensors import open_tensors, read_widened, write_tensors

    x = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"x": x, "y": np.float16([1, 2])}, {})
    with open_tensors(path) as file:
        for name, expected in (("x", x.astype(np.float32)), ("y", np.float32([1, 2]))):
            found = read_widened(file, path, name)
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == np.float32
