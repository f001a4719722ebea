"""Random calls of what models, plans and states can do, one argument of each call being wrong."""

import copy
import functools
import itertools
import random

import numpy as np

import fastnn
from fastnn import models, nn, optim
from tests.kernels.wrong_arguments import SCALARS
from tests.nn.layers import LAYERS

from . import common, mutate
from .layers import BARE, CLEAR

ALLOWANCE = 1 << 30  # bytes: a config may ask for any size, and get a MemoryError
IDS = np.array([[1, 2, 3], [4, 5, 6]])
LENGTHS = np.array([3, 2])
X = np.ones((2, 3, 8), np.float32)
OTHERS = [value for _, value, _ in SCALARS]
OTHERS += [np.ones((2, 3)), np.ones((2, 3), object), -IDS, IDS + 100, IDS[0], IDS[:, :0], IDS[:0]]
OTHERS += [IDS.astype(np.uint8), IDS.astype(float), X.astype(np.float64), X[0], X[..., :5], X.T]
OTHERS += [LENGTHS + 9, -LENGTHS, LENGTHS[:1], [[1], []], [[]], "text", {"a": IDS}, iter([1]), 100]


@functools.cache
def made():
    """Small models and their plans, used by all calls."""
    lm = models.TransformerLM(11, 8, 2, 1, 8, rng=0)
    seq = models.Seq2SeqTransformer(11, None, 8, n_heads=2, n_layers=1, max_len=8, rng=0)
    return lm, seq, lm.freeze(), seq.freeze(), nn.MLP((8, 6, 3), rng=0)


def streamed(**arguments):
    """The first two tokens."""
    return list(itertools.islice(models.stream(**arguments), 2))


def calls():
    """Name -> (function, right arguments by name); caches and states are new ones."""
    lm, seq, plan, frozen, mlp = made()
    attention = nn.MultiHeadAttention(8, 2, rng=0)
    encoder = nn.TransformerEncoder(1, 8, 2, 6, rng=0)
    generate = functools.partial(lm.generate, max_new_tokens=3)
    sampling = {"temperature": 0.9, "top_k": 3, "top_p": 0.9, "stop": [2], "seed": 1}
    beams = {"bos": 1, "eos": 2, "max_len": 4, "beams": 2, "length_penalty": 0.7, "n_best": 1}
    source = {"src": IDS, "src_lengths": LENGTHS}
    state, x = plan.new_state(2), X[0]
    y = np.array([0, 2, 1])
    write = functools.partial(models.generate, max_new_tokens=2)  # 2**63 would take for ever
    learn = functools.partial(fastnn.fit, epochs=1, verbose=0)
    fit = {"batch_size": 2, "shuffle": True, "clip_norm": 1.0, "seed": 0}
    trained = nn.MLP((8, 6, 3), rng=0)
    learned = {"params": trained.parameters()}
    average = optim.ExponentialMovingAverage(**learned, decay=0.9)
    beam = functools.partial(models.beam_search, seq, max_len=3)
    return {
        "generate": (generate, {"prompts": IDS, **sampling}),
        "models.generate": (write, {"model": plan, "prompts": IDS}),
        "stream": (streamed, {"model": plan, "prompt": IDS[0], **sampling}),
        "beam_search": (beam, {"cache": seq.new_cache(**source), "bos": 1, "eos": 2, "beams": 2}),
        "step": (lm.step, {"ids": IDS, "cache": lm.new_cache(2), "lengths": LENGTHS}),
        "new_cache": (lm.new_cache, {"batch": 2, "max_len": 4}),
        "freeze": (lm.freeze, {"max_len": 4}),
        "attention_weights": (lm.attention_weights, {"ids": IDS}),
        "translate": (seq.generate, source | beams),
        "translate, frozen": (frozen.generate, source | beams),
        "encode": (seq.encode, source),
        "read": (seq.new_cache, {**source, "max_len": 4}),
        "read, frozen": (frozen.new_cache, {**source, "max_len": 4}),
        "plan.step": (plan.step, {"ids": IDS, "state": state, "lengths": LENGTHS}),
        "new_state": (plan.new_state, {"batch": 2, "max_len": 4}),
        "rows": (mlp.freeze(), {"x": x}),
        "rows.freeze": (mlp.freeze, {"batch_max": 9}),
        "truncate": (state.truncate, {"length": 0}),
        "select": (state.select, {"rows": [1, 0]}),
        "attention": (attention, {"x": X, "memory": None, "causal": True, "lengths": LENGTHS}),
        "encoder": (encoder, {"x": X, "lengths": LENGTHS}),
        "fit": (learn, {"model": trained, "x": x, "y": y, "optimizer": "adam", **fit}),
        "evaluate": (fastnn.evaluate, {"model": mlp, "x": x, "y": y, "batch_size": 2}),
        "Adam": (optim.Adam, {**learned, "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8}),
        "SGD": (optim.SGD, {**learned, "lr": 0.1, "momentum": 0.5, "nesterov": True}),
        "RMSprop": (optim.RMSprop, {**learned, "lr": 0.1, "alpha": 0.9, "centered": True}),
        "Adagrad": (optim.Adagrad, {**learned, "lr": 0.1, "lr_decay": 0.1}),
        "Adadelta": (optim.Adadelta, {**learned, "lr": 0.1, "rho": 0.9}),
        "average": (optim.ExponentialMovingAverage, {**learned, "decay": 0.9}),
        "clip_grad_norm": (optim.clip_grad_norm, {**learned, "max_norm": 1.0}),
        "load_state_dict": (average.load_state_dict, {"state": average.state_dict()}),
        "cross_entropy": (nn.cross_entropy, {"logits": x, "targets": y, "label_smoothing": 0.1}),
        "save": (functools.partial(fastnn.save, path="/no/where"), {"model": mlp}),
        "load": (fastnn.load, {"path": "/no/where"}),
        "seed": (mlp.seed, {"seed": 1}),
        "load_state": (mlp.load_state, {"state": mlp.state()}),
        "summary": (mlp.summary, {"input_shape": (5, 8)}),
    }


def wrong(seed):
    """One argument drawn at random: a result, or an error in words of ours."""
    common.limit_memory(ALLOWANCE)
    return call_one(calls(), random.Random(seed), seed, OTHERS)


def call_one(table, rng, seed, others):
    """Call the function that is the turn of a seed, with one of `others` for an argument."""
    name = list(table)[seed % len(table)]
    function, arguments = table[name]
    place = rng.choice(list(arguments))
    value = rng.choice(others)
    if rng.random() < 0.1:
        arguments = {**arguments, "no_such_argument": value}
    else:
        arguments = {**arguments, place: value}
    short = type(value).__name__ if isinstance(value, int) else " ".join(repr(value).split())
    given = f"{name}({place}={short:.60})"
    try:
        with np.errstate(all="ignore"):
            function(**arguments)
    except (*CLEAR, OSError, MemoryError) as error:
        return refused(error, given)
    except BaseException as error:
        raise AssertionError(given) from error
    return "taken"


def refused(error, given):
    text = str(error)
    message = f"{given}: {type(error).__name__}: {text:.300}"
    assert text and "\n" not in text and len(text) < 700 and not BARE.search(text), message
    return "refused"


@functools.cache
def configs():
    return [make()[0].config() for make in LAYERS.values()]


def built(seed):
    """`nn.build` of a config with changed fields: a model that has the config, or a clear error."""
    common.limit_memory(ALLOWANCE)
    rng = random.Random(seed)
    config = mutate.changed(copy.deepcopy(configs()[seed % len(configs())]), rng)
    try:
        nn.parameter_shapes(config)
        model = nn.build(config)
    except (*CLEAR, MemoryError) as error:
        return refused(error, f"build({config!r:.300})")
    except BaseException as error:
        raise AssertionError(f"build({config!r:.300})") from error
    assert nn.build(model.config()).config() == model.config()
    return "read"
