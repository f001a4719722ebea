"""Model files with matrices of 16 and 8 bits: what they hold, what is read, and damaged ones."""

import json
import os

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fastnn
from fastnn import kernels, models, nn
from fastnn.files import ModelFileError, load, load_metadata, plan_from_file, save
from fastnn.files.formats import FORMATS
from fastnn.files.model import format_of
from fastnn.train import load_checkpoint

from ..golden.cases import CASES, filled, outputs
from ..kernels.test_low import groups, quantized, to_bf16

IDS = np.array([[3, 1, 4, 1, 5]])


def mlp():
    return filled(nn.MLP((70, 530, 31), rng=0))


def rounded(name, x, form):
    """A matrix as its file rounds it: tables have the scales of rows."""
    if form == "bf16":
        return to_bf16(x)
    turned = x.T if "embedding" in name or "positions" in name else x
    if form == "int8":
        q, scale = quantized(turned)
        found = q.astype(np.float32) * scale
    else:
        found = np.concatenate([groups(turned[i : i + 32]) for i in range(0, len(turned), 32)])
    return found.T if turned is not x else found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_every_model_is_read_as_it_was_rounded(tmp_path, case, form):
    model, args, named = CASES[case](np.float32)
    filled(model)
    save(model, tmp_path / "m", metadata={"by": "a test"}, weights=form)
    again = load(tmp_path / "m")
    assert again.config() == model.config() and load_metadata(tmp_path / "m")["by"] == "a test"
    for (name, p), (_, q) in zip(
        model.parameters().named(), again.parameters().named(), strict=True
    ):
        if p.data.ndim != 2:
            np.testing.assert_array_equal(q.data, p.data)
        elif case not in ("tokens", "rows"):  # of which the names do not say what is a table
            np.testing.assert_array_equal(q.data, rounded(name, p.data, form), err_msg=name)
        else:
            assert np.abs(q.data - p.data).max() <= np.abs(p.data).max() / 100
    assert all(np.isfinite(y).all() for y in outputs(again, args, named))
    save(again, tmp_path / "again", metadata={"by": "a test"}, weights=form)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def near(a, b):
    return np.abs(a - b).max() <= 0.03 * np.abs(b).max()


@pytest.mark.parametrize("form", FORMATS)
def test_a_plan_has_the_format_of_its_file(tmp_path, form):
    model = mlp()
    save(model, tmp_path / "m", weights=form)
    x = np.random.default_rng(0).standard_normal((9, 70), dtype=np.float32)
    plan = plan_from_file(tmp_path / "m")
    assert plan.nbytes == model.freeze(weights=form).nbytes
    # 530 rows make two blocks of 265, and groups of 32 that begin with a block
    found, expected = plan(x), model.freeze(weights=form)(x)
    assert np.array_equal(found, expected) if form != "int8_g32" else near(found, expected)
    for other in FORMATS:
        assert plan_from_file(tmp_path / "m", weights=other)(x).shape == (9, 31)
    assert near(load(tmp_path / "m")(x), found)
    save(model, tmp_path / "f")
    assert (format_of(tmp_path / "m"), format_of(tmp_path / "f")) == (form, None)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("k", [1, 31, 32, 33, 64, 500, 512, 1024])
def test_codes_are_those_of_a_packed_matrix(tmp_path, form, k):
    """What was read rounds to itself: few rows show the weights of a packed matrix."""
    layer = filled(nn.Linear(k, 33, bias=False, rng=0))
    layer.weight.data[:, 3] = 0
    layer.weight.data[0, 4] *= 1e-39
    save(layer, tmp_path / "m", weights=form)
    again = load(tmp_path / "m")
    eye = np.eye(k, dtype=np.float32)
    for start in range(0, k, 100):
        x = eye[start : start + 4]
        once = kernels.matmul(x, kernels.pack(layer.weight.data, form))
        np.testing.assert_array_equal(
            kernels.matmul(x, kernels.pack(again.weight.data, form)), once
        )


def test_sizes_and_what_other_readers_see(tmp_path):
    model = filled(models.TransformerLM(300, 64, 4, 2, 32, tie_weights=False))
    sizes = {}
    for form in (None, *FORMATS):
        save(model, tmp_path / "m", weights=form)
        sizes[form] = os.path.getsize(tmp_path / "m")
    assert sizes["bf16"] < 0.52 * sizes[None] and sizes["int8_g32"] < 0.32 * sizes[None]
    assert sizes["int8"] < sizes["int8_g32"]
    arrays = safetensors.numpy.load_file(tmp_path / "m")  # int8_g32, the last one
    assert arrays["embedding.weight"].dtype == np.int8
    assert arrays["embedding.weight.scale"].shape == (300, 2)
    assert arrays["head.weight.scale"].shape == (2, 300)
    save(model, tmp_path / "m", weights="int8")
    arrays = safetensors.numpy.load_file(tmp_path / "m")
    table = arrays["embedding.weight"] * arrays["embedding.weight.scale"]
    np.testing.assert_array_equal(table, load(tmp_path / "m").embedding.weight.data)
    save(model, tmp_path / "m", weights="bf16")
    with safetensors.safe_open(tmp_path / "m", "numpy") as file:
        assert file.get_slice("head.weight").get_dtype() == "BF16"
        assert file.get_slice("blocks.norm.weight").get_dtype() == "F32"


def test_numbers_that_are_not_finite(tmp_path):
    layer = filled(nn.Linear(40, 5, rng=0))
    layer.weight.data[3, 1], layer.weight.data[33, 2] = np.nan, np.inf
    save(layer, tmp_path / "m", weights="int8")
    found = load(tmp_path / "m").weight.data
    assert np.isnan(found[:, 1:3]).all() and np.isfinite(found[:, [0, 3, 4]]).all()
    save(layer, tmp_path / "m", weights="int8_g32")
    found = load(tmp_path / "m").weight.data
    assert np.isnan(found[:32, 1]).all() and np.isnan(found[32:, 2]).all()
    assert np.isfinite(found[32:, 1]).all() and np.isfinite(found[:32, 2]).all()
    save(layer, tmp_path / "m", weights="bf16")
    found = load(tmp_path / "m").weight.data
    assert np.isnan(found[3, 1]) and np.isinf(found[33, 2]) and np.isfinite(found).sum() == 198


def test_refusals_write_nothing(tmp_path):
    for model, weights, error, message in (
        (nn.MLP((3, 2), rng=0, dtype=np.float64), "int8", TypeError, "need a model of float32"),
        (nn.MLP((3, 2), rng=0), "int4", ValueError, "weights must be"),
        (nn.MLP((3, 2), rng=0), "float32", ValueError, "weights must be"),
    ):
        with pytest.raises(error, match=message):
            model.save(tmp_path / "m", weights=weights)
    assert os.listdir(tmp_path) == []


class HasScales(nn.Module):
    """A layer with a parameter where the scales of another one would be."""

    forward = backward = None

    def __init__(self):
        self.weight, self.scale = (nn.Parameter(np.ones((2, 2), np.float32)) for _ in "ab")
        super().__init__({"weight": self.weight, "weight.scale": self.scale})


def test_a_parameter_where_scales_would_be(tmp_path):
    with pytest.raises(ValueError, match=r"scales of 'weight' would have the name of a parameter"):
        save(HasScales(), tmp_path / "m", weights="int8")


def rewrite(path, change, described):
    """The file with other arrays and other metadata."""
    arrays = safetensors.numpy.load_file(path) | change
    arrays = {name: x for name, x in arrays.items() if x is not None}
    metadata = {"fastnn": json.dumps(json.loads(load_metadata(path)["fastnn"]) | described)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata=metadata))


@pytest.mark.parametrize(
    ("change", "described", "message"),
    [
        ({}, {"weights": "int4"}, "its weights are 'int4', which version 2 has not"),
        ({}, {"weights": ["int8"]}, r"its weights are \['int8'\], which version 2 has not"),
        ({}, {"weights": None}, "its weights are None"),
        ({}, {"weights": "bf16"}, "unexpected"),
        ({}, {"weights": "int8_g32"}, r"'0.weight.scale' is float32 \(1, 4\), but .* \(2, 4\)"),
        ({}, {"version": 1}, "its weights are 'int8', which version 1 has not"),
        ({}, {"version": 3}, "version 3 of the format, this fastnn reads versions 1 and 2"),
        ({}, {"more": 1}, "malformed"),
        ({}, {"model": nn.MLP((40, 4), dtype=np.float64).config()}, "'0.weight' is float64"),
        ({"0.weight.scale": None}, {}, r"missing arrays \['0.weight.scale'\]"),
        ({"0.weight.scale": np.ones((4, 1), "f4")}, {}, r"\(4, 1\), but the model needs"),
        ({"0.weight.scale": np.ones((1, 4))}, {}, "is float64"),
        ({"0.weight": np.ones((40, 4), "f4")}, {}, "is float32 .* needs int8"),
        ({"0.weight": np.ones((4, 40), "i1")}, {}, r"int8 \(4, 40\)"),
        ({"0.bias": np.ones(4, "i1")}, {}, "'0.bias' is int8"),
        ({"1.weight.scale": np.ones((1, 4), "f4")}, {}, "unexpected"),
    ],
)
def test_damaged_files(tmp_path, change, described, message):
    path = tmp_path / "m.safetensors"
    save(nn.MLP((40, 4), rng=0), path, weights="int8")
    rewrite(path, change, described)
    for read in (load, plan_from_file):
        with pytest.raises(ModelFileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_any_scales_are_numbers(tmp_path):
    """Codes and scales that fastnn would not write are read as they stand."""
    path = tmp_path / "m.safetensors"
    save(nn.MLP((40, 4), rng=0), path, weights="int8")
    q = np.full((40, 4), -128, np.int8)
    scale = np.float32([[-1, np.nan, np.inf, 3e38]])
    rewrite(path, {"0.weight": q, "0.weight.scale": scale}, {})
    found = load(path)[0].weight.data
    np.testing.assert_array_equal(found[0], np.float32([128, np.nan, -np.inf, -np.inf]))


def test_a_run_is_not_in_such_a_file(tmp_path):
    model = nn.MLP((40, 4), rng=0)
    save(model, tmp_path / "m", weights="bf16")
    with pytest.raises(ModelFileError, match="does not hold a training run"):
        load_checkpoint(tmp_path / "m", model)


def test_files_of_float32_have_the_version_that_older_ones_read(tmp_path):
    save(mlp(), tmp_path / "m")
    assert json.loads(load_metadata(tmp_path / "m")["fastnn"])["version"] == 1
    save(mlp(), tmp_path / "m", weights="bf16")
    described = json.loads(load_metadata(tmp_path / "m")["fastnn"])
    assert described["version"] == 2 and described["weights"] == "bf16"


def test_folders_of_bfloat16(tmp_path):
    new = filled(models.TransformerEncoderModel(50, 16, 2, 1, 32, 8, rng=0))
    config = {"model_type": "bert", "vocab_size": 50, "hidden_size": 16}
    config |= {"num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}
    config |= {"max_position_embeddings": 8}
    models.save(new, tmp_path / "m", config=config, weights="bf16")
    written = json.loads((tmp_path / "m" / "config.json").read_text())
    assert written["dtype"] == written["torch_dtype"] == "bfloat16"
    with safetensors.safe_open(tmp_path / "m" / "model.safetensors", "numpy") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}
    again = models.load(tmp_path / "m")
    for p, q in zip(new.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(q.data, to_bf16(p.data))
    models.save(again, tmp_path / "again", weights="bf16")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "m" / name).read_bytes()
    with pytest.raises(ValueError, match="weights must be None or 'bf16'"):
        models.save(again, tmp_path / "m", weights="int8")


def test_a_language_model_generates_from_its_file(tmp_path):
    model = filled(models.TransformerLM(11, 8, 2, 1, 6))
    fastnn.save(model, tmp_path / "m", weights="int8")
    plan = plan_from_file(tmp_path / "m", 6)
    assert plan.step(IDS, plan.new_cache(1)).shape == (1, 11)
