"""Model files that are foreign, deeply nested, in half precision or not files at all."""

import gzip
import json
import os

import numpy as np
import pytest

from fastnn import nn
from fastnn.files import load, save
from fastnn.files.model import describe
from fastnn.files.tensors import ModelFileError, write_tensors
from fastnn.train import load_checkpoint, save_checkpoint


def rewrite(source, target, changes):
    """Copy a safetensors file with other fields for some of its arrays."""
    content = source.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, fields in changes.items():
        header[name] |= fields
    described = json.dumps(header).encode()
    target.write_bytes(len(described).to_bytes(8, "little") + described + content[8 + length :])


@pytest.mark.parametrize(("code", "name"), [("F16", "float16"), ("BF16", "bfloat16")])
def test_models_and_runs_in_half_precision_are_refused_by_name(tmp_path, code, name):
    """Only weights of other libraries are widened: our files state their dtype."""
    layer = nn.Linear(2, 2, bias=False, rng=0)
    save_checkpoint(tmp_path / "run", layer, extra={"a": np.zeros(4, np.uint16)})
    rewrite(tmp_path / "run", tmp_path / "half", {"run/extra/a": {"dtype": code}})
    if code == "BF16":
        with pytest.raises(ModelFileError, match=f"'run/extra/a' is {name}: .* convert it before"):
            load_checkpoint(tmp_path / "half", layer)
    else:
        assert load_checkpoint(tmp_path / "half", layer).extra["a"].dtype == np.float16
    save(layer, tmp_path / "model")
    rewrite(tmp_path / "model", tmp_path / "half", {"weight": {"dtype": code, "shape": [2, 4]}})
    with pytest.raises(ModelFileError, match=f"'weight' is {name} .*: .* convert it before"):
        load(tmp_path / "half")


@pytest.mark.parametrize(
    "dtype", ["float16", "int8", "int16", "uint16", "uint8", "bool", "float64", "int32", "uint64"]
)
def test_runs_hold_arrays_of_any_type_that_the_format_has(tmp_path, dtype):
    array = np.arange(5).astype(dtype)
    save_checkpoint(tmp_path / "run", nn.ReLU(), extra={"a": array})
    found = load_checkpoint(tmp_path / "run", nn.ReLU()).extra["a"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    save(nn.Linear(2, 2, rng=0), tmp_path / "m")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", os.devnull):
        with pytest.raises(OSError, match="Not a regular file: models are mapped") as caught:
            load(path)
        assert caught.value.filename == str(path)
    (tmp_path / "m.gz").write_bytes(gzip.compress((tmp_path / "m").read_bytes()))
    with pytest.raises(ModelFileError, match=r"m\.gz is not a safetensors file.*: decompress it"):
        load(tmp_path / "m.gz")


@pytest.mark.parametrize("levels", [250, 950, 1000, 100_000])
def test_deep_metadata(tmp_path, levels):
    nested = {
        "lists": "[" * levels + "]" * levels,
        "objects": '{"a":' * levels + "1" + "}" * levels,
        "layers": '{"type":"Sequential","layers":[' * levels + '{"type":"ReLU"}' + "]}" * levels,
    }
    for described in nested.values():
        model, run = f'{{"version":1,"model":{described}}}', describe(nn.ReLU())
        for metadata, read in (
            ({"fastnn": model}, load),
            ({"fastnn": run, "fastnn.run": described}, lambda p: load_checkpoint(p, nn.ReLU())),
        ):
            write_tensors(tmp_path / "deep", {}, metadata)
            with pytest.raises(ModelFileError, match=r"deep .* nested more than 200 levels deep"):
                read(tmp_path / "deep")


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    model: nn.Module = nn.ReLU()
    for _ in range(98):
        model = nn.Sequential(model)
    save(model, tmp_path / "m")
    assert load(tmp_path / "m").config() == model.config()
    before = (tmp_path / "m").read_bytes()
    for _ in range(10):
        model = nn.Sequential(model)
    with pytest.raises(ValueError, match="nested more than 200 levels deep"):
        save(model, tmp_path / "m")
    extra: list = []
    for _ in range(300):
        extra = [extra]
    with pytest.raises(ValueError, match="nested more than 200 levels deep"):
        save_checkpoint(tmp_path / "m", nn.ReLU(), extra={"a": extra})
    assert (tmp_path / "m").read_bytes() == before
