"""Objects of every public class: pickled and copied, or a TypeError that says what to do instead.

Layers and models are copied in tests/nn/test_contract.py, schedules in tests/optim, estimators in
tests/sklearn.
"""

import copy
import inspect
import pickle
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import data, distributed, files, kernels, models, nn, optim, text, train

ROOMS = (fastnn, kernels, nn, optim, train, data, text, models, files, distributed)
IDS = np.arange(60) % 7
SPECIALS = {"bos_id": 1, "eos_id": 2, "pad_id": 0}
OPTIMIZERS = (optim.SGD, optim.Adadelta, optim.Adagrad, optim.Adam, optim.AdamW, optim.RMSprop)
# A state, or weights laid out for the process.
BOUND = ("Plan", "PlanState", "Program", "PackedMatrix", "FrozenSeq2Seq")
# Made by a run or by MPI; abstract.
LEFT_OUT = {"Run", "MPI", "Module", "Optimizer", "Schedule", "Vocab"}


def mlp():
    return nn.MLP((3, 4, 2), rng=0)


def language_model():
    return models.TransformerLM(7, 4, 2, 1, 8, rng=0)


def translator():
    return models.Seq2SeqTransformer(7, d_model=4, n_heads=2, n_layers=1, d_ff=4, rng=0)


def builder():
    made = kernels.Builder()
    nn.Linear(3, 2, rng=0).lower(made)
    return made


def tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    words = {"a": 0, "b": 1, "ab": 2}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


def text_model():
    """One that has read a text."""
    model = models.TextModel(language_model(), tokenizer(), template="{{ messages[0] }}")
    model.generate("a b", 2, temperature=0)
    return model


def sentence_encoder():
    model = models.TransformerEncoderModel(3, 4, 2, 1, 8, 8, rng=0)
    return models.SentenceEncoder(model, tokenizer())


def plan_state():
    plan = language_model().freeze()
    state = plan.new_state(1)
    plan.step(np.array([[1, 2]]), state)
    return state


OBJECTS = {
    "Builder": builder,
    "Plan": lambda: mlp().freeze(),
    "PlanState": plan_state,
    "Program": lambda: kernels.Program(builder()),
    "PackedMatrix": lambda: kernels.pack(np.ones((3, 2), np.float32)),
    "num_threads": lambda: fastnn.num_threads(2),
    "Parameter": lambda: mlp()[0].weight,
    "Parameters": lambda: mlp().parameters(),
    "RandomStream": lambda: nn.RandomStream(3),
    "GradientReport": lambda: nn.gradcheck(
        nn.Linear(3, 2, dtype=np.float64, rng=0), np.ones((4, 3))
    ),
    "ExponentialMovingAverage": lambda: optim.ExponentialMovingAverage(mlp().parameters()),
    "CSVLogger": lambda: train.CSVLogger("epochs.csv"),
    "Checkpoint": train.Checkpoint,
    "EarlyStopping": train.EarlyStopping,
    "History": train.History,
    "LRSchedule": lambda: train.LRSchedule(optim.schedules.constant(0.1)),
    "ModelCheckpoint": lambda: train.ModelCheckpoint("best"),
    "ReduceLROnPlateau": train.ReduceLROnPlateau,
    "TerminateOnNaN": train.TerminateOnNaN,
    "TokenLoss": train.TokenLoss,
    "Batches": lambda: data.batches(np.ones((5, 2)), np.arange(5), batch_size=2, seed=0),
    "Crops": lambda: data.crops(IDS, 4, 2, steps=2, seed=0),
    "TokenBatches": lambda: data.token_batches([[4]], [[5, 6]], max_tokens=9, seed=0, **SPECIALS),
    "Windows": lambda: data.windows(IDS, 4, 2),
    "CharVocab": lambda: text.CharVocab.from_text("abc"),
    "WordVocab": lambda: text.WordVocab.from_sentences(["a b", "b"]),
    "BPE": lambda: text.BPE.train(["a b c", "ab"], 20),
    "FrozenSeq2Seq": lambda: translator().freeze(),
    "Hypothesis": lambda: models.Hypothesis(np.array([1, 2]), -0.5, -1.0),
    "Seq2SeqWeights": lambda: models.Seq2SeqWeights([], [], []),
    "Found": lambda: models.search(np.eye(2), np.eye(2), top_k=1),
    "TextModel": text_model,
    "SentenceEncoder": sentence_encoder,
    "Gguf": lambda: files.Gguf({}, {}),
    "Quantized": lambda: files.Quantized(np.float16([1, 2]), "float16", (2,)),
    "OneProcess": lambda: distributed.OneProcess(shards=2),
    **{kind.__name__: lambda kind=kind: kind(mlp().parameters(), lr=0.1) for kind in OPTIMIZERS},
}

ARGUMENTS = {nn.GradientError: ("weight", (0, 1), 2.0, 3.0)}


def public_classes():
    names = [(room, name) for room in ROOMS for name in room.__all__]
    found = {name: getattr(room, name) for room, name in names if name not in fastnn._MODULES}
    return {name: kind for name, kind in found.items() if inspect.isclass(kind)}


def test_every_public_class_is_here():
    others = {
        name
        for name, kind in public_classes().items()
        if not issubclass(kind, (Exception, nn.Module)) and name not in LEFT_OUT
    }
    assert others == set(OBJECTS)


def made(name):
    if name == "BPE":
        pytest.importorskip("tokenizers")
    return OBJECTS[name]()


def test_a_chat_template_that_was_used_is_copied():
    pytest.importorskip("jinja2")
    model = text_model()
    messages = [{"role": "user", "content": "a"}]
    assert by_pickle(model).template.render(messages) == model.template.render(messages)
    assert by_pickle(model).template.render(messages) == model.template.render(messages)


def by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize("duplicate", [by_pickle, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_copied_or_says_what_to_do(name, duplicate):
    thing = made(name)
    if name in BOUND:
        message = f"a {name} cannot be pickled or copied: .* again"
        with pytest.raises(TypeError, match=message):
            duplicate(thing)
    else:
        twin = duplicate(thing)
        assert type(twin) is type(thing) and twin is not thing


@pytest.mark.parametrize("name", BOUND)
def test_what_is_bound_to_the_process_can_be_in_weak_dictionaries(name):
    thing = made(name)
    assert weakref.WeakKeyDictionary({thing: 1})[thing] == 1


@pytest.mark.parametrize("name", [n for n in OBJECTS if n not in BOUND])
def test_iterators_and_vocabularies_go_on_alike(name):
    """What a twin gives next is what the original gives next."""
    thing = made(name)
    if hasattr(thing, "__iter__") and hasattr(thing, "state"):
        next(iter(thing))
        twin = by_pickle(thing)
        np.testing.assert_equal(list(twin), list(thing))
    elif hasattr(thing, "encode"):
        np.testing.assert_array_equal(by_pickle(thing).encode("ab"), thing.encode("ab"))
    elif hasattr(thing, "generate"):
        twin = by_pickle(thing)
        assert twin.generate("a b", 3, temperature=0) == thing.generate("a b", 3, temperature=0)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_model_and_its_optimizer_are_copied_together(kind):
    model = mlp()
    optimizer = kind(model.parameters(), lr=0.1)
    model.parameters().grad.fill(1)
    optimizer.step()
    for duplicate in (by_pickle, copy.deepcopy):
        twin, its_optimizer = duplicate((model, optimizer))
        before = model.parameters().data.copy()
        twin.parameters().grad.fill(1)
        its_optimizer.step()
        assert (model.parameters().data == before).all()
        other, other_optimizer = duplicate((model, optimizer))
        other.parameters().grad.fill(1)
        other_optimizer.step()
        np.testing.assert_array_equal(twin.parameters().data, other.parameters().data)
        assert (twin.parameters().data != before).any()


@pytest.mark.parametrize(
    "error", [k for k in public_classes().values() if issubclass(k, Exception)]
)
def test_errors_come_back_from_other_processes(error):
    made = error(*ARGUMENTS.get(error, ("what was wrong",)))
    twin = by_pickle(made)
    assert type(twin) is error and str(twin) == str(made) and vars(twin) == vars(made)
