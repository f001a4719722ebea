"""ONNX files compute what the models compute: every operation, run by onnxruntime."""

import numpy as np
import pytest

from fastnn import kernels, models, nn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def outputs(made, **inputs):
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], inputs)
    return y


def assert_same(model, *shapes, dtype=np.float32, tol=2e-5):
    made = models.to_onnx(model)
    for shape in shapes:
        x = np.random.default_rng(0).normal(size=shape).astype(dtype)
        np.testing.assert_allclose(outputs(made, x=x), model(x), rtol=tol, atol=tol)


@pytest.mark.parametrize("name", [None, *kernels.ACTIVATIONS])
def test_activations(name):
    assert_same(nn.MLP((5, 7, 3), activation=name, rng=0), (4, 5), (1, 5))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Softmax(),
        nn.LogSoftmax(),
        nn.LeakyReLU(0.1),
        nn.PReLU(6),
        nn.PReLU(1),
        nn.LayerNorm(6),
        nn.LayerNorm(6, affine=False),
        nn.RMSNorm(6),
        nn.Dropout(0.5),
        nn.Residual(nn.Linear(6, 6, rng=0)),
        nn.GELU("tanh"),
    ],
    ids=repr,
)
def test_layers(layer):
    assert_same(nn.Sequential(nn.Linear(6, 6, rng=0), layer, nn.Linear(6, 2, rng=0)), (5, 6))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"norm_first": True},
        {"causal": True},
        {"n_kv_heads": 2},
        {"norm": "rms"},
        {"rotary": True, "causal": True},
    ],
    ids=repr,
)
def test_encoders(how):
    assert_same(nn.TransformerEncoder(2, 16, 4, 32, rng=0, **how), (2, 7, 16), (1, 1, 16))


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("tie", [True, False])
def test_language_models(position, tie):
    how = {"position": position, "tie_weights": tie, "max_len": 12, "activation": "gelu_tanh"}
    model = models.TransformerLM(11, 16, 4, 2, rng=0, **how)
    made = models.to_onnx(model)
    for shape in ((2, 12), (1, 1), (3, 5)):
        ids = np.random.default_rng(1).integers(0, 11, shape)
        np.testing.assert_allclose(outputs(made, x=ids), model(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tgt", [None, 9])
def test_translation_with_padding(tgt):
    model = models.Seq2SeqTransformer(11, tgt, d_model=16, n_heads=4, n_layers=2, rng=0)
    made = models.to_onnx(model)
    rng = np.random.default_rng(1)
    src, out = rng.integers(0, 11, (3, 6)), rng.integers(0, 9, (3, 4))
    lengths = np.array([6, 2, 1])
    expected = model(src, out, lengths)
    found = outputs(made, src=src, tgt=out, src_lengths=lengths)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_float64_and_shared_weights():
    layer = nn.Linear(4, 4, rng=0, dtype=np.float64)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert_same(model, (3, 4), dtype=np.float64, tol=1e-12)
    assert len(models.to_onnx(model).graph.initializer) == 2


def test_the_file_and_its_errors(tmp_path):
    model = nn.MLP((3, 2), rng=0)
    made = models.to_onnx(model, tmp_path / "m.onnx")
    assert onnx.load(tmp_path / "m.onnx") == made
    assert made.opset_import[0].version == 17

    class Own(nn.Module):
        def __init__(self):
            super().__init__({})

        def forward(self, x):
            return x, None

        def backward(self, dy, ctx, need_dx=True):
            return dy

    with pytest.raises(TypeError, match="Own has no `lower`"):
        models.to_onnx(Own())
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got int"):
        models.to_onnx(3)
    with pytest.raises(OSError):
        models.to_onnx(model, tmp_path / "no" / "m.onnx")


def test_encoder_model():
    model = models.TransformerEncoderModel(11, 8, 2, 2, 12, 9, first_position=2, rng=0)
    ids, lengths = np.array([[1, 2, 3, 4], [5, 6, 0, 0]]), np.array([4, 2])
    found = outputs(models.to_onnx(model), x=ids, lengths=lengths)
    hidden = model(ids, lengths=lengths)
    for i, n in enumerate(lengths):
        np.testing.assert_allclose(found[i, :n], hidden[i, :n], rtol=2e-5, atol=2e-5)
