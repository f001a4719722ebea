"""Weights as they are published: in half precision, in folders with a config.json."""

import json

import numpy as np
import pytest
import safetensors.numpy

from fastnn import models, nn
from fastnn.files.tensors import ModelFileError, write_tensors

from .test_convert import HEADS, D, assert_same, filled, gpt2_state, language_model


def rounded_to_bfloat16(state):
    """The state in numbers that bfloat16 has, still as float32."""
    return {
        name: (x.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        for name, x in state.items()
    }


def write_halves(path, state, code):
    """A safetensors file in a half precision, as other libraries write them."""
    header, parts, start = {}, [], 0
    for name, x in state.items():
        bits = (x.view(np.uint32) >> 16).astype("<u2") if code == "BF16" else x.astype("<f2")
        header[name] = {
            "dtype": code,
            "shape": x.shape,
            "data_offsets": [start, start + bits.nbytes],
        }
        parts.append(bits.tobytes())
        start += bits.nbytes
    described = json.dumps(header).encode()
    path.write_bytes(len(described).to_bytes(8, "little") + described + b"".join(parts))


@pytest.mark.parametrize("code", ["F16", "BF16"])
def test_files_in_half_precision_are_widened_exactly(tmp_path, code):
    model = language_model(activation="gelu_tanh")
    state = rounded_to_bfloat16(models.to_gpt2(model))
    if code == "F16":
        state = {name: x.astype(np.float16).astype(np.float32) for name, x in state.items()}
    write_halves(tmp_path / "gpt2.safetensors", state, code)
    found = models.from_gpt2(tmp_path / "gpt2.safetensors", HEADS)
    assert found.parameters().dtype == np.float32
    for name, x in models.to_gpt2(found).items():
        np.testing.assert_array_equal(x, state[name], err_msg=name)
    double = models.from_gpt2(tmp_path / "gpt2.safetensors", HEADS, dtype=np.float64)
    assert double.parameters().dtype == np.float64


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_bfloat16_tensors_are_widened_by_their_library(library):
    """NumPy cannot view them; each library has its own method to convert."""

    class Tensor:
        dtype = {"torch": "torch.bfloat16", "jax": "bfloat16"}[library]

        def __init__(self, x):
            self.x = x

    convert = {"torch": ("float", lambda self: self.x), "jax": ("astype", lambda self, _: self.x)}
    setattr(Tensor, *convert[library])
    model = language_model(activation="gelu_tanh")
    state = {name: Tensor(x) for name, x in models.to_gpt2(model).items()}
    assert_same(models.from_gpt2(state, HEADS), model)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.complex64, "U3"])
def test_weights_that_are_no_floating_point_numbers_are_named(dtype):
    state = models.to_gpt2(language_model())
    state["h.0.ln_1.bias"] = state["h.0.ln_1.bias"].astype(dtype)
    with pytest.raises(TypeError, match=r"'h\.0\.ln_1\.bias' is .*: convert it first"):
        models.from_gpt2(state, HEADS)


@pytest.mark.parametrize(("code", "name"), [("I16", "int16"), ("F8_E4M3", "F8_E4M3")])
def test_a_dtype_that_cannot_be_used_is_named(tmp_path, code, name):
    state = models.to_torch(filled(nn.MultiHeadAttention(D, HEADS, rng=0)))
    write_halves(tmp_path / "model", state, "F16")
    content = (tmp_path / "model").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["in_proj_weight"]["dtype"] = code
    if code.startswith("F8"):
        header["in_proj_weight"]["shape"][0] *= 2
    described = json.dumps(header).encode()
    content = len(described).to_bytes(8, "little") + described + content[8 + length :]
    (tmp_path / "model").write_bytes(content)
    with pytest.raises((TypeError, ValueError), match=f"'in_proj_weight' is {name}.*convert it"):
        models.from_torch_attention(tmp_path / "model", HEADS)


CONFIG = {
    "model_type": "gpt2",
    "n_head": HEADS,
    "layer_norm_epsilon": 1e-6,
    "activation_function": "relu",
    "scale_attn_weights": True,
}


@pytest.fixture
def published(tmp_path):
    """A folder as Hugging Face has them, and the model in it."""
    model = language_model(activation="relu", eps=1e-6)
    write_tensors(tmp_path / "model.safetensors", models.to_gpt2(model), {})
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path, model


def test_a_folder_with_several_files(published):
    folder, model = published
    state = models.to_gpt2(model)
    (folder / "model.safetensors").unlink()
    names, parts = list(state), {}
    for i, some in enumerate((names[:5], names[5:])):
        file = f"model-{i}.safetensors"
        write_tensors(folder / file, {name: state[name] for name in some}, {})
        parts |= dict.fromkeys(some, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": parts}))
    assert_same(models.from_gpt2(folder), model)
    for damaged in (
        "",
        "[]",
        "{}",
        '{"weight_map": 5}',
        '{"weight_map": {"a": "../model"}}',
        deep(),
    ):
        index.write_text(damaged)
        with pytest.raises(ModelFileError, match=r"index\.json"):
            models.from_gpt2(folder)
    index.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(
        ModelFileError, match=r"has neither model\.safetensors nor .*pickles such as"
    ):
        models.from_gpt2(folder)


def deep():
    return "[" * 1000 + "]" * 1000


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", deep().encode()])
def test_a_damaged_config_is_named(published, content):
    folder, _ = published
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"config\.json"):
        models.from_gpt2(folder)


def test_heads_come_from_the_config_beside_the_weights(tmp_path):
    """A published folder, a file in it, and nanoGPT's whole checkpoint."""
    model = language_model(eps=1e-3)
    config = {"model_type": "gpt2", "n_head": HEADS, "layer_norm_epsilon": 1e-3}
    config |= {"activation_function": "gelu"}
    safetensors.numpy.save_file(models.to_gpt2(model), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    nanogpt = models.to_gpt2(model, layout="nanogpt")
    checkpoint = {"model": nanogpt, "model_args": {"n_head": HEADS, "block_size": 6}}
    for source in (tmp_path, tmp_path / "model.safetensors"):
        assert_same(models.from_gpt2(source), model)
        assert_same(models.from_gpt2(str(source), HEADS), model)
        with pytest.raises(ValueError, match=f"n_heads is 4, but the config .* has {HEADS}"):
            models.from_gpt2(source, 4)
    assert models.from_gpt2(checkpoint, eps=1e-3).blocks.config()["n_heads"] == HEADS
    with pytest.raises(ValueError, match="n_heads is 4"):
        models.from_gpt2(checkpoint, 4)
    with pytest.raises(ValueError, match="n_heads is needed"):
        models.from_gpt2(nanogpt)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "bert", "n_head": 2}, "does not describe a GPT-2"),
        ([], "does not describe a GPT-2"),
        ({"model_type": "gpt2"}, "n_heads is needed"),
        ({"model_type": "gpt2", "n_head": "2"}, "n_heads is needed"),
        ({"model_type": "gpt2", "n_head": 2, "activation_function": "mish"}, "activation"),
        ({"model_type": "gpt2", "n_head": 2, "activation_function": ["relu"]}, "activation"),
        ({"model_type": "gpt2", "n_head": 2, "layer_norm_epsilon": "1e-5"}, "eps"),
        ({"model_type": "gpt2", "n_head": 2, "scale_attn_weights": False}, "scale_attn_weights"),
        (
            {"model_type": "gpt2", "n_head": 2, "scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx has no counterpart",
        ),
    ],
)
def test_configs_that_are_refused(tmp_path, config, message):
    safetensors.numpy.save_file(gpt2_state(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises((TypeError, ValueError), match=message):
        models.from_gpt2(tmp_path)
