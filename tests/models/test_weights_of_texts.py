"""Sentence encoders, texts and translations with weights of 16 and 8 bits, and their commands."""

import io
import json
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, text
from fastnn.cli import main
from fastnn.models import SentenceEncoder, TextModel

from .sentence_models import make, texts
from .test_text_model import folder as language_model

pytest.importorskip("tokenizers")

__all__ = ["language_model"]

FORMATS = ("bf16", "int8", "int8_g32")
TEXTS = texts(40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "m")


def cosines(a, b):
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_encoders(tmp_path, form, pooling):
    made = make(tmp_path / "m", pooling)
    exact = SentenceEncoder.load(made).encode(TEXTS)
    encoder = SentenceEncoder.load(made, weights=form)
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32 and not np.array_equal(found, exact)
    assert cosines(found, exact).min() > (0.9998 if form == "bf16" else 0.995)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.encode(TEXTS), found)


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_vector_in_any_company(folder, form, n_threads):
    """Also of texts of one or two tokens, whose rows are few when they are alone."""
    from .sentence_models import tokenizer

    bare = tokenizer()
    from tokenizers import processors

    bare.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    some = ["", "cat", "dog", "the cat", "old dog", "the old cat", "red", *TEXTS]
    for encoder in (
        SentenceEncoder.load(folder, weights=form),
        SentenceEncoder(models.load(folder), bare, weights=form, max_len=24),
    ):
        alone = np.stack([encoder.encode(x) for x in some])
        order = np.random.default_rng(1).permutation(len(some))
        for batch_tokens in (1, 50, 4096):
            together = encoder.encode([some[i] for i in order], batch_tokens=batch_tokens)
            np.testing.assert_array_equal(together, alone[order])


def test_what_is_asked_of_an_encoder(folder):
    with pytest.raises(ValueError, match="weights must be"):
        SentenceEncoder.load(folder, weights="int4")
    with pytest.raises(TypeError, match="weights 'int8' need a model of float32"):
        SentenceEncoder.load(folder, dtype="float64", weights="int8")


def test_an_encoder_is_saved_in_bfloat16(folder, tmp_path):
    encoder = SentenceEncoder.load(folder)
    encoder.save(tmp_path / "m", weights="bf16")
    again = SentenceEncoder.load(tmp_path / "m")
    assert cosines(again.encode(TEXTS), encoder.encode(TEXTS)).min() > 0.9998
    sizes = [(x / "model.safetensors").stat().st_size for x in (tmp_path / "m", folder)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("form", FORMATS)
def test_embed_and_search(folder, tmp_path, form, capsys):
    (tmp_path / "t").write_text("".join(f"{line}\n" for line in TEXTS), "utf-8")
    command = [str(folder), str(tmp_path / "t")]
    assert main(["embed", *command, "-o", str(tmp_path / "v.npy"), "--weights", form]) == 0
    expected = SentenceEncoder.load(folder, weights=form).encode(TEXTS)
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), expected)
    capsys.readouterr()
    assert main(["search", *command, TEXTS[4], "--top-k", "1", "--weights", form]) == 0
    assert capsys.readouterr().out.startswith("1.0000\t")


@pytest.mark.parametrize("form", FORMATS)
def test_texts_of_a_folder(language_model, form, capsys):
    plain = models.load(language_model)
    found = TextModel.load(language_model, weights=form)
    assert found.model.nbytes < plain.freeze().nbytes
    expected = found.generate("one two", 6, temperature=0)
    command = ["generate", str(language_model), "--prompt", "one two", "--weights", form]
    assert main([*command, "--temperature", "0", "--max_new_tokens", "6"]) == 0
    assert capsys.readouterr().out == f"one two{expected}\n"
    with pytest.raises(ValueError, match="weights must be"):
        TextModel.load(language_model, weights="int4")


def a_language_model(path, **how):
    vocab = text.CharVocab.from_text("\nabcdefgh [/]")
    model = models.TransformerLM(len(vocab), 16, 2, 1, 8, bias=False, rng=0)
    fastnn.save(model, path, metadata={"vocabulary": vocab.to_json()}, **how)
    return model, vocab


def generated(path, capsys, *options):
    command = ["generate", str(path), "--prompt", "ab", "--temperature", "0"]
    assert main([*command, "--max_new_tokens", "5", *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_has_its_format_in_commands(tmp_path, form, capsys):
    _, vocab = a_language_model(tmp_path / "low", weights=form)
    a_language_model(tmp_path / "plain")
    plan = fastnn.load(tmp_path / "low").freeze(weights=form)
    tokens = list(models.stream(plan, vocab.encode("ab"), 5, temperature=0))
    expected = "ab" + vocab.decode(tokens) + "\n"
    assert generated(tmp_path / "low", capsys) == expected
    assert generated(tmp_path / "low", capsys, "--weights", form) == expected
    assert generated(tmp_path / "plain", capsys, "--weights", form).startswith("ab")
    assert main(["show", str(tmp_path / "low")]) == 0
    assert f", matrices in {form}\n" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "low"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == form


@pytest.mark.parametrize("form", FORMATS)
def test_translations(tmp_path, form, capsys, monkeypatch):
    vocab = text.WordVocab.from_sentences(["go away", "go home", "far away"])
    model = models.Seq2SeqTransformer(len(vocab), d_model=32, n_layers=1, max_len=16, rng=0)
    lines = ["go away", "", "far home go"]
    expected = models.translate(model.freeze(weights=form), vocab, lines, beams=2)
    assert len(expected) == 3 and expected[1] == ""
    metadata = {"vocabulary": vocab.to_json()}
    fastnn.save(model, tmp_path / "m", metadata=metadata)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    command = ["translate", str(tmp_path / "m"), "--beams", "2", "--weights", form]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == expected


def test_a_frozen_model_translates_as_the_model_does():
    src = text.WordVocab.from_sentences(["go away", "go home"])
    tgt = text.WordVocab.from_sentences(["geh weg", "geh nach Hause"])
    model = models.Seq2SeqTransformer(len(src), len(tgt), 32, n_layers=1, max_len=16, rng=0)
    frozen = model.freeze()
    assert frozen.vocab_sizes == model.vocab_sizes == (len(src), len(tgt))
    expected = models.translate(model, src, ["go away"], tgt_vocab=tgt, beams=2)
    assert models.translate(frozen, src, ["go away"], tgt_vocab=tgt, beams=2) == expected
    with pytest.raises(ValueError, match="two vocabularies: give tgt_vocab"):
        models.translate(frozen, src, ["go away"])


@pytest.mark.parametrize("form", FORMATS)
def test_digits(tmp_path, form, capsys):
    model = nn.MLP((64, 32, 10), rng=0)
    model.save(tmp_path / "plain")
    model.save(tmp_path / "low", weights=form)
    found = []
    for name, options in (("plain", ["--weights", form]), ("low", []), ("plain", [])):
        assert main(["predict", str(tmp_path / name), "--digit", "7", "--json", *options]) == 0
        found.append(json.loads(capsys.readouterr().out)["P"])
    assert found[0] == found[1] != found[2]
    np.testing.assert_allclose(found[0], found[2], atol=0.02)


def test_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 7},{'ab'[i % 2]},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(60))
    (tmp_path / "t.csv").write_text("n,c,y\n" + rows)
    train = ["train", "csv", "t.csv", "--target", "y", "--epochs", "3", "--output", "m"]
    assert main(train) == 0
    capsys.readouterr()
    assert main(["predict", "m", "t.csv", "--proba"]) == 0
    plain = capsys.readouterr().out
    for form in FORMATS:
        assert main(["predict", "m", "t.csv", "--proba", "--weights", form]) == 0
        out = capsys.readouterr().out
        assert out != plain and out.count("\n") == plain.count("\n")
    assert main(["predict", "m", "t.csv", "--weights", "int4"]) == 2


@pytest.mark.parametrize("form", FORMATS)
def test_export(tmp_path, form, capsys):
    a_language_model(tmp_path / "plain")
    command = ["export", str(tmp_path / "plain"), str(tmp_path / "low")]
    assert main([*command, "--weights", form, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == form and found["bytes"] == (tmp_path / "low").stat().st_size
    a_language_model(tmp_path / "expected", weights=form)
    assert (tmp_path / "low").read_bytes() == (tmp_path / "expected").read_bytes()
    assert generated(tmp_path / "low", capsys) == generated(tmp_path / "expected", capsys)
    assert main([*command, "--weights", form, "--format", "onnx"]) == 2
    assert "--weights: OUT is then a file of fastnn" in capsys.readouterr().err
    nn.MLP((3, 2), rng=0, dtype=np.float64).save(tmp_path / "plain")
    assert main([*command, "--weights", form]) == 2
    assert "need a model of float32, not float64" in capsys.readouterr().err


def test_float64_is_refused_by_name(tmp_path, capsys):
    nn.MLP((64, 10), rng=0, dtype=np.float64).save(tmp_path / "m")
    assert main(["predict", str(tmp_path / "m"), "--digit", "7", "--weights", "int8"]) == 2
    assert "weights 'int8' need a model of float32, not of float64" in capsys.readouterr().err


def test_sklearn(folder):
    pytest.importorskip("sklearn")
    from fastnn.sklearn import SentenceEncoder as Transformer

    expected = SentenceEncoder.load(folder, weights="int8").encode(TEXTS)
    found = Transformer(folder, weights="int8").fit()
    np.testing.assert_array_equal(found.transform(TEXTS), expected)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.transform(TEXTS), expected)
    with pytest.raises(ValueError, match="weights are for a folder"):
        Transformer(SentenceEncoder.load(folder), weights="int8").fit()
