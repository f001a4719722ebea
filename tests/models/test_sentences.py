"""Sentence encoders: pooling, the same vector in any company, prompts, search, training."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim, train
from fastnn.checks import check_bytes
from fastnn.models import SentenceEncoder, TransformerEncoderModel
from fastnn.models.sentences import CHARACTERS

from .sentence_models import make, texts, tokenizer

pytest.importorskip("tokenizers")

TEXTS = texts(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "mean")


@pytest.fixture(scope="module")
def encoder(folder):
    return SentenceEncoder.load(folder)


def reference(encoder, text, pooling="mean"):
    """The vector of a text from the hidden vectors of the model, in float64."""
    found = tokenizer()
    found.no_padding()
    found.enable_truncation(24)
    ids = np.array([found.encode(text).ids])
    hidden = encoder.model(ids)[0].astype(float)
    one = {"mean": hidden.mean(axis=0), "cls": hidden[0], "last": hidden[-1]}[pooling]
    return one / np.linalg.norm(one) if encoder.normalize else one


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors(tmp_path, pooling, normalize):
    encoder = SentenceEncoder.load(make(tmp_path / "m", pooling, normalize))
    expected = [reference(encoder, text, pooling) for text in TEXTS]
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, rtol=0, atol=1e-6)


def test_the_same_vector_in_any_company(encoder, n_threads):
    alone = np.stack([encoder.encode(text) for text in TEXTS])
    order = np.random.default_rng(1).permutation(len(TEXTS))
    for batch_tokens in (1, 50, 4096):
        together = encoder.encode([TEXTS[i] for i in order], batch_tokens=batch_tokens)
        np.testing.assert_array_equal(together, alone[order])
    np.testing.assert_array_equal(encoder.encode(iter(TEXTS)), alone)
    np.testing.assert_array_equal(np.concatenate(list(encoder.blocks(TEXTS))), alone)


def step(encoder):
    layer = encoder.layer()
    layer.zero_grad()
    y, ctx = layer.forward(encoder.ids(TEXTS[:3]))
    layer.backward(np.ones_like(y), ctx, need_dx=False)
    optim.SGD(layer.parameters(), 0.1).step()


def subtract(encoder):
    encoder.model.norm.weight.data -= 0.5


def assign(encoder):
    weight = encoder.model.blocks.blocks[0].feed_forward.up.weight
    weight.data = weight.data[::-1].copy()


def load_state(encoder):
    encoder.model.load_state({name: -x for name, x in encoder.model.state().items()})


def load_checkpoint(encoder):
    layer = encoder.layer()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        encoder.model.norm.weight.data -= 0.5
        train.save_checkpoint(path, layer)
        encoder.model.norm.weight.data += 0.75
        encoder.encode(TEXTS)
        train.load_checkpoint(path, layer)


def other_activation(encoder):
    encoder.model.blocks.blocks[0].feed_forward.up.activation = "relu"


CHANGES = [step, subtract, assign, load_state, load_checkpoint, other_activation]


@pytest.mark.parametrize("weights", [None, "bf16"])
@pytest.mark.parametrize("change", CHANGES)
def test_vectors_follow_the_model(folder, change, weights):
    encoder = SentenceEncoder.load(folder, weights=weights)
    before = encoder.encode(TEXTS)
    change(encoder)
    again = SentenceEncoder(encoder.model, encoder.tokenizer, max_len=24, weights=weights)
    after = encoder.encode(TEXTS)
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, again.encode(TEXTS))


def test_vectors_of_averages_end_with_them(folder):
    encoder = SentenceEncoder.load(folder)
    ema = optim.ExponentialMovingAverage(encoder.layer().parameters(), decay=0.5)
    ema.average[...] *= 0.5
    before = encoder.encode(TEXTS)
    with ema.applied():
        assert not np.array_equal(encoder.encode(TEXTS), before)
    np.testing.assert_array_equal(encoder.encode(TEXTS), before)


def test_no_texts_and_empty_texts(encoder):
    assert encoder.encode([]).shape == encoder.encode(iter([])).shape == (0, 32)
    assert encoder.encode("").shape == (32,)
    bare = tokenizer()
    from tokenizers import processors

    bare.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    found = SentenceEncoder(encoder.model, bare).encode(["", "cat"])  # "" has no token at all
    assert not found[0].any() and abs(np.linalg.norm(found[1]) - 1) < 1e-6


def test_prompts(encoder):
    expected = encoder.encode("red: the cat")
    for prompted in (
        encoder.encode("the cat", prompt_name="query"),
        encoder.encode(["the cat"], prompt="red: ")[0],
    ):
        np.testing.assert_array_equal(prompted, expected)
    np.testing.assert_array_equal(
        encoder.encode("the cat", prompt_name="none"), encoder.encode("the cat")
    )
    with pytest.raises(
        ValueError, match="prompt_name is 'qeury'; this encoder has 'query', 'none'"
    ):
        encoder.encode("the cat", prompt_name="qeury")


def test_a_default_prompt(folder):
    model, found = models.load(folder), tokenizer()
    encoder = SentenceEncoder(model, found, prompts={"q": "red "}, default_prompt="q", max_len=24)
    np.testing.assert_array_equal(encoder.encode("cat"), encoder.encode("red cat", prompt=""))
    with pytest.raises(ValueError, match="prompt_name is 'x'; this encoder has 'q'"):
        SentenceEncoder(model, tokenizer(), prompts={"q": "red "}, default_prompt="x")


def test_long_texts_are_cut_without_being_split_as_a_whole(encoder):
    long = "the cat is old and " * 20_000
    np.testing.assert_array_equal(encoder.encode(long), encoder.encode(long[:400]))
    # one word of many letters, and spaces, are fewer tokens than the characters promise
    word = "q" * CHARACTERS * 24 * 5
    for text in (word + " cat", " " * CHARACTERS * 24 * 3 + "cat", word + " the cat " * 99):
        ids = encoder.tokenize([text])[0]
        np.testing.assert_array_equal(ids, tokenizer_ids(text))


def tokenizer_ids(text):
    found = tokenizer()
    found.enable_truncation(24)
    found.no_padding()
    return found.encode(text).ids


def test_lowercase(folder):
    cased = tokenizer()
    from tokenizers import normalizers

    cased.normalizer = normalizers.NFC()
    encoder = SentenceEncoder(models.load(folder), cased, lowercase=True)
    np.testing.assert_array_equal(encoder.encode("The CAT"), encoder.encode("the cat"))


def test_progress(encoder, capsys):
    seen = []
    encoder.encode(TEXTS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(60, 60)]
    encoder.encode(iter(TEXTS), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, None)
    encoder.encode(TEXTS, progress=True)
    assert capsys.readouterr().err == "60/60 texts\n"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.encode([b"a"]), TypeError, r"texts must be str, but texts\[0\] is .*bytes"),
        (lambda e: e.encode(["a", 3]), TypeError, r"but texts\[1\] is int 3"),
        (lambda e: e.encode(3), TypeError, "texts must be str, got int 3"),
        (lambda e: e.encode("a", prompt=3), TypeError, "prompt must be a str, got int 3"),
        (lambda e: e.encode(["a"], batch_tokens=0), ValueError, "batch_tokens must be at least 1"),
        (lambda e: e.encode(["a"], memory="1kB"), ValueError, "memory is '1kB', but a text of 24"),
        (lambda e: e.encode(["a"], memory="lots"), ValueError, "memory must be bytes, or a text"),
        (lambda e: e.encode(["a"], normalize=1), TypeError, "normalize must be True or False"),
        (lambda e: e.similarity(np.ones((1, 3)), "a"), ValueError, "a has 3 numbers in a row, b"),
        (lambda e: e.search("a", np.ones((2, 3))), ValueError, "queries have 32 numbers each"),
        (lambda e: e.search("a", [1.0]), TypeError, "vectors must be an array"),
    ],
)
def test_wrong_arguments(encoder, call, error, message):
    with pytest.raises(error, match=message):
        call(encoder)


@pytest.mark.parametrize(
    ("given", "bytes"),
    [(5, 5), ("256MB", 256 * 10**6), ("1.5GiB", 3 << 29), ("10 kB", 10_000), ("7B", 7)],
)
def test_sizes_of_memory(given, bytes):
    assert check_bytes("memory", given) == bytes


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize("block", [1, 64, 8192])
def test_search_finds_what_sorting_finds(n, block):
    rng = np.random.default_rng(n)
    vectors = rng.integers(-2, 3, (n, 4)).astype(np.float32)  # many equal scores
    queries = rng.integers(-2, 3, (5, 4)).astype(np.float32)
    scores = queries @ vectors.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    found = models.search(queries, vectors, 6, block=block)
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(scores, order, 1))
    one = models.search(queries[0], vectors, 6, block=block)
    np.testing.assert_array_equal(one.indices, order[0])


def test_search_of_nothing():
    found = models.search(np.ones(2), np.ones((0, 2)))
    assert found.indices.shape == (0,)


def test_similarity_and_search_of_texts(encoder, tmp_path):
    vectors = encoder.encode(TEXTS)
    expected = vectors.astype(float) @ vectors.T.astype(float)
    np.testing.assert_allclose(encoder.similarity(TEXTS, vectors), expected, atol=1e-6)
    np.save(tmp_path / "v.npy", vectors)
    found = encoder.search(TEXTS[7], np.load(tmp_path / "v.npy", mmap_mode="r"), 3)
    assert found.indices[0] == 7 and found.scores[0] == pytest.approx(1, abs=1e-6)


def test_what_is_no_encoder(encoder):
    with pytest.raises(TypeError, match="model must be a TransformerEncoderModel"):
        SentenceEncoder(models.TransformerLM(9, 8, 2, 1, 8, rng=0), tokenizer())


MEMORY = """
import resource, sys
import numpy as np
sys.path.insert(0, {root!r})
import fastnn
from fastnn import models, nn, optim
from tests.models.sentence_models import tokenizer

tokenizer = tokenizer()
model = models.TransformerEncoderModel(30522, 384, 12, 6, 1536, 512, rng=0)
encoder = models.SentenceEncoder(model, tokenizer)
encoder.encode(["the cat"])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
rng = np.random.default_rng(0)
long = ["the cat is old " * 150] * 64
mixed = ["cat " * n for n in rng.integers(1, 300, 40)]
for texts in (long[:{n}], mixed[:{n}]):
    encoder.encode(texts)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux")
def test_memory_does_not_grow_with_the_texts():
    """A model of the size of MiniLM; 64 texts of 512 tokens took other runtimes 5.5 GB."""
    from pathlib import Path

    root = str(Path(__file__).parents[2])
    found = [
        float(
            subprocess.run(
                [sys.executable, "-c", MEMORY.format(root=root, n=n)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for n in (8, 64)
    ]
    assert max(found) < 100  # MB above the model
    assert found[1] < found[0] + 25


def test_the_model_may_be_any_encoder():
    model = TransformerEncoderModel(96, 8, 2, 1, 12, 9, n_types=0, rng=0)
    assert SentenceEncoder(model, tokenizer(), max_len=100).max_len == 9


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_layer_has_the_vectors_of_the_encoder(tmp_path, pooling):
    encoder = SentenceEncoder.load(make(tmp_path / "m", pooling, normalize=pooling != "cls"))
    np.testing.assert_allclose(
        encoder.layer()(encoder.ids(TEXTS)), encoder.encode(TEXTS), atol=1e-6
    )


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [True, False])
def test_gradients_of_the_layer(pooling, normalize):
    model = TransformerEncoderModel(9, 8, 2, 1, 12, 5, dtype=np.float64, rng=0)
    layer = models.PooledEncoder(model, pooling, normalize)
    ids = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [7, -1, -1, -1]])
    assert nn.gradcheck(layer, ids, samples=30).worst < 1e-6


def test_contrastive_training_brings_pairs_together(folder):
    encoder = SentenceEncoder.load(folder)
    first = ["the red boat", "the old cat", "tax return"]
    second = ["slow river", "a dog or not", "bank is paid"]
    layer = encoder.layer()
    before = encoder.similarity(first, second)
    optimizer = optim.Adam(layer.parameters(), lr=1e-3)
    a, b = encoder.ids(first), encoder.ids(second)
    losses = []
    for _ in range(25):
        (ya, ctx_a), (yb, ctx_b) = layer.forward(a), layer.forward(b)
        loss, (da, db) = nn.contrastive_loss(ya, yb)
        layer.zero_grad()
        layer.backward(da, ctx_a)
        layer.backward(db, ctx_b)
        optimizer.step()
        losses.append(loss)
    after = encoder.similarity(first, second)
    assert losses[-1] < 0.2 < losses[0] / 2
    assert (np.diag(after) - after.mean() > np.diag(before) - before.mean()).all()


def test_a_classifier_of_texts(folder):
    encoder = SentenceEncoder.load(folder)
    words = ["cat" in text.split() for text in TEXTS]
    model = nn.Sequential(encoder.layer(), nn.Linear(32, 2, rng=0))
    ids, y = encoder.ids(TEXTS), np.array(words, int)
    fastnn.fit(model, ids, y, optimizer=optim.Adam(model.parameters(), 3e-3), epochs=25, verbose=0)
    assert (model(ids).argmax(axis=1) == y).mean() > 0.9


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.array([1, 2]), TypeError, "x must be integers"),
        (np.array([[1.0]]), TypeError, "x must be integers"),
        (np.array([[1, -1, 2]]), ValueError, "ids below 0 only behind the last one"),
        (np.array([[-1, -1]]), ValueError, "each row of x has an id"),
    ],
)
def test_wrong_ids(ids, error, message):
    layer = models.PooledEncoder(TransformerEncoderModel(9, 8, 2, 1, 12, 5, rng=0))
    with pytest.raises(error, match=message):
        layer(ids)
