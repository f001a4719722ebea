"""`fastnn export`: PyTorch loads the states and computes what the models compute."""

import numpy as np
import pytest

from fastnn import models, nn
from fastnn.cli import main
from fastnn.files import save

from .torch_cases import HEADS, VOCAB, D, gpt, later, run_gpt

torch = pytest.importorskip("torch", reason="loads states in PyTorch where it is installed")
IDS = np.arange(12).reshape(3, 4) % VOCAB


@pytest.fixture(params=["safetensors", "pt"])
def exported(request, tmp_path):
    """A function that exports a model and returns its state in PyTorch."""

    def export(model):
        save(model, tmp_path / "model")
        out = str(tmp_path / f"state.{request.param}")
        assert main(["export", str(tmp_path / "model"), out, "--quiet"]) == 0
        if request.param == "pt":
            return torch.load(out, weights_only=True)
        return pytest.importorskip("safetensors.torch").load_file(out)

    return export


def as_torch(x):
    return torch.from_numpy(np.asarray(x))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_an_mlp(exported, activation, rng):
    model = nn.MLP((5, 7, 3), activation=activation, rng=0)
    kinds = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 7), kinds[activation](), torch.nn.Linear(7, 3))
    theirs.load_state_dict(exported(model))
    x = rng.normal(size=(6, 5)).astype(np.float32)
    with torch.no_grad():
        found = theirs(as_torch(x)).numpy()
    np.testing.assert_allclose(found, model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_a_language_model(exported, bias):
    """The published file's names, and its layout: a Conv1D of transformers holds (in, out)."""
    model = models.TransformerLM(VOCAB, D, HEADS, 2, 6, bias=bias, activation="gelu", rng=0)
    state = exported(model)
    for name in state:
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            state[name] = state[name].T
    theirs = gpt(torch, {"bias": bias})
    head = state.pop("lm_head.weight")
    state = {f"transformer.{name}": value for name, value in state.items()}
    theirs.load_state_dict({**state, "lm_head.weight": head})
    with torch.no_grad():
        given = {"ids": as_torch(IDS), "targets": as_torch(IDS)}
        found = run_gpt(torch, theirs, given, {})["logits"].numpy()
    np.testing.assert_allclose(found, model(IDS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"position": "learned"}, {"tgt": 9, "tie_weights": False}])
def test_an_encoder_decoder(exported, how, rng):
    how = dict(how)
    tgt = how.pop("tgt", None)
    sizes = {"d_model": D, "n_heads": HEADS, "n_layers": 2, "d_ff": 12, "max_len": 6, "dropout": 0}
    model = models.Seq2SeqTransformer(VOCAB, tgt, **sizes, rng=0, **how)
    state = exported(model)
    layers = torch.nn
    theirs = layers.Module()
    theirs.src_embedding = layers.Embedding(VOCAB, D)
    theirs.tgt_embedding = layers.Embedding(tgt or VOCAB, D)
    if how.get("position") == "learned":
        theirs.positions = layers.Embedding(6, D)
    one = layers.TransformerEncoderLayer(D, HEADS, 12, 0.0, batch_first=True)
    theirs.encoder = layers.TransformerEncoder(one, 2, enable_nested_tensor=False)
    one = layers.TransformerDecoderLayer(D, HEADS, 12, 0.0, batch_first=True)
    theirs.decoder = layers.TransformerDecoder(one, 2)
    if tgt:
        theirs.head = layers.Linear(D, tgt, bias=False)
    theirs.load_state_dict(state)
    src, ids = IDS[:, ::-1].copy(), IDS[:, :3] % (tgt or VOCAB)

    def embedded(table, ids):
        places = as_torch(model.positions.rows(ids.shape[1]).copy())
        if how.get("position") == "learned":
            places = theirs.positions.weight[: ids.shape[1]]
        return table(as_torch(ids)) * D**0.5 + places

    with torch.no_grad():
        memory = theirs.encoder(embedded(theirs.src_embedding, src))
        y = theirs.decoder(embedded(theirs.tgt_embedding, ids), memory, tgt_mask=later(torch, 3))
        head = theirs.head.weight if tgt else theirs.tgt_embedding.weight
        found = (y @ head.T).numpy()
    np.testing.assert_allclose(found, model(src, ids), rtol=1e-4, atol=1e-4)
