"""Accumulated gradients of unequal batches give the step of all their rows at once."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim
from fastnn.train import TokenLoss, evaluate, fit
from fastnn.train.objective import LOSSES

F64 = {"dtype": np.float64}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 5))
LABELS = RNG.integers(0, 3, 23)
NUMBERS = RNG.normal(size=(23, 3))
SHARES = RNG.dirichlet(np.ones(3), 23)
WEIGHTS = RNG.uniform(0.1, 3, 23)
CUTS = (0, 10, 12, 13, 23)  # batches of 10, 2, 1 and 10 rows

ignored = np.where(np.arange(23) % 4 == 0, -100, LABELS)
all_of_one = np.where(np.arange(23) // 2 == 5, 2, LABELS)  # a batch in which nothing counts


def own(output, targets, sample_weight=None):
    return nn.mse_loss(output, targets, sample_weight=sample_weight)


# name -> (loss, targets)
CASES = {
    "cross_entropy": ("cross_entropy", LABELS),
    "kernel": (fastnn.cross_entropy, LABELS),
    "column": (nn.cross_entropy, LABELS[:, None]),
    "ignored": (nn.cross_entropy, ignored),
    "ignore_index": (partial(nn.cross_entropy, ignore_index=1), LABELS),
    "a batch of nothing": (partial(nn.cross_entropy, ignore_index=2), all_of_one),
    "class weights": (partial(nn.cross_entropy, weight=np.array([0.2, 3.0, 1.1])), ignored),
    "smoothing": (partial(nn.cross_entropy, label_smoothing=0.2), ignored),
    "one-hot": (nn.cross_entropy, np.eye(3, dtype=int)[LABELS]),
    "probabilities": (nn.cross_entropy, SHARES),
    "sum": (partial(nn.cross_entropy, reduction="sum"), ignored),
    "bce": ("bce_with_logits", SHARES),
    "pos_weight": (partial(nn.bce_with_logits, pos_weight=2.0), SHARES),
    "mse": ("mse", NUMBERS),
    "l1": ("l1", NUMBERS),
    "huber": (partial(nn.huber_loss, delta=0.3), NUMBERS),
    "mse, a sum": (partial(nn.mse_loss, reduction="sum"), NUMBERS),
    "a loss of one's own": (own, NUMBERS),
}


def step_of(model, batches, loss, **options):
    """The change of the weights in an epoch, and its history."""
    before = model.parameters().data.copy()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    history = fit(model, batches, optimizer=optimizer, loss=loss, verbose=0, **options)
    return model.parameters().data - before, history.history, optimizer.steps


def test_every_loss_is_here():
    assert set(LOSSES) <= {loss for loss, _ in CASES.values() if isinstance(loss, str)} | {"huber"}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("case", CASES)
def test_parts_make_the_step_of_the_whole(case, weights):
    loss, y = CASES[case]
    arrays = (X, y) if weights is None else (X, y, weights)
    parts = [tuple(a[i:j] for a in arrays) for i, j in pairwise(CUTS)]
    new = partial(nn.MLP, (5, 7, 3), "tanh", rng=0, **F64)
    found, history, steps = step_of(new(), parts, loss, accumulate=len(parts))
    expected, whole, _ = step_of(new(), [arrays], loss)
    assert steps == 1
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert np.abs(expected).max() > 1e-3
    assert history["loss"][0] == pytest.approx(whole["loss"][0], rel=1e-12)
    assert history.get("accuracy") == whole.get("accuracy")


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.1}, "balanced"])
def test_class_weights_and_arrays(class_weight):
    """With rows cut from arrays, by size; the last batch of the epoch is smaller."""
    found = []
    for size, accumulate in ((23, 1), (5, 5)):
        model = nn.MLP((5, 7, 3), "tanh", rng=0, **F64)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        options = {"batch_size": size, "accumulate": accumulate, "shuffle": False, "verbose": 0}
        options |= {"class_weight": class_weight, "sample_weight": WEIGHTS, "optimizer": optimizer}
        history = fit(model, X, LABELS[:, None], **options).history
        assert optimizer.steps == 1
        found.append((model.parameters().data, history))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9, atol=1e-12)
    assert found[0][1] == {k: pytest.approx(v, rel=1e-12) for k, v in found[1][1].items()}


def test_the_batches_left_at_the_end_of_an_epoch_weigh_among_themselves():
    model = nn.MLP((5, 7, 3), "tanh", rng=0, **F64)
    parts = [(X[i:j], LABELS[i:j]) for i, j in pairwise(CUTS)]
    _, _, steps = step_of(model, parts, "cross_entropy", accumulate=3)
    assert steps == 2
    twin = nn.MLP((5, 7, 3), "tanh", rng=0, **F64)
    step_of(twin, [(X[:13], LABELS[:13]), (X[13:], LABELS[13:])], "cross_entropy")
    np.testing.assert_allclose(model.parameters().data, twin.parameters().data, rtol=1e-9)


def test_rows_of_different_lengths_weigh_by_their_elements():
    rng = np.random.default_rng(1)
    long, short = rng.normal(size=(2, 9, 5)), rng.normal(size=(4, 2, 5))
    batches = [(long, long[..., :3]), (short, short[..., :3])]
    flat = np.concatenate([long.reshape(-1, 5), short.reshape(-1, 5)])
    new = partial(nn.Linear, 5, 3, rng=0, **F64)
    for loss, targets in (("mse", flat[:, :3]), ("cross_entropy", SHARES[:1].repeat(26, 0))):
        if loss == "cross_entropy":
            batches = [
                (x, np.broadcast_to(SHARES[0], (*x.shape[:2], 3)).copy()) for x, _ in batches
            ]
        found, history, _ = step_of(new(), batches, loss, accumulate=2)
        expected, whole, _ = step_of(new(), [(flat, targets)], loss)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        assert history["loss"] == pytest.approx(whole["loss"], rel=1e-12)


def padded(rng, rows, length, ignored):
    """Ids (rows, length), of whose targets a random part is ignored."""
    ids = rng.integers(1, 7, (rows, length + 1))
    targets = np.where(rng.random((rows, length)) < 0.4, ignored, ids[:, 1:])
    return ids[:, :-1], targets


@pytest.mark.parametrize("ignore_index", [-100, 0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_tokens_of_a_language_model(ignore_index, smoothing):
    rng = np.random.default_rng(2)
    parts = [padded(rng, rows, 6, ignore_index) for rows in (4, 1, 2)]
    parts[1] = parts[1][0], np.full_like(parts[1][1], ignore_index)  # nothing counts
    whole = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    how = {"ignore_index": ignore_index, "label_smoothing": smoothing, "verbose": 0}
    found = []
    for batches in (parts, [whole]):
        model = models.TransformerLM(7, 8, 2, 1, 8, rng=0, **F64)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        history = model.fit(batches, optimizer=optimizer, accumulate=len(batches), **how)
        assert optimizer.steps == 1
        found.append((model.parameters().data, history.history["loss"][0]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9, atol=1e-12)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-12)
    # and by a loss of rows, which knows what to ignore
    model = models.TransformerLM(7, 8, 2, 1, 8, rng=0, **F64)
    loss = partial(nn.cross_entropy, ignore_index=ignore_index, label_smoothing=smoothing)
    _, history, _ = step_of(model, parts, loss, accumulate=3)
    np.testing.assert_allclose(model.parameters().data, found[1][0], rtol=1e-9, atol=1e-12)
    assert history["loss"][0] == pytest.approx(found[1][1], rel=1e-9)


def test_tokens_of_a_seq2seq_model():
    rng = np.random.default_rng(3)
    parts = []
    for rows in (5, 1, 2):
        tgt, targets = padded(rng, rows, 4, -100)
        parts.append(((rng.integers(1, 7, (rows, 5)), tgt, np.arange(rows) % 4 + 2), targets))
    inputs, targets = zip(*parts, strict=True)
    whole = tuple(np.concatenate(x) for x in zip(*inputs, strict=True)), np.concatenate(targets)
    found = []
    for batches in (parts, [whole]):
        model = models.Seq2SeqTransformer(7, None, 8, 2, 1, dropout=0.0, rng=0, **F64)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        model.fit(batches, optimizer=optimizer, accumulate=len(batches), verbose=0)
        found.append(model.parameters().data)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_what_is_ignored_is_in_no_mean_and_no_accuracy():
    model = nn.MLP((5, 7, 3), rng=0, **F64)
    loss = partial(nn.cross_entropy, ignore_index=1)
    kept = LABELS != 1
    assert evaluate(model, X, LABELS, loss=loss, batch_size=7) == pytest.approx(
        evaluate(model, X[kept], LABELS[kept]), rel=1e-12
    )


def test_one_batch_for_each_step_is_not_scaled():
    """Neither the gradient nor the step: a factor would cost bits."""
    found = []

    class Watched(optim.SGD):
        def step(self, lr=None, grad_scale=1.0, max_norm=None):
            found.append(grad_scale)
            return super().step(lr, grad_scale, max_norm)

    model = nn.MLP((5, 7, 3), rng=0, **F64)
    optimizer = Watched(model.parameters(), lr=0.1)
    fit(model, X, LABELS, optimizer=optimizer, batch_size=3, sample_weight=WEIGHTS, verbose=0)
    assert found == [1.0] * 8
    found.clear()
    fit(model, X[:21], LABELS[:21], optimizer=optimizer, batch_size=3, accumulate=7, verbose=0)
    assert found == [1 / 7]


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (partial(nn.mse_loss, reduction="none"), ValueError, "reduction cannot be 'none'"),
        (3, TypeError, r"loss must be a function .* got int"),
        (TokenLoss, TypeError, "got the class TokenLoss"),
        (TokenLoss(), TypeError, "TokenLoss is for models of tokens .* not MLP"),
        (
            "mean_squared_error",
            ValueError,
            "unknown loss 'mean_squared_error': fastnn calls it 'mse'",
        ),
        ("cross_entrpy", ValueError, r"did you mean 'cross_entropy'\?"),
        (lambda output, y: 1.0, TypeError, r"must return \(loss, gradient of the output\), got fl"),
        (lambda output, y: (1.0, output, y), TypeError, "got 3 values"),
    ],
)
def test_what_is_no_loss_is_named(loss, error, message):
    model = nn.MLP((5, 3), rng=0, **F64)
    before = model.parameters().data.copy()
    y = NUMBERS if isinstance(loss, partial) else LABELS
    with pytest.raises(error, match=message):
        fit(model, X, y, optimizer="sgd", loss=loss, verbose=0)
    np.testing.assert_array_equal(model.parameters().data, before)


def test_an_objective_that_does_not_weigh_is_refused():
    class Old:
        def learn(self, model, batch, means):
            raise AssertionError

        def measure(self, model, batch, means):
            raise AssertionError

    with pytest.raises(TypeError, match=r"Old.learn must take \(model, batch, means, weigh\)"):
        fit(nn.MLP((5, 3), rng=0, **F64), X, LABELS, optimizer="sgd", loss=Old())
