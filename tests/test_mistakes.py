"""Mistakes people make: each message names what was wrong, what was given, and what to do.

A walk over the list that was collected by trying fastnn as a newcomer. Every row is a call and the
parts that its message must have; the data themselves are never shown.
"""

import re

import numpy as np
import pytest

import fastnn
from fastnn import data, models, nn, optim, text, train
from fastnn.cli import main

X, Y = data.load_digits()
X, Y = X[:90], Y[:90]
A = np.ones((1, 2, 3, 4), np.float32)
HIDDEN = "0.98765"


def new():
    return nn.MLP((64, 16, 10), rng=0)


def fit(*args, x=X, y=Y, **options):
    model = args[0] if args else new()
    return fastnn.fit(model, x, y, **{"optimizer": "adam", "verbose": 0, **options})


def lm():
    return models.TransformerLM(10, 8, 2, 1, 8, rng=0)


def set_weight():
    layer = nn.Linear(3, 2, rng=0)
    layer.weight.data = np.ones((2, 2))


def set_parameter():
    layer = nn.Linear(3, 2, rng=0)
    layer.weight = np.ones((2, 2))


def backward(dy):
    model = new()
    _, ctx = model.forward(X[:5])
    model.backward(dy, ctx)


# label: (call, error, parts of its message)
MISTAKES = {
    "x is a dict": (lambda: fit(x={"a": 1}), TypeError, ["x must be an array", "dict"]),
    "x of texts": (lambda: fit(x=[["a"]] * 9), TypeError, ["x must be an array of numbers"]),
    "y of floats": (lambda: fit(y=Y.astype(np.float32)), TypeError, ["integers", "float32"]),
    "y of texts": (lambda: fit(y=Y.astype(str)), TypeError, ["y must", "np.unique"]),
    "a label too large": (lambda: fit(y=Y + 3), IndexError, ["target", "row", "10 classes"]),
    "a label of -1": (lambda: fit(y=Y - 1), IndexError, ["target -1", "10 classes"]),
    "lengths differ": (lambda: fit(y=Y[:9]), ValueError, ["x has 90 rows", "y has 9"]),
    "columns": (lambda: fit(x=X[:, :60]), ValueError, ["0.weight (64, 16)", "(1, 60)"]),
    "columns in the middle": (
        lambda: nn.Sequential(nn.Linear(64, 5, rng=0), nn.Linear(6, 2, rng=0))(X),
        ValueError,
        ["1.weight (6, 2)", "(90, 5)"],
    ),
    "images": (lambda: fit(x=X.reshape(-1, 8, 8)), ValueError, ["x.reshape(len(x), -1)"]),
    "images, called": (lambda: new()(X.reshape(-1, 8, 8)), ValueError, ["x.reshape(len(x), -1)"]),
    "no rows": (lambda: fit(x=X[:0], y=Y[:0]), ValueError, ["x has no rows", "(0, 64)"]),
    "optimizer's name": (lambda: fit(optimizer="adm"), ValueError, ["'adm'", "mean 'adam'"]),
    "optimizer's class": (lambda: fit(optimizer=optim.Adam), TypeError, ["the class Adam"]),
    "loss's name": (lambda: fit(loss="cross-entropy"), ValueError, ["mean 'cross_entropy'"]),
    "loss of Keras": (lambda: fit(loss="mean_squared_error"), ValueError, ["calls it 'mse'"]),
    "loss that is a number": (lambda: fit(loss=3), TypeError, ["loss must be a function", "int"]),
    "metric's name": (lambda: fit(metrics=["acc"]), ValueError, ["metrics must be", "'acc'"]),
    "compile": (lambda: new().compile, AttributeError, ["fastnn.fit(model, x, y, optimizer="]),
    "predict": (lambda: new().predict, AttributeError, ["model(x)"]),
    "predict_proba": (lambda: new().predict_proba, AttributeError, ["fastnn.softmax(model(x))"]),
    "model.fit": (lambda: new().fit, AttributeError, ["fastnn.fit(model, x, y"]),
    "model.evaluate": (lambda: new().evaluate, AttributeError, ["fastnn.evaluate(model, x, y)"]),
    "model.score": (lambda: new().score, AttributeError, ["fastnn.evaluate"]),
    "model.train": (lambda: new().train, AttributeError, ["no modes"]),
    "model.eval": (lambda: new().eval, AttributeError, ["no modes"]),
    "state_dict": (lambda: new().state_dict, AttributeError, ["model.state()"]),
    "load_state_dict": (lambda: new().load_state_dict, AttributeError, ["load_state(state)"]),
    "model.cuda": (lambda: new().cuda, AttributeError, ["CPUs only"]),
    "model.double": (lambda: new().double, AttributeError, ["dtype=np.float64"]),
    "count_params": (lambda: new().count_params, AttributeError, ["model.parameters().size"]),
    "a typo": (lambda: new().forwrd, AttributeError, ["'forwrd'", "mean 'forward'"]),
    "loss.backward": (
        lambda: nn.cross_entropy(new()(X), Y).backward(),
        AttributeError,
        ["tuple", "backward"],
    ),
    "lr below 0": (lambda: optim.Adam(new().parameters(), lr=-1), ValueError, ["lr must", "-1"]),
    "lr of text": (lambda: optim.Adam(new().parameters(), lr="1e-3"), TypeError, ["lr", "'1e-3'"]),
    "Adam(model)": (lambda: optim.Adam(new()), TypeError, ["model.parameters()", "MLP"]),
    "Adam(list)": (lambda: optim.Adam([1]), TypeError, ["model.parameters()", "list"]),
    "activation": (
        lambda: nn.Linear(3, 2, activation="rleu"),
        ValueError,
        ["activation", "mean 'relu'"],
    ),
    "init": (lambda: nn.Linear(3, 2, init="xavir"), (ValueError, TypeError), ["init"]),
    "no inputs": (lambda: nn.Linear(0, 4), ValueError, ["in_features must be at least 1", "0"]),
    "4.0 inputs": (lambda: nn.Linear(4.0, 4), TypeError, ["in_features", "float 4.0"]),
    "one size": (lambda: nn.MLP((4,)), ValueError, ["sizes", "4"]),
    "a list of layers": (
        lambda: nn.Sequential([nn.ReLU()]),
        TypeError,
        ["layer 0", "list", "*layers"],
    ),
    "a class of a layer": (lambda: nn.Sequential(nn.ReLU), TypeError, ["layer 0", "ReLU()"]),
    "two dtypes": (
        lambda: nn.Sequential(nn.Linear(3, 3, rng=0), nn.Linear(3, 3, dtype=np.float64, rng=0)),
        (TypeError, ValueError),
        ["'0.weight' is float32", "'1.weight' is float64"],
    ),
    "dy's shape": (lambda: backward(X[:3, :10]), ValueError, ["dy has shape (3, 10)", "(5, 10)"]),
    "dy's dtype": (lambda: backward(np.ones((5, 10))), TypeError, ["dy is", "float64"]),
    "matmul's shapes": (lambda: fastnn.matmul(X, X), ValueError, ["(90, 64)", "do not fit"]),
    "matmul of integers": (
        lambda: fastnn.matmul(np.ones((2, 2), int), np.ones((2, 2))),
        TypeError,
        ["a must", "int64"],
    ),
    "matmul of lists": (
        lambda: fastnn.matmul([[1.0]], [[1.0]]),
        TypeError,
        ["a must", "list", "np.asarray(a, np.float32)"],
    ),
    "a layer called with float64": (
        lambda: new()(X.astype(float)),
        TypeError,
        ["x is float64", "float32", "x.astype(np.float32)"],
    ),
    "a layer called with a list": (
        lambda: nn.Linear(1, 1, rng=0)([[1.0]]),
        TypeError,
        ["x must", "list", "np.asarray(x, np.float32)"],
    ),
    "labels in a list": (
        lambda: nn.cross_entropy(X[:2], [0, 1]),
        TypeError,
        ["targets must", "list", "np.asarray(targets, np.int64)"],
    ),
    "learning_rate": (
        lambda: optim.Adam(new().parameters(), learning_rate=1e-3),
        TypeError,
        ["Adam()", "'learning_rate'", "mean 'lr'"],
    ),
    "activtion": (
        lambda: nn.Linear(3, 2, activtion="relu"),
        TypeError,
        ["Linear()", "'activtion'", "mean 'activation'"],
    ),
    "epoch": (lambda: fit(epoch=3), TypeError, ["fit()", "'epoch'", "mean 'epochs'"]),
    "freezing of pooling": (
        lambda: nn.DotProductAttention().freeze(),
        TypeError,
        ["DotProductAttention", "frozen", "Call the layer", "nn.MultiHeadAttention"],
    ),
    "freezing of additive attention": (
        lambda: nn.Sequential(nn.AdditiveAttention(3, 3, 2, rng=0)).freeze(),
        TypeError,
        ["AdditiveAttention", "frozen", "nn.MultiHeadAttention"],
    ),
    "attention in 3-D": (lambda: fastnn.attention(A[0], A[0], A[0]), ValueError, ["q must", "(2,"]),
    "attention's sizes": (
        lambda: fastnn.attention(A, A[..., :2], A),
        ValueError,
        ["(1, 2, 3, 4)", "(1, 2, 3, 2)"],
    ),
    "a mask of integers": (
        lambda: fastnn.attention(A, A, A, mask=np.ones((3, 3), int)),
        TypeError,
        ["mask", "bool"],
    ),
    "attention's flag": (lambda: fastnn.attention(A, A, A, True), TypeError, ["attention()", "4"]),
    "softmax's axis": (lambda: fastnn.softmax(X, axis=0), TypeError, ["softmax()", "'axis'"]),
    "a callback of 3": (lambda: fit(callbacks=3), TypeError, ["a callback is", "int"]),
    "a callback's class": (
        lambda: fit(callbacks=train.EarlyStopping),
        TypeError,
        ["EarlyStopping(...)"],
    ),
    "nothing to monitor": (
        lambda: fit(callbacks=train.EarlyStopping()),
        ValueError,
        ["'val_loss'", "'accuracy'"],
    ),
    "monitor's name": (
        lambda: fit(callbacks=train.EarlyStopping("los")),
        ValueError,
        ["mean 'loss'"],
    ),
    "20 % as 20": (lambda: fit(validation_split=20), ValueError, ["validation_split", "20"]),
    "weights in a list": (lambda: fit(class_weight=[1] * 10), TypeError, ["dict(enumerate("]),
    "2.0 epochs": (lambda: fit(epochs=2.0), TypeError, ["epochs", "float 2.0"]),
    "no epochs": (lambda: fit(epochs=0), ValueError, ["epochs must be at least 1", "0"]),
    "no batch": (lambda: fit(batch_size=0), ValueError, ["batch_size must be at least 1"]),
    "another's optimizer": (
        lambda: fit(optimizer=optim.Adam(new().parameters())),
        ValueError,
        ["does not hold the"],
    ),
    "a model's class": (lambda: fit(nn.MLP), TypeError, ["model must be", "the class MLP"]),
    "no model": (lambda: fit("model"), TypeError, ["model must be", "str"]),
    "a missing file": (lambda: fastnn.load("none/m"), OSError, ["No such file", "none/m"]),
    "a file of Python": (lambda: fastnn.load(__file__), ValueError, ["not a safetensors file"]),
    "save(model)": (lambda: fastnn.save(3, "m"), TypeError, ["model must be", "int"]),
    "an id too large": (lambda: lm()(np.array([[11]])), IndexError, ["the id 11", "from 0 to 9"]),
    "float ids": (lambda: lm()(np.ones((1, 2))), TypeError, ["ids must be integers"]),
    "too long": (lambda: lm()(np.zeros((1, 9), int)), ValueError, ["9 positions", "8"]),
    "heads": (lambda: nn.MultiHeadAttention(8, 3, rng=0), ValueError, ["n_heads", "3", "8"]),
    "dropout of 2": (lambda: nn.Dropout(2), ValueError, ["p must be", "2"]),
    "fastnn.sofmax": (lambda: fastnn.sofmax, AttributeError, ["'sofmax'", "mean 'softmax'"]),
    "nn.Dense": (lambda: nn.Dense, AttributeError, ["nn.Linear"]),
    "nn.Lineer": (lambda: nn.Lineer, AttributeError, ["mean 'Linear'"]),
    "nn.CrossEntropyLoss": (lambda: nn.CrossEntropyLoss, AttributeError, ["nn.cross_entropy"]),
    "nn.Conv2d": (lambda: nn.Conv2d, AttributeError, ["no convolutions"]),
    "optim.adam": (lambda: optim.adm, AttributeError, ["'adm'", "mean 'Adam"]),
    "models.TransfomerLM": (lambda: models.TransfomerLM, AttributeError, ["mean 'TransformerLM'"]),
    "data.DataLoader": (lambda: data.DataLoader, AttributeError, ["data.batches"]),
    "text.Vocabulary": (lambda: text.Vocabb, AttributeError, ["mean 'Vocab'"]),
    "train.EarlyStoping": (lambda: train.EarlyStoping, AttributeError, ["mean 'EarlyStopping'"]),
    "weights of another shape": (set_weight, ValueError, ["(2, 2)", "(3, 2)"]),
    "a parameter of another shape": (set_parameter, ValueError, ["(2, 2)", "(3, 2)"]),
    "weights of PyTorch": (
        lambda: nn.Linear(3, 2, rng=0).load_state(
            {"weight": np.ones((2, 3), np.float32), "bias": np.ones(2, np.float32)}
        ),
        ValueError,
        ["(3, 2)", "(2, 3)", "from_torch"],
    ),
    "encode(5)": (lambda: text.CharVocab.from_text("ab").encode(5), TypeError, ["str", "int"]),
    "a letter unknown": (
        lambda: text.CharVocab.from_text("ab").encode("a€"),
        ValueError,
        ["U+20AC", "at 1"],
    ),
    "eos without specials": (
        lambda: text.CharVocab.from_text("ab").encode("a", eos=True),
        ValueError,
        ["no <eos>"],
    ),
    "translate one text": (
        lambda: models.translate(lm(), None, "a"),
        TypeError,
        ["several sentences", "str"],
    ),
}


@pytest.mark.filterwarnings("ignore:.* was converted to float32")
@pytest.mark.parametrize("label", MISTAKES)
def test_a_mistake_is_named(label):
    call, error, parts = MISTAKES[label]
    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    for part in parts:
        assert part in message, message
    assert len(message) < 500 and HIDDEN not in message


# argv -> parts of the one line on stderr
LINES = {
    "trian csv t.csv": ["'trian'", "did you mean train?"],
    "train cvs t.csv": ["'cvs'", "did you mean csv?"],
    "train csv t.csv --traget y": ["--target"],
    "train csv t.csv --target y --epoch": ["--epoch"],
    "train csv t.csv --target y --epochs 0": ["--epochs", "at least 1", "0"],
    "train csv t.csv --target y --lr fast": ["--lr", "'fast'"],
    "train csv none.csv --target y": ["none.csv", "No such file"],
    "train csv t.csv --target z": ["no column 'z'", "'x', 'y'"],
    "train csv t.csv --target yy": ["no column 'yy'", "did you mean 'y'?"],
    "train csv ragged.csv --target y": ["line 3", "1 cells", "2 columns"],
    "train csv empty.csv --target y": ["empty.csv is empty"],
    "train csv twice.csv --target y": ["two columns called 'x'"],
    "train csv latin.csv --target y": ["line 1", "0xf6", "--encoding"],
    "train csv inf.csv --target y": ["line 2", "'inf'", "'x'", "not a finite number"],
    "train csv t.csv --target y --encoding utf9": ["--encoding", "'utf9'"],
    "train csv t.csv --target y --class-weight half": ["--class-weight", "'half'", "balanced"],
    "predict none t.csv": ["none", "No such file"],
    "predict t.csv ragged.csv": ["t.csv", "not a safetensors file"],
    "show t.csv": ["t.csv", "not a safetensors file"],
    "evaluate none": ["none", "No such file"],
    "export none m.onnx": ["none", "No such file"],
    "generate none": ["none", "No such file"],
    "export none m.doc": ["m.doc", ".onnx"],
}


@pytest.mark.parametrize("command", LINES)
def test_a_mistake_on_the_command_line_is_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    (tmp_path / "ragged.csv").write_text("x,y\n1,a\n2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "twice.csv").write_text("x,x\n1,2\n")
    (tmp_path / "latin.csv").write_bytes("größe,y\n1,2\n".encode("latin-1"))
    (tmp_path / "inf.csv").write_text("x,y\ninf,a\n" + rows)
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"fastnn: error: [^\n]+\n", err), err
    for part in LINES[command]:
        assert part in err, err
