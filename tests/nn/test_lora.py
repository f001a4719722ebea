"""LoRA: the formula, training, merging, files, and PyTorch's curve of the loss."""

import json
import os

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim
from fastnn.files import ModelFileError, load_lora, save_lora
from fastnn.train import ModelCheckpoint, fit

from .layers import LAYERS


def filled(lora, seed=0):
    """The same with a B that is not zero."""
    rng = np.random.default_rng(seed)
    for branch in lora.branches.values():
        values = rng.normal(size=branch.b.data.shape)
        branch.b.data = values.astype(branch.b.data.dtype)
    return lora


def encoder(dtype=np.float32, **how):
    return models.TransformerEncoderModel(30, 16, 2, 2, 32, 8, dtype=dtype, rng=0, **how)


IDS = np.random.default_rng(3).integers(0, 30, (6, 7))


@pytest.mark.parametrize("activation", [None, "tanh", "gelu"])
def test_the_formula(activation, real):
    layer = nn.Linear(5, 4, activation=activation, dtype=real, rng=0)
    x = np.random.default_rng(1).standard_normal((2, 3, 5)).astype(real)
    before, weight = layer(x), layer.weight.data.copy()
    lora = nn.LoRA(layer, 2, 6.0, rng=0)
    np.testing.assert_allclose(lora(x), before, rtol=1e-6)  # B is zero
    branch = filled(lora).branches[""]
    assert abs(branch.a.data).max() <= 5**-0.5 and branch.a.data.any()
    plain = nn.Linear(5, 4, activation=activation, dtype=real, rng=0)
    plain.weight.data = (weight + 3.0 * branch.a.data @ branch.b.data).astype(real)
    tolerance = 50 * np.finfo(real).eps
    for found in (lora(x), layer(x), lora.forward(x)[0], layer.forward(x)[0]):
        np.testing.assert_allclose(found, plain(x), rtol=tolerance, atol=tolerance)
    assert lora.merge() is layer and layer.adapter is None
    np.testing.assert_allclose(layer.weight.data, plain.weight.data, rtol=tolerance, atol=1e-6)
    np.testing.assert_array_equal(layer(x), layer.forward(x)[0])
    assert layer.weight.requires_grad


def test_the_model_is_frozen_and_the_branches_are_one_range():
    lora = nn.LoRA(encoder(), 4, targets=["*.qkv", "*.down"], rng=0)
    assert lora.targets == [
        f"blocks.{i}.{name}" for i in (0, 1) for name in ("attention.qkv", "feed_forward.down")
    ]
    trained = {name for name, p in lora.parameters().named() if p.requires_grad}
    assert trained == {f"lora.{name}.{end}" for name in lora.targets for end in "ab"}
    [one] = lora.parameters().trained()
    assert one.stop == lora.parameters().data.size
    lora.set_requires_grad(True, "*.bias")
    y, ctx = lora.forward(IDS)
    lora.backward(np.ones_like(y), ctx)
    assert lora.model.norm.bias.grad.any() and not lora.model.norm.weight.grad.any()


FAMILIES = {
    "encoder": encoder,
    "ModernBERT": lambda: encoder(
        placement="pre", gated=True, rotary=True, bias=False, window=4, n_types=0
    ),
    "GPT-2": lambda: models.TransformerLM(30, 16, 2, 2, 8, rng=0),
    "Llama": lambda: models.TransformerLM(
        30, 16, 4, 2, 8, n_kv_heads=2, d_ff=24, activation="silu", gated=True, norm="rms",
        bias=False, position="rotary", tie_weights=False, rng=0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_every_linear_layer_of_a_model_can_have_one(name):
    lora = filled(nn.LoRA(FAMILIES[name](), 2, rng=0))
    assert len(lora.targets) == 8  # qkv, out, up and down of two blocks; not a head
    y, ctx = lora.forward(IDS)
    lora.backward(np.cos(y), ctx)
    assert all(branch.a.grad.any() and branch.b.grad.any() for branch in lora.branches.values())
    assert not any(p.grad.any() for p in lora.model.parameters())
    np.testing.assert_allclose(lora(IDS), y, rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match=r"LoRA branch: merge\(\) it"):
        lora.model.freeze()
    expected = lora(IDS)
    model = lora.merge()
    np.testing.assert_allclose(model(IDS), expected, rtol=2e-4, atol=1e-4)
    assert model.freeze() is not None


def test_generation_uses_the_merged_weights():
    lora = filled(nn.LoRA(FAMILIES["GPT-2"](), 2, rng=0))
    with pytest.raises(TypeError, match=r"merge\(\)"):
        lora.model.generate([[1, 2]], 3, temperature=0)
    logits = lora(np.array([[1, 2]]))[0, -1]
    assert lora.merge().generate([[1, 2]], 1, temperature=0)[0][-1] == logits.argmax()


def task():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 30, (64, 7))
    return x, (x[:, 0] > x[:, 1]).astype(np.int64)


def classifier():
    lora = nn.LoRA(models.PooledEncoder(encoder()), 4, targets="*.attention.*", dropout=0.1, rng=0)
    return nn.Sequential(lora, nn.Linear(16, 2, rng=1))


def trained(epochs, **options):
    model = classifier()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    options |= {"optimizer": optimizer, "epochs": epochs, "seed": 0, "verbose": 0}
    return model, fit(model, *task(), **options)


def test_fit_trains_the_branches_alone_and_resumes(tmp_path):
    model, history = trained(8)
    losses = history.history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    before = classifier().state()
    for name, values in model.state().items():
        assert np.array_equal(values, before[name]) == name.startswith("0.model.")
    path = tmp_path / "run"
    trained(3, callbacks=ModelCheckpoint(path))
    again, _ = trained(8, resume=path)
    np.testing.assert_array_equal(again.parameters().data, model.parameters().data)
    loaded = fastnn.load(path)
    assert [p.requires_grad for p in loaded.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]


def test_token_loss():
    lora = nn.LoRA(FAMILIES["Llama"](), 4, rng=0)
    history = fit(
        lora, [(IDS, IDS[:, ::-1].copy())], loss=fastnn.train.TokenLoss(), epochs=20, verbose=0,
        optimizer=optim.Adam(lora.parameters(), lr=0.02),
    )  # fmt: skip
    assert history.history["loss"][-1] < 0.97 * history.history["loss"][0]
    with pytest.raises(TypeError, match="TokenLoss is for models of tokens"):
        fit(nn.LoRA(nn.MLP((3, 2))), [], optimizer="adam", loss=fastnn.train.TokenLoss())


def test_files(tmp_path):
    """Whole, and the branches alone, which are small."""
    lora = filled(nn.LoRA(encoder(), 3, 5.0, "*.qkv", dropout=0.25, rng=0))
    expected = lora(IDS)
    whole, alone = tmp_path / "whole", tmp_path / "alone"
    fastnn.save(lora, whole)
    save_lora(lora, alone)
    assert alone.stat().st_size < 0.2 * whole.stat().st_size
    np.testing.assert_array_equal(fastnn.load(whole)(IDS), expected)
    again = load_lora(alone, encoder())
    np.testing.assert_array_equal(again(IDS), expected)
    for each in (fastnn.load(whole), again):
        assert (each.rank, each.alpha, each.dropout) == (3, 5.0, 0.25)
        assert each.targets == lora.targets
    save_lora(again, tmp_path / "twice")
    assert (tmp_path / "twice").read_bytes() == alone.read_bytes()
    for save in (lambda m: fastnn.save(m, whole), lambda m: models.save(m, tmp_path / "folder")):
        with pytest.raises(ValueError, match=r"'blocks.0.attention.qkv' has a LoRA branch: merge"):
            save(lora.model)
    assert not (tmp_path / "folder").exists()
    lora.merge()
    fastnn.save(lora.model, whole)
    np.testing.assert_array_equal(fastnn.load(whole)(IDS), lora.model(IDS))
    with pytest.raises(TypeError, match=r"lora must be an nn\.LoRA, got"):
        save_lora(lora.model, alone)


def changed(path, change):
    """Rewrite the fields of a file."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    fields = json.loads(header["__metadata__"]["fastnn.lora"])
    header["__metadata__"]["fastnn.lora"] = json.dumps(change(fields))
    described = json.dumps(header).encode()
    path.write_bytes(len(described).to_bytes(8, "little") + described + content[8 + size :])


DAMAGED = {
    "rank": lambda fields: fields | {"rank": 10**12},
    "no rank": lambda fields: fields | {"rank": 0},
    "text for rank": lambda fields: fields | {"rank": "3"},
    "alpha": lambda fields: fields | {"alpha": -1},
    "dropout": lambda fields: fields | {"dropout": "much"},
    "layer": lambda fields: fields | {"targets": ["blocks.0.attention.v"]},
    "targets": lambda fields: fields | {"targets": 3},
    "no targets": lambda fields: fields | {"targets": []},
    "numbers": lambda fields: fields | {"targets": [1]},
    "more": lambda fields: fields | {"model": {}},
    "list": lambda fields: [],
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_change_nothing(tmp_path, change):
    path, model = tmp_path / "alone", encoder()
    save_lora(nn.LoRA(encoder(), 3, targets="*.qkv", rng=0), path)
    changed(path, change)
    with pytest.raises(ModelFileError, match="alone"):
        load_lora(path, model)
    assert all(p.requires_grad for p in model.parameters())
    assert all(block.attention.qkv.adapter is None for block in model.blocks)


def test_files_of_another_model(tmp_path):
    path = tmp_path / "alone"
    save_lora(nn.LoRA(encoder(), 3, rng=0), path)
    with pytest.raises(ModelFileError, match=r"the model has no layer 'blocks\.0\.attention\.qkv'"):
        load_lora(path, nn.MLP((3, 2)))
    with pytest.raises(ModelFileError, match=r"is float32 .*needs float64"):
        load_lora(path, encoder(np.float64))
    with pytest.raises(FileNotFoundError):
        load_lora(os.fspath(path) + "x", encoder())
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got str"):
        load_lora(path, "model")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank"),
        ({"rank": 2.0}, TypeError, "rank"),
        ({"alpha": 0}, ValueError, "alpha must be above 0"),
        ({"dropout": 2}, ValueError, "dropout"),
        ({"targets": "*.query"}, ValueError, r"no linear layer fits targets '\*.query'; names are"),
        ({"targets": ["*.qkv", 3]}, TypeError, "targets must be names of layers, got int"),
        ({"targets": 3}, TypeError, "targets must be names of layers, got int"),
        ({"targets": []}, ValueError, "targets must name a layer"),
        ({"rng": "x"}, TypeError, "rng"),
    ],
)
def test_errors_change_nothing(arguments, error, message):
    model = encoder()
    with pytest.raises(error, match=message):
        nn.LoRA(model, **arguments)
    assert all(p.requires_grad for p in model.parameters())
    nn.LoRA(model, targets="*.qkv")
    with pytest.raises(ValueError, match=r"'blocks\.0\.attention\.qkv' has a branch already"):
        nn.LoRA(model)


def test_what_reads_weights_itself_refuses():
    untied = FAMILIES["Llama"]()
    with pytest.raises(ValueError, match="no linear layer fits targets 'head'"):
        nn.LoRA(untied, targets="head")
    layers = nn.Linear(2, 3, rng=0), nn.Linear(3, 2, rng=0)
    nn.LoRA(layers[1])
    with pytest.raises(TypeError, match=r"not Linear with a LoRA branch"):
        nn.collapse(*layers)
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got int"):
        nn.LoRA(3)


def test_a_network_in_one_call_notices_the_branches():
    model, x = nn.MLP((4, 5, 3), rng=0), np.ones((2, 4), np.float32)
    before = model(x)
    lora = filled(nn.LoRA(model, 2, rng=0))
    assert not np.allclose(model(x), before)
    expected = model(x)
    np.testing.assert_allclose(lora.merge()(x), expected, rtol=1e-5)


def torch_curve(torch, lora, head, batches, lr):
    """The losses of the same classifier in PyTorch: one encoder block, the mean, a head."""
    block = lora.model
    base = {name: torch.tensor(values) for name, values in block.state().items()}
    own = {}
    for name, branch in lora.branches.items():
        own[name] = [torch.tensor(p.data.copy(), requires_grad=True) for p in (branch.a, branch.b)]
    top = [torch.tensor(p.data.copy(), requires_grad=True) for p in (head.weight, head.bias)]

    def linear(name, x):
        a, b = own[name]
        w, bias = base[f"{name}.weight"], base[f"{name}.bias"]
        return x @ w + bias + lora.alpha / lora.rank * (x @ a @ b)

    def norm(name, x):
        w, b = base[f"{name}.weight"], base[f"{name}.bias"]
        return torch.nn.functional.layer_norm(x, w.shape, w, b)

    def output(x):
        B, T, d = x.shape
        q, k, v = (
            part.reshape(B, T, 2, d // 2).transpose(1, 2)
            for part in linear("attention.qkv", x).chunk(3, dim=-1)
        )
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        x = norm("norm1", x + linear("attention.out", y.transpose(1, 2).reshape(B, T, d)))
        h = torch.nn.functional.gelu(linear("feed_forward.up", x))
        x = norm("norm2", x + linear("feed_forward.down", h))
        return x.mean(dim=1) @ top[0] + top[1]

    parameters = [*(p for pair in own.values() for p in pair), *top]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
    losses = []
    for x, y in batches:
        loss = torch.nn.functional.cross_entropy(output(torch.tensor(x)), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


class Mean(nn.Module):
    """The mean over positions."""

    def forward(self, x):
        return x.mean(axis=1), x.shape

    def backward(self, dy, ctx, need_dx=True):
        return np.repeat(dy[:, None] / dy.dtype.type(ctx[1]), ctx[1], axis=1)


def test_the_loss_curve_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((3, 6, 32)).astype(np.float32)
    batches = []
    for _ in range(60):
        y = rng.integers(0, 3, 16)
        noise = rng.standard_normal((16, 6, 32)).astype(np.float32)
        batches.append((centers[y] + 2 * noise, y))
    lora = nn.LoRA(nn.EncoderBlock(32, 2, 64, activation="gelu", rng=0), 4, 8.0, rng=1)
    head = nn.Linear(32, 3, rng=2)
    expected = torch_curve(torch, lora, head, batches, 3e-3)
    model = nn.Sequential(lora, Mean({}), head)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    losses = []
    for x, y in batches:
        optimizer.zero_grad()
        logits, ctx = model.forward(x)
        loss, dlogits = nn.cross_entropy(logits, y)
        model.backward(dlogits, ctx, need_dx=False)
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_allclose(losses, expected, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("LoRA")])
def test_gradients(name):
    """Of A, B, the model's own parameters and x, with dropout in the branch, in float64."""
    layer, inputs = LAYERS[name]()
    assert nn.gradcheck(layer, *inputs, samples=30, eps=1e-7, rtol=1e-5).worst < 1e-5
