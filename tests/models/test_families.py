"""Families of decoders against what transformers computes, and configs that are refused."""

import contextlib
import json
import shutil
import tracemalloc

import numpy as np
import pytest

from fastnn import models, nn
from fastnn.files import ModelFileError
from fastnn.models import families
from fastnn.models.foreign import read
from fastnn.nn import attention
from fastnn.nn.rotary import Turn, turn_of

from .decoders import config_of, filled
from .pretrained_models import FOLDER, folders

every = pytest.mark.parametrize("folder", folders(encoders=False), ids=lambda folder: folder.name)


@pytest.fixture(autouse=True)
def rates_of_the_oracle(request, monkeypatch):
    """The oracle of bfloat16 weights rounded its angles to bfloat16, too; real models do not."""
    folder = request.node.callspec.params.get("folder") if hasattr(request.node, "callspec") else 0
    if not folder or "bf16" not in folder.name:
        return

    def rounded(settings, head_dim):
        rates, factor = turn_of(settings, head_dim)
        bits = rates.astype(np.float32).view(np.uint32)
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16
        return Turn(bits.astype(np.uint32).view(np.float32).astype(float), factor)

    monkeypatch.setattr(attention, "turn_of", rounded)


def close(found, expected, limit=2e-6):
    assert np.abs(found - expected).max() <= limit * np.abs(expected).max()


@every
def test_logits(folder):
    expected = np.load(folder / "expected.npz")
    model = filled(folder)
    close(model(expected["ids"]), expected["logits"])
    still = filled(folder, resid_pdrop=0, attn_pdrop=0)
    close(still.forward(expected["ids"])[0], expected["logits"])
    close(filled(folder, np.float64)(expected["ids"]), expected["logits"])


@every
def test_load_and_save(folder, tmp_path):
    ids = np.load(folder / "expected.npz")["ids"]
    model = models.load(folder)
    np.testing.assert_array_equal(model(ids), filled(folder)(ids))
    models.save(model, tmp_path / "new")
    np.testing.assert_array_equal(models.load(tmp_path / "new")(ids), model(ids))
    before, after = read(folder), read(tmp_path / "new")
    assert after.keys() == before.keys()
    assert all((after[name] == before[name]).all() for name in before)


@every
def test_greedy_continuations(folder):
    expected = np.load(folder / "expected.npz")
    model, prompt, want = filled(folder), expected["prompt"], expected["greedy"]
    new = want[0, prompt.shape[1] :]
    for stepper in (model, model.freeze()):
        found = models.generate(stepper, prompt, len(new), temperature=0)
        np.testing.assert_array_equal(found[0], new)


@every
def test_a_step_at_a_time(folder):
    expected = np.load(folder / "expected.npz")
    model, ids = filled(folder), expected["ids"]
    for stepper in (model, model.freeze()):
        cache = stepper.new_cache(len(ids))
        for i in range(ids.shape[1]):
            close(stepper.step(ids[:, i : i + 1], cache), expected["logits"][:, i])


@every
def test_gradients(folder):
    model = filled(folder, np.float64)
    ids = np.load(folder / "expected.npz")["ids"][:1, :5]
    assert nn.gradcheck(model, ids, samples=6, rtol=1e-5).worst < 1e-5


LLAMA, NEOX = FOLDER / "llama", FOLDER / "gpt_neox"


def built(folder, **changes):
    config = {**config_of(folder), **changes}
    return families.build({k: v for k, v in config.items() if v != "gone"}, np.float32)[0]


def test_both_spellings_of_rope_settings():
    for folder, old in (
        (LLAMA, {"rope_theta": 10000.0}),
        (FOLDER / "llama-linear-rope", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
        (
            FOLDER / "llama-llama3-rope",
            {
                "rope_theta": 5e5,
                "rope_scaling": {
                    **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0},
                    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 32},
                },
            },
        ),
        (NEOX, {"rotary_pct": 0.25, "rotary_emb_base": 10000}),
        (NEOX, {}),
    ):
        new = built(folder).config()
        assert built(folder, rope_parameters="gone", **old).config() == new


def test_what_configs_leave_out():
    model = built(LLAMA, head_dim="gone", num_key_value_heads="gone", hidden_act="gone")
    attention = model.blocks.blocks[0].attention
    assert (attention.head_dim, attention.n_kv_heads) == (8, 4)
    assert built(LLAMA, tie_word_embeddings="gone").head is not None
    smollm3 = built(FOLDER / "smollm3", no_rope_layers="gone", tie_word_embeddings="gone")
    assert [bool(b.attention.rotary) for b in smollm3.blocks] == [True, True, True, False]
    assert smollm3.head is None


def test_windows_of_layers():
    def of(name, **changes):
        return [b.attention.window for b in built(FOLDER / name, **changes).blocks]

    assert of("mistral") == [8, 8] and of("mistral", sliding_window=None) == [None, None]
    assert of("mistral", sliding_window="gone") == [4096, 4096]
    some = {"use_sliding_window": True, "sliding_window": 4, "layer_types": "gone"}
    for name in ("qwen2", "qwen3"):
        assert of(name, **some, max_window_layers=1) == [None, 4]
        assert of(name, **some) == [None, None]
    kinds = ["sliding_attention", "full_attention"]
    assert of("qwen2", **{**some, "layer_types": kinds}) == [4, None]
    assert of("smollm3", **some) == [None, None, None, 4]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"attention_bias": True}, "attention_bias is True"),
        ("llama", {"mlp_bias": True}, "mlp_bias is True"),
        ("llama", {"hidden_act": "relu6"}, "hidden_act is 'relu6'"),
        ("llama", {"hidden_size": 30, "head_dim": None}, "hidden_size 30"),
        ("llama", {"num_attention_heads": 3}, "n_heads 3 must be a multiple of n_kv_heads 2"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic"}}, "rope_type is 'dynamic'"),
        ("llama", {"rope_parameters": {"mrope_section": [1]}}, "mrope_section of the rope"),
        ("llama", {"rope_parameters": [1]}, "rope_parameters must be an object"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "needs the setting 'factor'"),
        ("llama", {"rope_parameters": {"rope_theta": -1.0}}, "rope_theta"),
        ("llama", {"vocab_size": 0}, "vocab_size"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("qwen2", {"use_sliding_window": True, "layer_types": ["chunked"] * 2}, "layer_types"),
        ("qwen2", {"use_sliding_window": True, "layer_types": []}, "layer_types must have 2"),
        ("smollm3", {"no_rope_layers": [1]}, "no_rope_layers must be 4 times 0 or 1"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("gpt_neox", {"attention_bias": False}, "attention_bias is False"),
        ("gpt_neox", {"rope_parameters": {"partial_rotary_factor": 2.0}}, "partial_rotary_factor"),
    ],
)
def test_configs_that_are_refused(name, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        built(FOLDER / name, **changes)


def test_neox_without_parallel_parts():
    model = built(NEOX, use_parallel_residual=False)
    assert {block.placement for block in model.blocks} == {"pre"}


NASTY = [2**31 - 4, -1, 1.5, "x", [1] * 3, {"factor": 1}]


@pytest.mark.parametrize("name", ["mistral", "smollm3", "gpt2", "gpt_neox"])
def test_any_value_in_a_config_is_read_or_refused(name, tmp_path):
    """No other error than ModelFileError, and no memory that a config merely claims."""
    folder = tmp_path / "m"
    shutil.copytree(FOLDER / name, folder)
    given = config_of(folder)
    rope = given.get("rope_parameters", {})
    keys = [key for key, value in given.items() if type(value) in (int, float, list, dict)]
    keys += ["sliding_window", "rope_scaling", "rope_theta", "head_dim", "layer_types"]
    changed = [{**given, key: value} for key in dict.fromkeys(keys) for value in NASTY]
    for key in (*rope, "factor", "attention_factor", "partial_rotary_factor", "rope_type"):
        values = [*NASTY, "yarn", "llama3"]
        changed += [{**given, "rope_parameters": {**rope, key: value}} for value in values]
    extra = {"use_sliding_window": True, "layer_types": None}
    changed += [{**given, **extra, "num_hidden_layers": 2**31 - 4, "no_rope_layers": None}]
    tracemalloc.start()
    try:
        for config in changed:
            (folder / "config.json").write_text(json.dumps(config))
            with contextlib.suppress(ModelFileError):
                models.load(folder)
            assert tracemalloc.get_traced_memory()[1] < 30e6, config
    finally:
        tracemalloc.stop()
