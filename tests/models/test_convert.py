"""Conversions by name: round trips, files, layouts of GPT-2, and what is refused."""

import numpy as np
import pytest

from fastnn import models, nn
from fastnn.files.tensors import ModelFileError, write_tensors

D, HEADS, HIDDEN, VOCAB = 8, 2, 12, 11


def assert_same(found, expected):
    assert found.config() == expected.config()
    for (name, a), (_, b) in zip(
        found.parameters().named(), expected.parameters().named(), strict=True
    ):
        np.testing.assert_array_equal(a.data, b.data, err_msg=name)


def filled(model):
    """The model with no parameter left at zero or one."""
    rng = np.random.default_rng(5)
    for parameter in model.parameters():
        parameter.data[...] = rng.normal(size=parameter.data.shape)
    return model


def language_model(**options):
    sizes = {"d_model": D, "n_heads": HEADS, "n_layers": 2, "max_len": 6, "rng": 0}
    return filled(models.TransformerLM(VOCAB, **{**sizes, **options}))


def stack(kind=nn.TransformerEncoder, **options):
    return filled(kind(2, D, HEADS, HIDDEN, rng=0, **options))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("final_norm", [False, True])
def test_stacks_come_back(norm_first, bias, final_norm, real):
    how = {"norm_first": norm_first, "activation": "gelu", "eps": 1e-6}
    options = {**how, "bias": bias, "final_norm": final_norm, "dtype": real}
    encoder, decoder = stack(**options), stack(nn.TransformerDecoder, **options)
    assert_same(models.from_torch_encoder(models.to_torch(encoder), HEADS, **how), encoder)
    assert_same(models.from_torch_decoder(models.to_torch(decoder), HEADS, **how), decoder)


@pytest.mark.parametrize("d_memory", [None, D])
def test_attention_comes_back(d_memory):
    layer = filled(nn.MultiHeadAttention(D, HEADS, d_memory=d_memory, rng=0))
    state = models.to_torch(layer)
    assert {name: x.shape for name, x in state.items()} == {
        "in_proj_weight": (3 * D, D),
        "in_proj_bias": (3 * D,),
        "out_proj.weight": (D, D),
        "out_proj.bias": (D,),
    }
    assert_same(models.from_torch_attention(state, HEADS, cross=d_memory is not None), layer)


def test_rows_of_a_fused_projection_are_queries_keys_values():
    state = models.to_torch(stack(nn.TransformerDecoder))
    decoder = models.from_torch_decoder(state, HEADS)
    fused, own = state["layers.1.multihead_attn.in_proj_weight"], decoder.blocks[1].cross_attention
    np.testing.assert_array_equal(fused[:D], own.q.weight.data.T)
    np.testing.assert_array_equal(fused[D:], own.kv.weight.data.T)


def test_a_prefix_takes_a_part():
    encoder, decoder = stack(), stack(nn.TransformerDecoder)
    state = {f"encoder.{name}": x for name, x in models.to_torch(encoder).items()}
    state |= {f"decoder.{name}": x for name, x in models.to_torch(decoder).items()}
    assert_same(models.from_torch_encoder(state, HEADS, prefix="encoder."), encoder)
    assert_same(models.from_torch_decoder(state, HEADS, prefix="decoder."), decoder)


def test_results_are_copies():
    model = language_model()
    state = models.to_gpt2(model)
    state["wte.weight"][...] = 0
    assert model.embedding.weight.data.all()


@pytest.mark.parametrize("layout", ["published", "nanogpt"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_gpt2_comes_back(layout, bias, tied, real):
    model = language_model(bias=bias, tie_weights=tied, dtype=real)
    state = models.to_gpt2(model, layout=layout)
    found = models.from_gpt2(state, HEADS, activation="gelu")
    assert_same(found, model)
    ids = np.arange(6)[None]
    np.testing.assert_array_equal(found(ids), model(ids))


def test_layouts_differ_as_their_owners_have_them():
    model = language_model(d_ff=20)
    published, nanogpt = (models.to_gpt2(model, layout=x) for x in ("published", "nanogpt"))
    assert published["h.1.mlp.c_fc.weight"].shape == (D, 20)
    assert nanogpt["transformer.h.1.mlp.c_fc.weight"].shape == (20, D)
    np.testing.assert_array_equal(published["wte.weight"], nanogpt["transformer.wte.weight"])
    np.testing.assert_array_equal(published["lm_head.weight"], published["wte.weight"])


def test_the_layout_tells_the_form_of_gelu():
    model = language_model()
    forms = [
        models.from_gpt2(models.to_gpt2(model, layout=layout), HEADS).config()["activation"]
        for layout in ("published", "nanogpt")
    ]
    assert forms == ["gelu_tanh", "gelu"]


@pytest.mark.parametrize("prefix", ["", "transformer.", "_orig_mod.transformer."])
def test_names_as_published(prefix):
    """With prefixes, causal masks beside the weights, and the head left out."""
    model = language_model(activation="gelu_tanh")
    state = models.to_gpt2(model)
    del state["lm_head.weight"]
    for i in range(2):
        state[f"h.{i}.attn.bias"] = np.tri(6, dtype=np.float32)[None, None]
        state[f"h.{i}.attn.masked_bias"] = np.array(-1e4, np.float32)
    state = {prefix + name: x for name, x in state.items()}
    assert_same(models.from_gpt2(state, HEADS), model)


@pytest.mark.parametrize("tied", [False, True])
def test_a_padded_vocabulary_is_cut(tied):
    model = language_model(tie_weights=tied)
    state = models.to_gpt2(model, layout="nanogpt")
    found = models.from_gpt2(state, HEADS, vocab_size=VOCAB - 3)
    ids = np.arange(6)[None]
    np.testing.assert_allclose(found(ids), model(ids)[..., :-3], rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=r"vocab_size is 12, but wte.weight has 11 rows"):
        models.from_gpt2(state, HEADS, vocab_size=VOCAB + 1)


def test_files(tmp_path):
    model, encoder = language_model(activation="gelu_tanh"), stack()
    gpt2, whole = tmp_path / "gpt2.safetensors", tmp_path / "whole.safetensors"
    write_tensors(gpt2, models.to_gpt2(model), {})
    state = {f"encoder.{name}": x for name, x in models.to_torch(encoder).items()}
    write_tensors(whole, state, {})
    assert_same(models.from_gpt2(gpt2, HEADS), model)
    assert_same(models.from_torch_encoder(whole, HEADS, prefix="encoder."), encoder)
    with pytest.raises(FileNotFoundError):
        models.from_gpt2(tmp_path / "nowhere.safetensors", HEADS)
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 a pickle, which is never opened")
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        models.from_gpt2(tmp_path / "checkpoint.pt", HEADS)


def test_types():
    model = language_model(activation="gelu_tanh")
    state = models.to_gpt2(model)
    half = {name: x.astype(np.float16) for name, x in state.items()}
    assert models.from_gpt2(half, HEADS).parameters().dtype == np.float32
    double = {name: x.astype(float) for name, x in state.items()}
    assert models.from_gpt2(double, HEADS).parameters().dtype == np.float64
    assert_same(models.from_gpt2(double, HEADS, dtype=np.float32), model)


def test_tensors_are_taken_as_they_are():
    torch = pytest.importorskip("torch")
    layer = torch.nn.TransformerEncoderLayer(D, HEADS, HIDDEN, batch_first=True)
    module = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    state = models.to_torch(models.from_torch_encoder(module.state_dict(), HEADS))
    assert state.keys() == module.state_dict().keys()
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy(), err_msg=name)
    module.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()})


def gpt2_state():
    return models.to_gpt2(language_model())


@pytest.mark.parametrize("name", ["wpe.weight", "h.1.attn.c_proj.bias", "ln_f.weight"])
def test_missing_names_are_named(name):
    state = gpt2_state()
    del state[name]
    with pytest.raises(ValueError, match=name):
        models.from_gpt2(state, HEADS)


def test_unexpected_names_are_named():
    state = gpt2_state() | {"h.0.attn.rotary": np.zeros(3)}
    with pytest.raises(ValueError, match=r"unexpected \['h.0.attn.rotary'\]"):
        models.from_gpt2(state, HEADS)
    state = models.to_torch(nn.MultiHeadAttention(D, HEADS)) | {"bias_k": np.zeros(D)}
    with pytest.raises(ValueError, match=r"unexpected \['bias_k'\]"):
        models.from_torch_attention(state, HEADS)


def test_a_layer_that_is_missing_in_between_is_named():
    state = {k: x for k, x in models.to_torch(stack()).items() if "layers.0.linear2" not in k}
    with pytest.raises(ValueError, match=r"missing .*layers.0.linear2.weight"):
        models.from_torch_encoder(state, HEADS)


def test_shapes_are_named():
    state = gpt2_state()
    state["h.1.ln_2.weight"] = np.zeros(D + 1, np.float32)
    with pytest.raises(ValueError, match=r"'h.1.ln_2.weight' has the shape \(9,\), not \(8,\)"):
        models.from_gpt2(state, HEADS)
    state = models.to_torch(stack())
    state["layers.0.linear1.weight"] = np.zeros(HIDDEN, np.float32)
    with pytest.raises(ValueError, match=r"'layers.0.linear1.weight' must have two axes"):
        models.from_torch_encoder(state, HEADS)
    with pytest.raises(ValueError, match="multiple of n_heads 3"):
        models.from_gpt2(gpt2_state(), 3)


def test_an_encoder_is_no_decoder():
    with pytest.raises(ValueError, match="multihead_attn"):
        models.from_torch_decoder(models.to_torch(stack()), HEADS)
    with pytest.raises(ValueError, match="multihead_attn"):
        models.from_torch_encoder(models.to_torch(stack(nn.TransformerDecoder)), HEADS)
    with pytest.raises(ValueError, match=r"no 'layers.0.linear1.weight'.*begin with wte.weight"):
        models.from_torch_encoder(gpt2_state(), HEADS)


def test_values_that_are_no_arrays_are_refused():
    with pytest.raises(TypeError, match="list"):
        models.from_gpt2(gpt2_state() | {"wpe.weight": [[0.0] * D] * 6}, HEADS)


def test_what_the_others_have_not_is_refused():
    for options in ({"norm": "rms"}, {"n_kv_heads": 1}, {"rotary": True}):
        with pytest.raises(ValueError, match="no counterpart"):
            models.to_torch(stack(**options))
    for options in ({"position": "rotary"}, {"position": "sinusoidal"}, {"norm": "rms"}):
        with pytest.raises(ValueError, match="no counterpart"):
            models.to_gpt2(language_model(**options))
    with pytest.raises(ValueError, match="no counterpart"):
        models.to_torch(nn.MultiHeadAttention(D, HEADS, d_memory=D + 2))
    with pytest.raises(TypeError, match="no counterpart of Residual"):
        models.to_torch(nn.Residual(nn.Linear(3, 3)))
    with pytest.raises(TypeError, match="not Linear"):
        models.to_gpt2(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="'huggingface'"):
        models.to_gpt2(language_model(), layout="huggingface")


def test_sizes_of_keys_and_values():
    state = {
        "q_proj_weight": np.ones((D, D)),
        "k_proj_weight": np.ones((D, 5)),
        "v_proj_weight": np.ones((D, 6)),
        "in_proj_bias": np.ones(3 * D),
        "out_proj.weight": np.ones((D, D)),
        "out_proj.bias": np.ones(D),
    }
    with pytest.raises(ValueError, match="must be of one size"):
        models.from_torch_attention(state, HEADS, cross=True)
    state["v_proj_weight"] = np.ones((D, 5))
    assert models.from_torch_attention(state, HEADS, cross=True).d_memory == 5
    with pytest.raises(ValueError, match="cross True"):
        models.from_torch_attention(state, HEADS)
