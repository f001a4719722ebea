"""Lists of sentences through an encoder-decoder, its attention weights, and their picture."""

import numpy as np
import pytest

from fastnn import models, plot, text

V, D = 12, 16


def new_model(**options):
    options = {"d_model": D, "n_heads": 2, "n_layers": 2, "d_ff": 24, "max_len": 20, **options}
    return models.Seq2SeqTransformer(V, rng=0, **options)


def new_ids(*shape, seed=1):
    return np.random.default_rng(seed).integers(4, V, shape)


class Vocab(text.Vocab):
    """Letters a to h."""

    def __init__(self):
        super().__init__(["<pad>", "<unk>", "<bos>", "<eos>", *"abcdefgh"], specials=True)

    def encode(self, words):
        return np.array([self.tokens.index(letter) for letter in words], np.int32)

    def decode(self, ids):
        return "".join(self._shown(ids))


def test_translate_is_generate_sentence_by_sentence():
    model, vocab = new_model(), Vocab()
    given = ["abc", "", "h", "gfedcba", "bb"]
    alone = []
    for sentence in given:
        src = np.append(vocab.encode(sentence), vocab.eos_id)[None]
        how = {"bos": 2, "eos": 3, "beams": 3, "length_penalty": 0.5, "max_len": 20}
        (best,) = model.generate(src, **how)
        alone.append(vocab.decode(best[0].tokens) if sentence else "")
    for rows in (1, 2, 100):
        found = models.translate(model, vocab, given, beams=3, length_penalty=0.5, rows=rows)
        assert found == alone
    assert any(alone) and models.translate(model, vocab, []) == []


def test_what_translate_refuses():
    model, vocab = new_model(), Vocab()
    with pytest.raises(ValueError, match="sentence 1 has 21 tokens, the model takes 20"):
        models.translate(model, vocab, ["a", "b" * 20])
    with pytest.raises(TypeError, match="one str"):
        models.translate(model, vocab, "abc")
    with pytest.raises(ValueError, match="rows must be at least 1"):
        models.translate(model, vocab, ["a"], rows=0)
    with pytest.raises(
        ValueError, match=r"needs a vocabulary with <bos>.*<CharVocab of 12 tokens>"
    ):
        models.translate(model, text.CharVocab.from_text("abcdefghijkl"), ["a"])


@pytest.mark.parametrize("norm_first", [False, True])
def test_attention_weights(norm_first):
    model = new_model(norm_first=norm_first, n_decoder_layers=3)
    src, tgt, lengths = new_ids(2, 7), new_ids(2, 5, seed=2), np.array([7, 4])
    found = model.attention_weights(src, tgt, lengths)
    assert [w.shape for w in found.encoder] == [(2, 2, 7, 7)] * 2
    assert [w.shape for w in found.decoder] == [(2, 2, 5, 5)] * 3
    assert [w.shape for w in found.cross] == [(2, 2, 5, 7)] * 3
    for weights in (*found.encoder, *found.decoder, *found.cross):
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    for weights in (*found.encoder, *found.cross):
        assert (weights[1, :, :, 4:] == 0).all() and (weights[0] > 0).all()
    for weights in found.decoder:
        assert (np.triu(weights, 1) == 0).all()


@pytest.mark.parametrize("norm_first", [False, True])
def test_attention_weights_by_hand(norm_first):
    """Each cross-attention from what its block is given, as forward passes them on."""
    model = new_model(norm_first=norm_first, dtype=np.float64)
    src, tgt = new_ids(2, 6), new_ids(2, 4, seed=2)
    memory = model.encode(src)
    x = model.positions(model.tgt_embedding(tgt))
    for block, seen in zip(model.decoder, model.attention_weights(src, tgt).cross, strict=True):
        first, second, _ = block.norms
        own = block.attention(first(None, x)[0] if norm_first else x, causal=True)
        y = x + own if norm_first else first(own, x)
        q = block.cross_attention.q(second(None, y)[0] if norm_first else y)
        k = block.cross_attention.kv(memory)[..., :D]
        q, k = (a.reshape(2, -1, 2, D // 2).transpose(0, 2, 1, 3) for a in (q, k))
        scores = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(D // 2))
        np.testing.assert_allclose(seen, scores / scores.sum(-1, keepdims=True), rtol=1e-9)
        x = block(x, memory)


def test_attention_weights_check_ids():
    with pytest.raises(ValueError, match="tgt must be an array"):
        new_model().attention_weights(new_ids(1, 3), new_ids(3))


def test_attention_maps(tmp_path):
    pytest.importorskip("matplotlib")
    layers = [np.random.default_rng(i).random((3, 4, 5)) for i in range(2)]
    labels = {"xlabels": list("ab$d$"), "ylabels": ["w", "x", "y", "z"]}
    figure = plot.attention_maps(layers, tmp_path / "a.png", **labels)
    *maps, _ = figure.axes
    assert len(maps) == 6 and (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for i, axes in enumerate(maps):
        image = axes.images[0]
        np.testing.assert_array_equal(image.get_array(), layers[i // 3][i % 3])
        assert image.get_cmap().name == "Reds"
    assert [tick.get_text() for tick in maps[3].get_yticklabels()] == labels["ylabels"]
    assert [tick.get_text() for tick in maps[5].get_xticklabels()] == ["a", "b", "$", "d", "$"]


@pytest.mark.parametrize(
    ("weights", "labels", "message"),
    [
        ([], {}, "weights must be"),
        ([np.ones((2, 3))], {}, "weights must be"),
        ([np.ones((1, 2, 3)), np.ones((1, 2, 4))], {}, "weights must be"),
        ([np.ones((1, 2, 3))], {"xlabels": ["a"]}, "1 xlabels do not fit 3 positions"),
        ([np.ones((1, 2, 3))], {"ylabels": ["a"]}, "1 ylabels do not fit 2 positions"),
    ],
)
def test_what_attention_maps_refuse(weights, labels, message):
    with pytest.raises(ValueError, match=message):
        plot.attention_maps(weights, **labels)


@pytest.mark.parametrize("wrong", [None, "vocab", 5, ["a"]])
def test_what_is_no_vocabulary_or_model(wrong):
    vocab = text.WordVocab.from_sentences(["a b"])
    with pytest.raises(TypeError, match=r"vocab must be a text\.Vocab, got "):
        models.translate(new_model(), wrong, ["a"])
    with pytest.raises(TypeError, match="model must be a Seq2SeqTransformer, got "):
        models.translate(wrong, vocab, ["a"])
    with pytest.raises(TypeError, match=r"takes several|takes a str"):
        models.translate(new_model(), vocab, wrong if isinstance(wrong, str) else [wrong])
    with pytest.raises(TypeError, match="rows must be an integer"):
        models.translate(new_model(), vocab, ["a"], rows=2.5)
