"""Habits of other libraries' users: metrics, plateaus, reasons, frames, reprs, conversions."""

import math
import warnings

import numpy as np
import pytest

from fastnn import evaluate, fit, models, nn, optim, text, train
from fastnn.data import load_digits
from fastnn.train import load_checkpoint, save_checkpoint

X, Y = load_digits()
X, Y = X[:200], Y[:200]


def new():
    return nn.MLP((64, 16, 10), rng=0)


def run(model=None, x=X, y=Y, **options):
    how = {"optimizer": "adam", "verbose": 0, "seed": 0, "epochs": 3, **options}
    return fit(model or new(), x, y, **how)


def right(output, y):
    return np.mean(output.argmax(axis=1) == y)


@pytest.mark.parametrize("kind", [np.float64, np.float16, list])
def test_reals_of_other_types_are_converted_once_and_give_the_same_bits(kind):
    exact = X.astype(np.float16).astype(np.float32)
    x = exact.tolist() if kind is list else exact.astype(kind)
    expected, expected_scores = run(x=exact).history, evaluate(new(), exact, Y)
    if kind is list:
        assert run(x=x).history == expected
        return
    with pytest.warns(UserWarning, match=r"x is float\d+ and was converted to float32.*astype"):
        assert run(x=x).history == expected
    with pytest.warns(UserWarning, match="converted to float32"):
        assert evaluate(new(), x, Y) == expected_scores


@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool])
def test_pixels_become_numbers_but_ids_stay_integers(kind):
    x = (X * 16).astype(kind)
    assert run(x=x).history == run(x=x.astype(np.float32)).history
    pairs = run(x=x, validation_data=(x[:50], Y[:50])).history
    assert (
        pairs
        == run(
            x=x.astype(np.float32),
            validation_split=0.0,
            validation_data=(x[:50].astype(np.float32), Y[:50]),
        ).history
    )
    model = nn.Sequential(nn.Embedding(4, 8, rng=0), nn.Linear(8, 3, rng=0))
    ids = np.arange(20) % 4
    assert len(run(model, ids, ids % 3).epoch) == 3


def test_own_metrics_are_in_the_history():
    history = run(metrics=right, validation_split=0.25, batch_size=50).history
    np.testing.assert_allclose(history["right"], history["accuracy"])
    np.testing.assert_allclose(history["val_right"], history["val_accuracy"])
    history = run(metrics={"r": right, "size": lambda output, y: len(y)}, batch_size=150).history
    assert history["size"] == [(150**2 + 50**2) / 200] * 3
    history = run(y=X[:, :10], loss="mse", metrics=["mae", "mse"]).history
    assert list(history) == ["loss", "mae", "mse"]
    assert all(math.isfinite(value) for value in history["mae"])
    assert set(run(metrics=["accuracy"]).history) == {"loss", "accuracy"}


def test_evaluate_with_metrics_returns_a_dict():
    model = new()
    loss, accuracy = evaluate(model, X, Y)
    scores = evaluate(model, X, Y, metrics={"right": right, "rows": lambda output, y: len(y)})
    assert list(scores) == ["loss", "accuracy", "right", "rows"]
    assert scores["loss"] == loss and scores["rows"] == 200
    assert scores["accuracy"] == scores["right"] == accuracy
    assert evaluate(model, X, Y, metrics=["accuracy"]) == {"loss": loss, "accuracy": accuracy}
    assert set(evaluate(model, X, X[:, :10], loss="mse", metrics="mae")) == {"loss", "mae"}
    with pytest.raises(ValueError, match="did you mean 'mae'"):
        evaluate(model, X, Y, metrics=["maee"])
    lm = models.TransformerLM(9, 8, 2, 1, 8, rng=0)
    ids = np.zeros((2, 4), int)
    with pytest.raises(ValueError, match="computed by TokenLoss, without outputs"):
        evaluate(lm, ids, ids, loss=train.TokenLoss(), metrics=right)


def test_warnings_name_the_call_of_the_user():
    x = X.copy()
    x[0, 0] = np.nan
    for call in (lambda: run(x=x), lambda: run(x=X.astype(float))):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        assert {w.filename for w in found} <= {__file__}
    assert found
    with pytest.warns(UserWarning) as found:
        evaluate(new(), X.astype(float), Y)
    assert found[0].filename == __file__


def test_metrics_do_not_change_the_training():
    assert run(metrics=right).history["loss"] == run().history["loss"]


def test_a_metric_can_be_monitored_and_resumed(tmp_path):
    model = new()
    stop = train.EarlyStopping("val_right", mode="max", patience=50)
    path = tmp_path / "run"
    keep = train.ModelCheckpoint(path, save_freq=3)
    how = {"metrics": right, "validation_split": 0.25, "batch_size": 30}
    expected = run(model, callbacks=[stop, keep], **how)
    again = new()
    history = run(
        again,
        resume=path,
        callbacks=[
            train.EarlyStopping("val_right", mode="max", patience=50),
            train.ModelCheckpoint(path, save_freq=3),
        ],
        **how,
    )
    assert history.history == expected.history
    np.testing.assert_array_equal(again.parameters().data, model.parameters().data)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (["acuracy"], ValueError, "did you mean 'accuracy'"),
        (3, TypeError, "metrics must be functions .* got int 3"),
        ([lambda y: 0], TypeError, "called with 2 arguments"),
        ({"loss": right}, ValueError, "cannot be called 'loss'"),
        ({"val_x": right}, ValueError, "cannot be called 'val_x'"),
        ({"r": lambda output, y: "good"}, TypeError, "metric 'r' must return a number, got str"),
    ],
)
def test_wrong_metrics(metrics, error, message):
    with pytest.raises(error, match=message):
        run(metrics=metrics)


def test_plateaus_lower_the_rate():
    model = new()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    callback = train.ReduceLROnPlateau("loss", patience=2, factor=0.5, min_delta=1e9, min_lr=0.2)
    run(model, optimizer=optimizer, callbacks=callback, epochs=9)
    assert callback.reduced == [2, 4, 6] and optimizer.lr == 0.2
    callback = train.ReduceLROnPlateau("loss", patience=1, min_delta=1e9, cooldown=2)
    optimizer.lr = 1.0
    run(model, optimizer=optimizer, callbacks=callback, epochs=6)
    assert callback.reduced == [1, 4]
    state = callback.state()
    other = train.ReduceLROnPlateau("loss", patience=1)
    other.load_state(state)
    assert other.state() == state
    scheduled = optim.SGD(model.parameters(), lr=optim.schedules.warmup_cosine(0.1, 1, 5))
    with pytest.raises(TypeError, match="not a schedule"):
        run(model, optimizer=scheduled, callbacks=train.ReduceLROnPlateau("loss"))
    with pytest.raises(ValueError, match="'val_loss' is not measured"):
        run(callbacks=train.ReduceLROnPlateau())


def test_early_stopping_says_why(capsys):
    stop = train.EarlyStopping("loss", min_delta=1e9, patience=2)
    history = run(callbacks=stop, epochs=9, verbose=2)
    assert len(history.epoch) == 3
    assert history.stopped.startswith("loss has not improved on 2.")
    assert history.stopped.endswith("of epoch 1 for 2 epochs")
    assert f"stopped: {history.stopped}" in capsys.readouterr().err
    assert history.stopped in repr(history) and "stopped" not in repr(run())


@pytest.mark.filterwarnings("ignore:the loss of epoch")
def test_a_loss_of_nan_says_why():
    x = X.copy()
    x[0, 0] = np.nan
    assert run(x=x, callbacks=train.TerminateOnNaN()).stopped == "the loss of epoch 1 is nan"


def test_histories_can_be_read():
    history = run(validation_split=0.25, epochs=30)
    assert repr(history).startswith("<History of 30 epochs, loss 1.")
    html = history._repr_html_()
    assert html.count("<tr>") == 21 and "<th>val_accuracy</th>" in html
    pandas = pytest.importorskip("pandas")
    frame = history.to_frame()
    assert isinstance(frame, pandas.DataFrame) and frame.shape == (30, 4)
    assert frame["loss"].tolist() == history.history["loss"] and frame.index.name == "epoch"


def test_reprs():
    p = new().parameters()
    assert repr(optim.Adam(p, lr=0.01)).startswith("Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=")
    assert repr(optim.SGD(p, lr=0.1)).endswith("1,210 parameters)")
    assert repr(train.EarlyStopping(patience=3)) == "EarlyStopping(monitor='val_loss', patience=3)"
    assert repr(train.ModelCheckpoint("m")) == "ModelCheckpoint(path='m', monitor='val_loss')"
    assert repr(train.TerminateOnNaN()) == "TerminateOnNaN()"
    html = new()._repr_html_()
    assert "MLP, 1,210 parameters" in html and "<td>weight (64, 16), bias (16,)</td>" in html


def test_checkpoints_keep_sums_of_metrics(tmp_path):
    model, extra = new(), {"means": {"metric r": 1.0}}
    optimizer = optim.Adam(model.parameters())
    save_checkpoint(tmp_path / "c", model, optimizer, extra=extra)
    assert load_checkpoint(tmp_path / "c", model, optimizer).extra["means"] == {"metric r": 1.0}


def test_vocabularies_add_specials():
    words = text.WordVocab.from_sentences(["a b"])
    a, b = words.encode("a b")
    assert words.encode("a b", bos=True, eos=True) == [words.bos_id, a, b, words.eos_id]
    assert words.encode_batch(["a", ""], eos=True) == [[a, words.eos_id], [words.eos_id]]
    assert [*words.encode("a"), words.eos_id] == words.encode("a", eos=True)
    assert words.decode(words.encode("a b", bos=True, eos=True)) == "a b"
    with pytest.raises(ValueError, match="has no <eos>; WordVocab and BPE have it"):
        text.CharVocab.from_text("ab").encode("a", eos=True)
    with pytest.raises(TypeError, match="eos must be True or False"):
        words.encode("a", eos=3)
    pytest.importorskip("tokenizers")
    bpe = text.BPE.train(["a b", "b a"], 30)
    assert bpe.encode("a", bos=True)[0] == bpe.bos_id
    assert bpe.encode_batch(["a"], eos=True)[0][-1] == bpe.eos_id


def test_translation_with_two_vocabularies():
    src = text.WordVocab.from_sentences(["a b c d"])
    tgt = text.WordVocab.from_sentences(["x y"])
    how = {"d_model": 16, "n_heads": 2, "n_layers": 1, "max_len": 9, "rng": 0}
    model = models.Seq2SeqTransformer(len(src), len(tgt), **how)
    found = models.translate(model, src, ["a b", "", "c"], tgt_vocab=tgt)
    assert len(found) == 3 and found[1] == ""
    assert set(" ".join(found).split()) <= {"x", "y", "<unk>"}
    with pytest.raises(ValueError, match="two vocabularies: give tgt_vocab"):
        models.translate(model, src, ["a"])
    with pytest.raises(ValueError, match="tgt_vocab has 8 tokens, this side of the model 6"):
        models.translate(model, src, ["a"], tgt_vocab=src)
