"""The encoder-decoder: gradients, decoding, files, threads."""

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim
from fastnn.nn import parameter_shapes

LENGTHS = np.array([3, 5, 1])


def new_model(**options):
    sizes = {"d_model": 8, "n_heads": 2, "n_layers": 2, "n_decoder_layers": 1, "max_len": 9}
    return models.Seq2SeqTransformer(11, **sizes, **{"dtype": float, "rng": 0, **options})


def ids(n, seed=0, high=9):
    return np.random.default_rng(seed).integers(0, high, (3, n))


OPTIONS = [
    {},
    {"tgt_vocab_size": 9, "norm_first": True, "tie_weights": False, "position": "learned"},
    {
        "final_norm": True,
        "scale_embedding": False,
        "bias": False,
        "activation": "gelu",
        "dropout": 0.0,
    },
]


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_and_loss(options):
    model = new_model(**options)
    src, tgt, targets = ids(5), ids(4, 1), ids(4, 2)
    targets[0, 2:] = -100
    assert nn.gradcheck(model, src, tgt, LENGTHS, samples=8, rtol=1e-5).worst < 1e-5
    found = []
    for whole in (False, True):
        model.zero_grad()
        model.seed(1)
        if whole:
            logits, ctx = model.forward(src, tgt, LENGTHS)
            loss, dlogits = nn.cross_entropy(logits, targets, label_smoothing=0.1)
            model.backward(dlogits, ctx)
        else:
            loss, n = model.loss_and_grad((src, tgt, LENGTHS), targets, label_smoothing=0.1)
            assert n == 10
        found.append((loss, model.parameters().grad.copy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-13)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-14)
    loss, n = model.loss((src, tgt, LENGTHS), targets)
    assert loss == pytest.approx(nn.cross_entropy(model(src, tgt, LENGTHS), targets)[0], rel=1e-13)


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_with_a_cache_equal_the_whole_pass(options):
    model = new_model(**options)
    src, tgt = ids(5), ids(6, 1)
    whole = model(src, tgt, LENGTHS)
    cache = model.new_cache(src, LENGTHS)
    for t in range(6):
        found = model.step(tgt[:, t : t + 1], cache)
        np.testing.assert_allclose(found, whole[:, t], rtol=1e-12, atol=1e-13)
    padding = src.copy()
    padding[0, 3:] = 7
    np.testing.assert_array_equal(model(padding, tgt, LENGTHS)[0], whole[0])


@pytest.mark.parametrize("options", OPTIONS)
def test_files(options, tmp_path):
    model = new_model(**options)
    model.save(tmp_path / "model.safetensors")
    again = fastnn.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again(ids(5), ids(4, 1)), model(ids(5), ids(4, 1)))
    assert repr(again) == repr(model)


def test_summary_counts_every_parameter_once():
    model = new_model()
    summary = model.summary((2, 5))
    assert summary.parameters == model.parameters().size and "cross_attention.kv" in str(summary)


def test_same_bits_for_any_number_of_threads():
    def trained():
        model = models.Seq2SeqTransformer(300, d_model=64, n_heads=4, n_layers=1, rng=0)
        model.seed(0)
        optimizer = optim.Adam(model.parameters())
        rng = np.random.default_rng(0)
        src, tgt = rng.integers(0, 300, (2, 40, 30))
        for _ in range(2):
            optimizer.zero_grad()
            model.loss_and_grad((src, tgt, np.full(40, 25)), tgt, label_smoothing=0.1)
            optimizer.step(max_norm=1.0)
        return model.parameters().data

    with fastnn.num_threads(1):
        expected = trained()
    for n in (2, 3, 8):
        with fastnn.num_threads(n):
            np.testing.assert_array_equal(trained(), expected)


@pytest.mark.parametrize("position", ["learned", "sinusoidal"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"n_decoder_layers": 0},
        {"n_decoder_layers": 10**9},
        {"n_layers": -1},
        {"src_vocab_size": 0},
        {"tgt_vocab_size": 0},
        {"d_ff": -32},
        {"max_len": -9},
        {"max_len": 10**9},
    ],
)
def test_hostile_configs_are_refused_before_memory_is_taken(wrong, position):
    model = new_model(position=position)
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} "):
        parameter_shapes(model.config() | wrong)


@pytest.mark.parametrize("name", ["n_layers", "n_decoder_layers", "src_vocab_size", "d_ff"])
def test_sizes_are_refused_by_their_names(name):
    sizes = {"src_vocab_size": 11, "d_model": 8, "n_heads": 2} | {name: 0}
    with pytest.raises(ValueError, match=f"^{name} must be (at least|from) 1"):
        models.Seq2SeqTransformer(**sizes)


def test_errors_name_what_is_wrong():
    model = new_model()
    with pytest.raises(ValueError, match="src"):
        model(ids(5)[0], ids(4))
    with pytest.raises(ValueError, match="max_len 9"):
        model(ids(5), ids(10))
    with pytest.raises(ValueError, match="targets"):
        model.loss((ids(5), ids(4)), ids(3))
    with pytest.raises(IndexError):
        model(ids(5) + 20, ids(4))
