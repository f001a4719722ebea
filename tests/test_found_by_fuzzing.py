"""Wrong calls that ended in Python's own words, or in too many, until tests/reliability."""

import json

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim, text, train
from fastnn.data.csv_file import TableError, read_csv
from fastnn.files.tensors import MESSAGE, write_tensors

IDS = np.array([[1, 2, 3]])


def language_model():
    return models.TransformerLM(11, 8, 2, 1, 8, rng=0)


@pytest.mark.parametrize("dtype", ["9" * 5000, "f4,", "x" * 5000, "(", "1" * 30, object(), 3.5])
def test_dtypes_that_numpy_reads_as_python(dtype):
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got") as caught:
        nn.Linear(2, 2, dtype=dtype)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda n: language_model().freeze(n), "max_len"),
        (lambda n: language_model().new_cache(2, -n), "max_len"),
        (lambda n: nn.MLP((2, 2)).seed(n), "seed"),
        (lambda n: language_model().generate([[1]], 1, temperature=n), "temperature"),
        (lambda n: language_model().generate(n, 1), "prompts"),
    ],
)
def test_integers_that_python_does_not_write(call, name):
    with pytest.raises((ValueError, TypeError), match=f"{name}.* an int of 16610 bits"):
        call(10**5000)


@pytest.mark.parametrize("model", [None, IDS, "model", nn.MLP])
def test_what_is_no_model(model, tmp_path):
    with pytest.raises(TypeError, match=r"save: model must be an nn\.Module"):
        fastnn.save(model, tmp_path / "m")
    decoding = "model must have `step`"
    with pytest.raises(TypeError, match=decoding):
        models.generate(model, IDS, 1)
    with pytest.raises(TypeError, match=decoding):
        models.stream(model, IDS[0], 1)
    cache = language_model().new_cache(1)
    with pytest.raises(TypeError, match=decoding):
        models.beam_search(model, cache, bos=1, eos=2, max_len=3)


@pytest.mark.parametrize("cache", [None, True, 3, IDS, "cache"])
def test_what_is_no_cache(cache):
    with pytest.raises(TypeError, match="step: state must be one that new_cache or new_state"):
        language_model().step(IDS, cache)


@pytest.mark.parametrize("cache", [None, 3, IDS, "cache", nn.MLP])
def test_what_is_no_cache_for_beams(cache):
    with pytest.raises(TypeError, match="cache must be one that new_cache returned, got"):
        models.beam_search(language_model(), cache, bos=1, eos=2, max_len=3)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: optim.Adam(nn.MLP((2, 2), rng=0).parameters(), betas=wrong),
        lambda wrong: nn.Linear(2, 2, init=wrong),
        lambda wrong: text.BPE(["a"], merges=[wrong]),
        lambda wrong: train.fit(nn.MLP((2, 2)), IDS, IDS[0], optimizer="sgd", class_weight=wrong),
    ],
)
@pytest.mark.parametrize("wrong", [np.ones((5, 2), object), "x" * 5000, b"x" * 5000])
def test_messages_do_not_quote_what_was_given_at_length(call, wrong):
    """One line, and no data."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call(wrong)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_a_token_above_int64():
    model = language_model()
    for stepper in (model, model.freeze()):
        with pytest.raises(IndexError, match="prompt 0 has the token 9223372036854775808"):
            models.generate(stepper, [[2**63]], 1)


@pytest.mark.parametrize("shape", [3, "ab", np.array(["a", "b"]), (2, None), (2.5, 4), (-1, 2)])
def test_shapes_of_a_summary(shape):
    with pytest.raises((TypeError, ValueError), match="input_shape must be"):
        nn.MLP((2, 2)).summary(shape)


def test_a_list_for_a_residual_block():
    with pytest.raises(TypeError, match="Residual: x must be an array, got list"):
        nn.Residual(nn.Dropout(0.5))([[1.0]])


def test_an_index_whose_files_are_no_texts(tmp_path):
    for names in ({"a": [1]}, {"a": {}}, {"a": None}, {"a": 3}, {"a": ""}, [], 3):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
        with pytest.raises(ValueError, match="weight_map does not name files of the folder"):
            models.folders.weight_files(tmp_path)


def test_rotations_of_heads_that_no_memory_holds():
    """Refused before a table of their rates is made."""
    with pytest.raises(ValueError, match="rotary dims must be from 2 to 65536"):
        nn.rotary.turn_of({"base": 1e4}, 2**40)


def test_messages_about_files_are_short(tmp_path):
    """They quote what stands in a file, of any length."""
    path = tmp_path / "m"
    for described in ('{"version":1,"model":{"type":"ReLU","%s":1}}', '{"%s":1}', "%s"):
        write_tensors(path, {}, {"fastnn": described % ("x" * 5000)})
        with pytest.raises(ValueError) as caught:
            fastnn.load(path)
        assert len(str(caught.value)) < MESSAGE + len(str(path)) + 60
    fastnn.save(nn.LayerNorm(2), path)
    written = path.read_bytes()
    path.write_bytes(written[:8] + b'"' + b"x" * 5000 + b'"' + b" " * 5000)
    with pytest.raises(ValueError) as caught:
        fastnn.load(path)
    assert len(str(caught.value)) < MESSAGE + len(str(path)) + 60
    specials = '["<pad>","<unk>","<bos>","%s"]' % ("x" * 5000)
    for kind in ("words", "bpe"):
        with pytest.raises(ValueError) as caught:
            text.from_json(f'{{"kind":"{kind}","tokens":{specials},"merges":[]}}')
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("rows", ["{0},{0}\n1,2", "{0},b\n1,2", "a,b\n{0},1\n2,{0}"])
def test_messages_about_tables_are_short(rows, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(rows.format("x" * 5000) + "\n")
    with pytest.raises(TableError) as caught:
        read_csv(path).column("y" * 5000)
    assert len(str(caught.value)) < len(str(path)) + 700
