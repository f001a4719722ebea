"""Layers and sequences from PyTorch and back: by states, by look-alikes, and by PyTorch itself."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from fastnn import models, nn

SIZES = [(4, 4), (4, 4), (4, 4)]  # square: a shape cannot show the orientation


def weights(rng, real, sizes=SIZES):
    """The state of a torch.nn.Sequential of Linear layers with an activation between each two."""
    state = {}
    for i, (n_in, n_out) in enumerate(sizes):
        state[f"{2 * i}.weight"] = rng.standard_normal((n_out, n_in)).astype(real)
        state[f"{2 * i}.bias"] = rng.standard_normal(n_out).astype(real)
    return state


def by_hand(state, x, function):
    h, last = x.astype(np.float64), len(state) - 2
    for i in range(0, len(state), 2):
        h = h @ state[f"{i}.weight"].T + state[f"{i}.bias"]
        h = h if i == last else function(h)
    return h


@pytest.mark.parametrize("sizes", [SIZES, [(3, 5), (5, 2)], [(3, 2)]])
def test_a_state_of_linear_layers(rng, real, sizes, tmp_path):
    state, x = weights(rng, real, sizes), rng.standard_normal((6, sizes[0][0])).astype(real)
    want = by_hand(state, x, np.tanh)
    model = models.from_torch(state, activation="tanh")
    np.testing.assert_allclose(model(x), want, rtol=1e-4, atol=1e-5)
    save_file(state, tmp_path / "m.safetensors")
    from_file = models.from_torch(tmp_path / "m.safetensors", activation="tanh")
    np.testing.assert_array_equal(from_file(x), model(x))
    longer = {f"head.{name}": array for name, array in state.items()} | {"body.weight": x}
    part = models.from_torch(longer, activation="tanh", prefix="head.")
    np.testing.assert_array_equal(part(x), model(x))
    back = models.to_torch(model)
    assert list(back) == list(state)
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[name])
        assert array.flags.c_contiguous and not np.shares_memory(array, state[name])


def test_the_names_of_an_mlp_are_those_of_a_sequence_with_its_activations(rng):
    mlp = nn.MLP((4, 4, 4), "relu", rng=0)
    state = models.to_torch(mlp)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    x = rng.standard_normal((5, 4)).astype(np.float32)
    want = by_hand(state, x, lambda h: np.maximum(h, 0))
    np.testing.assert_allclose(mlp(x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(models.from_torch(state, activation="relu")(x), mlp(x))


def test_a_lone_layer(rng):
    w = rng.standard_normal((3, 3))
    layer = models.from_torch({"weight": w})
    assert isinstance(layer, nn.Linear) and layer.bias is None
    np.testing.assert_array_equal(layer.weight.data, w.T)
    np.testing.assert_array_equal(models.to_torch(layer)["weight"], w)
    assert models.from_torch({"weight": w}, dtype=np.float32).weight.data.dtype == np.float32


@pytest.mark.parametrize(
    ("state", "options", "error", "message"),
    [
        ({"0.weight": (2, 3), "2.weight": (2, 2)}, {}, ValueError, "does not show its activations"),
        ({"0.weight": (2, 3), "2.weight": (2, 3)}, None, ValueError, "layer 2 does not take"),
        ({"0.weight": (2,)}, None, ValueError, "'weight' must have two axes"),
        ({"0.running_mean": (2,)}, None, ValueError, "'0.running_mean' is no weight of a sequence"),
        ({"a.b": (2, 2)}, None, ValueError, "'a.b' is no weight"),
        ({"0.weight": (2, 3), "0.bias": (3,)}, None, ValueError, "'bias' has the shape"),
        ({}, None, ValueError, "no name that begins with ''"),
    ],
)
def test_states_that_are_something_else(state, options, error, message):
    arrays = {name: np.ones(shape, np.float32) for name, shape in state.items()}
    how = {"activation": "relu"} if options is None else options
    with pytest.raises(error, match=message):
        models.from_torch(arrays, **how)


def look_alike(kind, state=(), children=(), **attributes):
    """An object of a class that is named like PyTorch's, with the attributes that are read."""

    def items(self):
        return iter(children)

    made = type(kind, (SimpleNamespace,), {"__module__": "torch.nn.modules", "__iter__": items})
    arrays = dict(state)
    for i, child in enumerate(children):
        arrays |= {f"{i}.{name}": array for name, array in child.state_dict().items()}
    return made(training=True, state_dict=lambda: arrays, **attributes)


def like_linear(rng, n_in, n_out):
    state = {"weight": rng.standard_normal((n_out, n_in)).astype(np.float32)}
    state["bias"] = rng.standard_normal(n_out).astype(np.float32)
    return look_alike("Linear", state, in_features=n_in, out_features=n_out, bias=state["bias"])


def test_a_module_keeps_its_structure(rng):
    inner = look_alike("Sequential", children=[like_linear(rng, 4, 4), look_alike("Tanh")])
    outer = look_alike("Sequential", children=[inner, look_alike("Dropout", p=0.5)])
    model = models.from_torch(outer)
    assert [type(layer) for layer in model] == [nn.Sequential, nn.Dropout]
    x, state = rng.standard_normal((3, 4)).astype(np.float32), outer.state_dict()
    want = np.tanh(x @ state["0.0.weight"].T + state["0.0.bias"])
    np.testing.assert_allclose(model(x), want, rtol=1e-4, atol=1e-5)
    back = models.to_torch(model)
    assert list(back) == list(state)
    assert all((back[name] == state[name]).all() for name in back)


def test_modules_that_fastnn_lacks(rng):
    conv = look_alike("Conv2d")
    with pytest.raises(TypeError, match=r"Sequential\[1\] is a Conv2d; what is converted: Seq"):
        models.from_torch(look_alike("Sequential", children=[look_alike("ReLU"), conv]))
    with pytest.raises(ValueError, match=r"Softmax has dim=0, which fastnn lacks"):
        models.from_torch(look_alike("Softmax", dim=0))
    for wrong in (nn.Linear(2, 3), [1.0], None):
        with pytest.raises(TypeError, match=r"source must be a torch\.nn\.Module or a state"):
            models.from_torch(wrong)
    with pytest.raises(ValueError, match="Embedding has no scale"):
        models.to_torch(nn.Embedding(4, 3, scale=2.0, rng=0))


def torch_modules():
    """Every layer that is converted, and sequences of them, as PyTorch makes them."""
    torch = pytest.importorskip("torch")
    t = torch.nn
    rows = [
        t.Linear(4, 4),
        t.Linear(4, 4, bias=False),
        t.LayerNorm(4, eps=1e-3),
        t.LayerNorm(4, bias=False),
        t.LayerNorm(4, elementwise_affine=False),
        t.RMSNorm(4),
        t.RMSNorm(4, eps=1e-2, elementwise_affine=False),
        t.PReLU(4, init=0.2),
        t.PReLU(),
        t.ReLU(),
        t.GELU(),
        t.GELU("tanh"),
        t.SiLU(),
        t.Sigmoid(),
        t.Tanh(),
        t.Softplus(),
        t.LeakyReLU(0.3),
        t.Softmax(-1),
        t.Dropout(0.3),
    ]
    ids = [t.Embedding(9, 4), t.Embedding(9, 4, padding_idx=2)]
    return rows, ids


def test_every_module_of_torch_gives_the_same_numbers(rng, real):
    torch = pytest.importorskip("torch")
    rows, tables = torch_modules()
    kind = torch.float32 if real is np.float32 else torch.float64
    modules = [m.to(kind).eval() for m in [*rows, *tables]]
    modules.append(torch.nn.Sequential(modules[0], modules[2], torch.nn.Sequential(*modules[9:12])))
    covered = {type(m).__name__ for m in modules}
    assert covered == {*models.torch_layers.LAYERS, "Sequential"}
    for module in modules:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.uniform_(-1, 1)
        ids = isinstance(module, torch.nn.Embedding)
        x = rng.integers(0, 9, (3, 5)) if ids else rng.standard_normal((6, 4)).astype(real)
        model = models.from_torch(module, dtype=None if module.state_dict() else real)
        with torch.no_grad():
            want = module(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(model(x), want, rtol=3e-5, atol=3e-6, err_msg=str(module))
        back = {k: torch.from_numpy(v) for k, v in models.to_torch(model).items()}
        state = module.state_dict()
        module.load_state_dict(back)
        assert all(torch.equal(state[name], back[name]) for name in state)
