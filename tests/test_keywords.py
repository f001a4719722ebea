"""Errors about keywords that a function does not have: what was given, and what was meant."""

import importlib.util
import inspect
import pickle
import re
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn import nn, optim, train
from fastnn.keywords import ELSEWHERE, explained

DOCS = Path(__file__).parent.parent / "docs"
if not (DOCS / "public.py").exists():
    pytest.skip("needs the sources", allow_module_level=True)
for needed in ("matplotlib", "sklearn"):
    pytest.importorskip(needed)

spec = importlib.util.spec_from_file_location("public_keywords", DOCS / "public.py")
public = sys.modules["public_keywords"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(public)

# Called in every step of a loop of one's own: they have no wrapper that would cost time.
IN_LOOPS = {
    "bce_with_logits",
    "contrastive_loss",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "mse_loss",
}
IN_LOOPS |= {"contrastive_loss", "asarray", "attention_pooling", "attention_pooling_backward"}
# What fastnn makes for its users, who do not call it.
RESULTS = {"Checkpoint", "FrozenSeq2Seq", "Function", "GradientReport", "History", "Hypothesis"}
RESULTS |= {"Parameter", "Parameters", "RandomStream", "Run", "Seen", "Seq2SeqWeights", "Table"}
RESULTS |= {"Found", "Gguf", "Quantized"}
RESULTS |= {"Builder", "Module", "Optimizer", "Vocab"}  # or only its subclasses


def options(thing):
    """The names that a call may have as keywords."""
    found = inspect.signature(thing).parameters.values()
    return [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def explains(name, thing):
    """True if a wrong keyword of this function or class is explained."""
    is_python = inspect.isfunction(thing) or inspect.isclass(thing)
    is_error = inspect.isclass(thing) and issubclass(thing, BaseException)
    is_compiled = type(thing).__name__ == "cython_function_or_method" or (
        inspect.isclass(thing) and not inspect.isfunction(thing.__init__)
    )
    short = name.rpartition(".")[2]
    return is_python and not is_error and not is_compiled and short not in IN_LOOPS | RESULTS


def takes_any(thing):
    """True if it passes keywords on."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(thing).parameters.values())


CALLS = {n: t for n, t in public.callables().items() if explains(n, t) and options(t)}
CALLS = {n: t for n, t in CALLS.items() if not takes_any(t)}


@pytest.mark.parametrize("name", CALLS)
def test_every_function_suggests_a_keyword(name):
    """A letter of a keyword is left out; the call fails before anything is computed."""
    meant = max(options(CALLS[name]), key=len)
    wrong = meant[:-2] + meant[-1] if len(meant) > 2 else meant + "_"
    with pytest.raises(TypeError) as raised:
        CALLS[name](**{wrong: None})
    message = str(raised.value)
    assert message.startswith(f"{CALLS[name].__name__}() has no argument {wrong!r}"), message
    assert f"did you mean {meant!r}?" in message or len(meant) < 4, message


def test_enough_is_walked():
    assert len(CALLS) > 110
    assert {"fastnn.fit", "fastnn.nn.MLP", "fastnn.optim.Adam", "fastnn.text.BPE"} <= set(CALLS)


@pytest.mark.parametrize(
    ("call", "wrong", "meant"),
    [
        (optim.SGD, "learning_rate", "lr"),
        (optim.AdamW, "beta_1", "betas"),
        (fastnn.fit, "random_state", "seed"),
        (fastnn.fit, "n_epochs", "epochs"),
        (nn.Linear, "use_bias", "bias"),
        (nn.MultiHeadAttention, "num_heads", "n_heads"),
        (nn.Dropout, "rate", "p"),
        (train.ModelCheckpoint, "filepath", "path"),
        (fastnn.sklearn.MLPClassifier, "learning_rte", "learning_rate"),
    ],
)
def test_habits(call, wrong, meant):
    with pytest.raises(TypeError, match=rf"has no argument '{wrong}'; did you mean '{meant}'\?"):
        call(**{wrong: 1})
    assert meant in inspect.signature(call).parameters


COMPILED = {
    name: thing
    for name, thing in public.callables().items()
    if type(thing).__name__ == "cython_function_or_method" and options(thing)
}


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_functions_name_themselves_and_the_keyword(name):
    """They have no wrapper, which would cost time in each call: docs/errors.md has the habits.

    Those made from the table of activations are one function each way.
    """
    function = COMPILED[name].__name__
    if function.removesuffix("_backward") in set(fastnn.kernels.ACTIVATIONS) - {"gelu"}:
        function = "activation_backward" if function.endswith("_backward") else "activation"
    with pytest.raises(TypeError, match=rf"^{function}\(\) got an unexpected keyword .* 'axis_'$"):
        COMPILED[name](axis_=0)


def test_the_habits_in_the_docs():
    """Each row has a call with a keyword that the function lacks, and one without such."""
    text = (DOCS / "errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)\((.*?)\)`.*? \| (.*) \|$", text, re.MULTILINE)
    assert len(COMPILED) > 60 and len(rows) >= 8
    for name, wrong, right in rows:
        known = set(options(getattr(fastnn, name)))
        assert set(re.findall(r"(\w+)=", wrong)) - known, name
        assert set(re.findall(r"(\w+)=", right)) <= known, name


def test_what_is_named_elsewhere_exists():
    known = {option for thing in CALLS.values() for option in options(thing)}
    known |= set(inspect.signature(optim.clip_grad_norm).parameters)
    assert {name for names in ELSEWHERE.values() for name in names} <= known


def test_other_errors_and_results_pass_through():
    class Mine(nn.Module):
        def __init__(self, size):
            raise TypeError("mine")

        def forward(self, x):
            return x, None

        def backward(self, dy, ctx, need_dx=True):
            return dy

    with pytest.raises(TypeError, match=r"^mine$"):
        Mine(size=3)
    with pytest.raises(TypeError, match=r"Mine\(\) has no argument 'sise'; did you mean 'size'"):
        Mine(sise=3)

    @explained
    def takes(a, /, **more):
        return a, more

    assert takes(1, a=2) == (1, {"a": 2})
    with pytest.raises(TypeError, match="missing 1 required"):
        takes(b=2)
    assert pickle.loads(pickle.dumps(fastnn.fit)) is fastnn.fit
    assert optim.schedules.noam(8, 10) == optim.schedules.noam(8, 10)
