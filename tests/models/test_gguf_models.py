"""Language models in GGUF files: a fixture in the layout of llama.cpp, and its logits."""

import json
import struct

import numpy as np
import pytest

from fastnn import models
from fastnn.files.tensors import ModelFileError, mapped

from ..files.test_gguf import gguf, text
from .pretrained_models import FOLDER

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
}


def interleaved(x, heads):
    """Rows of q and k as llama.cpp stores them: neighbors rotate together."""
    return x.reshape(heads, 2, -1, x.shape[1]).swapaxes(1, 2).reshape(x.shape)


def convert(changes=()):
    """The bytes of the fixture llama as a GGUF file in float32."""
    config = json.loads((FOLDER / "llama" / "config.json").read_text())
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    arrays = []
    for name, stored in mapped(FOLDER / "llama" / "model.safetensors").items():
        for theirs, other in NAMES.items():
            name = name.replace(theirs, other)
        x = stored.read()
        for part, n in heads.items():
            x = interleaved(x, n) if f".{part}." in name else x
        arrays.append((name, x.shape, 0, np.ascontiguousarray(x).tobytes()))
    numbers = {
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "context_length": config["max_position_embeddings"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
    }
    values = {f"llama.{key}": (4, struct.pack("<I", n)) for key, n in numbers.items()}
    values["llama.attention.layer_norm_rms_epsilon"] = 6, struct.pack("<f", 1e-6)
    values["llama.rope.freq_base"] = 6, struct.pack("<f", 10000)
    values["general.architecture"] = 8, text("llama")
    values.update(changes)
    return gguf([(key, kind, content) for key, (kind, content) in values.items()], arrays)


def test_logits(tmp_path):
    (tmp_path / "m.gguf").write_bytes(convert())
    model = models.load(tmp_path / "m.gguf")
    expected = np.load(FOLDER / "llama" / "expected.npz")
    error = np.abs(model(expected["ids"]) - expected["logits"]).max()
    assert error <= 2e-6 * np.abs(expected["logits"]).max()
    models.save(model, tmp_path / "folder")
    again = models.load(tmp_path / "folder")
    np.testing.assert_array_equal(again(expected["ids"]), model(expected["ids"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": (8, text("mamba"))}, "general.architecture is 'mamba'; suppo"),
        ({"llama.rope.scaling.type": (8, text("yarn"))}, "rope.scaling.type is 'yarn', which"),
        ({"llama.expert_count": (4, struct.pack("<I", 8))}, "expert_count is 8, which is not"),
        ({"llama.block_count": (4, struct.pack("<I", 1))}, "weights have 'model.layers.1"),
        ({"llama.block_count": (4, struct.pack("<I", 3))}, "more weights than|arrays are missing"),
        ({"llama.embedding_length": (8, text("a"))}, "hidden_size must be an integer, got str 'a'"),
    ],
)
def test_what_is_not_supported(tmp_path, changes, message):
    (tmp_path / "m.gguf").write_bytes(convert(changes))
    with pytest.raises(ModelFileError, match=message) as caught:
        models.load(tmp_path / "m.gguf")
    assert str(tmp_path / "m.gguf") in str(caught.value)
