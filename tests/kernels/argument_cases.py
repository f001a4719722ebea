"""A valid call of every kernel with all its options, and which arrays it writes."""

from functools import cache
from types import SimpleNamespace

import numpy as np

from fastnn import kernels
from fastnn.kernels.ground.memory import empty

NO_ARGUMENTS = {"ACTIVATIONS", "PackedMatrix", "build_info", "get_num_threads", "thread_info"}
IN_PYTHON = {"Builder", "NotLowerable", "PlanState"}  # PlanState is made by new_state, a case below
IN_PYTHON |= {"narrow", "widen"}  # of types of their own: test_half.py


def reals(real):
    """A function that makes arrays of numbers between 0.1 and 0.9, and the labels 0, 1 and 2."""

    return lambda *shape: numbers(shape, real).copy()


@cache
def numbers(shape, real):
    return (0.1 + np.arange(np.prod(shape)) * 7 % 9 / 10).reshape(shape).astype(real)


LABELS = [0, 2, 1, 2]


def elementwise(a):
    return {"x": a(4, 3), "out": a(4, 3)}


def elementwise_backward(saved):
    return lambda a: {"dy": a(4, 3), saved: a(4, 3), "out": a(4, 3)}


def loss(pred, target, **options):
    def arguments(a):
        values = {pred: a(4, 3), target: a(4, 3), "sample_weight": a(4), "reduction": "mean"}
        return {**values, f"d{pred}": a(4, 3), **{k: v(a) for k, v in options.items()}}

    return arguments


def adam(a):
    arrays = {name: a(4, 3) for name in "pgmv"}
    numbers = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}
    return {**arrays, **numbers, "step": 1, "grad_scale": 1.0}


def adamw(a):
    return {**adam(a), "decay_stops": np.array([3, 5, 12])}


def attention(a):
    q, k, v = a(2, 4, 3, 6), a(2, 2, 5, 6), a(2, 2, 5, 4)
    options = {"lengths": np.array([5, 4]), "mask": a(3, 5), "scale": 0.5, "dropout_p": 0.1}
    options["window"] = 3
    return {"q": q, "k": k, "v": v, **options, "causal": False, "seed": 1, "step": 0}


def attention_forward(a):
    return {**attention(a), "need_weights": True, "return_lse": True, "out": a(2, 4, 3, 4)}


def attention_backward(a):
    given = attention(a)
    out, lse = kernels.attention(**given, return_lse=True)
    outputs = {f"d{name}": given[name].copy() for name in "qkv"}
    return {"dout": a(2, 4, 3, 4), **given, "out": out, "lse": lse, **outputs}


def pooling(a):
    return {
        "queries": a(3, 2),
        "keys": a(4, 2),
        "values": a(4, 5),
        "kernel": "boxcar",
        "width": 0.7,
    }


def threads(n):
    with kernels.num_threads(n):
        pass


def mlp(a):
    """Two layers of 3, 4 and 2 columns, with gradients."""
    builder = kernels.Builder()
    for n_in, n_out, activation in ((3, 4, "relu"), (4, 2, None)):
        weight, bias = (SimpleNamespace(data=x, grad=x * 0) for x in (a(n_in, n_out), a(n_out)))
        builder.dense(weight, bias, activation)
    return builder


def language_model(a):
    """A plan of one attention layer over 5 tokens."""
    builder = kernels.Builder(8)
    builder.embed(a(5, 4))
    builder.dense(a(4, 12))
    builder.attention(2, 2, causal=True)
    builder.last()
    builder.dense(a(4, 5))
    return kernels.Plan(builder)


def state_of(plan):
    """A state of two rows that hold two positions."""
    state = plan.new_state(2)
    plan.step(np.array([[1, 2], [3, 4]]), state)
    return state


def program(a):
    made = kernels.Program(mlp(a))
    y, ctx = made.forward(a(6, 3))
    return {"self": made, "dy": y.copy(), "ctx": ctx, "need_dx": True}


def step(a):
    plan = language_model(a)
    ids = np.array([[1, 2], [3, 4]])
    return {"self": plan, "ids": ids, "state": state_of(plan), "lengths": [1, 1], "out": a(2, 5)}


NORM = {"weight": (3,), "bias": (3,), "stats": (4, 3), "out": (4, 3)}
NORM_BACKWARD = {"stats": (4, 3), "weight": (3,), "dweight": (3,), "dbias": (3,), "out": (4, 3)}
DROPOUT = {"p": 0.5, "seed": 1, "step": 2}


def norm(a, *left_out, **more):
    return {"x": a(4, 3), **{k: a(*s) for k, s in NORM.items() if k not in left_out}, **more}


def norm_backward(a, *left_out, **more):
    arrays = {k: a(*s) for k, s in NORM_BACKWARD.items() if k not in left_out}
    return {"dy": a(4, 3), **arrays, **more}


# name, and which of several cases: what makes the arguments of a valid call, all options given
CASES = {
    **dict.fromkeys(kernels.ACTIVATIONS, elementwise),
    **{
        f"{name}_backward": elementwise_backward("y" if from_output else "x")
        for name, (_, _, from_output) in kernels.ACTIVATIONS.items()
    },
    "log_softmax": elementwise,
    "log_softmax_backward": elementwise_backward("y"),
    "gelu": lambda a: {**elementwise(a), "approximate": "tanh"},
    "gelu_backward": lambda a: {**elementwise_backward("x")(a), "approximate": "tanh"},
    "softmax": lambda a: {**elementwise(a), "lengths": np.array(LABELS)},
    "softmax_backward": lambda a: {**elementwise_backward("y")(a), "lengths": np.array(LABELS)},
    "leaky_relu": lambda a: {**elementwise(a), "slope": 0.1},
    "leaky_relu_backward": lambda a: {**elementwise_backward("y")(a), "slope": 0.1},
    "prelu": lambda a: {**elementwise(a), "a": a(3)},
    "prelu of one slope": lambda a: {**elementwise(a), "a": a(1)},
    "prelu_backward": lambda a: {**elementwise_backward("x")(a), "a": a(3), "da": a(3)},
    "gate": lambda a: {"x": a(4, 6), "activation": "silu", "out": a(4, 3)},
    "gate_backward": lambda a: {
        **{"dy": a(4, 3), "x": a(4, 6), "activation": "silu", "out": a(4, 6)}
    },
    "layer_norm": lambda a: norm(a, eps=0.1),
    "rms_norm": lambda a: norm(a, "bias", eps=0.1),
    "add_norm": lambda a: norm(a, residual=a(4, 3), kind="rms", eps=0.1, h=a(4, 3), **DROPOUT),
    "layer_norm_backward": lambda a: norm_backward(a, x=a(4, 3)),
    "rms_norm_backward": lambda a: norm_backward(a, "dbias", x=a(4, 3)),
    "add_norm_backward": lambda a: norm_backward(
        a, "out", h=a(4, 3), kind="layer", dh=a(4, 3), **DROPOUT
    ),
    "dropout": lambda a: {**elementwise(a), **DROPOUT},
    "dropout_backward": lambda a: {"dy": a(4, 3), "out": a(4, 3), **DROPOUT},
    "philox": lambda a: {"n": 10, "seed": 1, "step": 2, "block": 3},
    "mse": loss("pred", "target"),
    "l1": loss("pred", "target"),
    "huber": loss("pred", "target", delta=lambda a: 0.5),
    "bce_with_logits": loss("logits", "targets", pos_weight=lambda a: a(3)),
    "cross_entropy": lambda a: {
        "logits": a(4, 3),
        "targets": np.array(LABELS),
        "ignore_index": -7,
        "weight": a(3),
        "sample_weight": a(4),
        "label_smoothing": 0.1,
        "reduction": "none",
        "dlogits": a(4, 3),
    },
    "cross_entropy of probabilities": lambda a: {
        **{"logits": a(4, 3), "targets": a(4, 3), "weight": a(3), "sample_weight": a(4)},
        "dlogits": a(4, 3),
    },
    "cross_entropy of one-hot rows": lambda a: {
        **{"logits": a(4, 3), "targets": np.eye(3, dtype=int)[LABELS], "dlogits": a(4, 3)}
    },
    "cross_entropy of bools": lambda a: {
        **{"logits": a(4, 3), "targets": np.eye(3, dtype=bool)[LABELS], "reduction": "sum"}
    },
    "cross_entropy of a column": lambda a: {
        **{"logits": a(4, 3), "targets": np.array(LABELS)[:, None], "dlogits": a(4, 3)}
    },
    "sgd_update": lambda a: {
        **{name: a(4, 3) for name in "pgm"},
        **{"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "grad_scale": 1.0},
    },
    "adam_update": adam,
    "adamw_update": adamw,
    "rmsprop_update": lambda a: {
        **{name: a(4, 3) for name in "pgvmc"},
        **{"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "momentum": 0.9, "weight_decay": 0.1},
        "grad_scale": 1.0,
    },
    "adagrad_update": lambda a: {
        **{name: a(4, 3) for name in "pgv"},
        **{"lr": 0.1, "lr_decay": 0.1, "eps": 1e-8, "weight_decay": 0.1, "grad_scale": 1.0},
        "step": 1,
    },
    "ema_update": lambda a: {"average": a(4, 3), "p": a(4, 3), "decay": 0.9},
    "scale": lambda a: {"x": a(4, 3), "factor": 0.5},
    "embedding": lambda a: {
        **{"ids": np.array(LABELS), "weight": a(5, 3), "scale": 2.0, "out": a(4, 3)}
    },
    "embedding_backward": lambda a: {
        **{"ids": np.array(LABELS), "dy": a(4, 3), "dweight": a(5, 3), "scale": 2.0},
        "padding_idx": 1,
    },
    "frobenius_norm": lambda a: {"x": a(4, 3)},
    "frobenius_norm of several": lambda a: {"x": [a(4, 3), a(5)]},
    "squared_norm": lambda a: {"x": a(4, 3)},
    "l1_norm": lambda a: {"x": a(4, 3)},
    "l1_norm of several": lambda a: {"x": [a(4, 3), a(5)]},
    "matmul": lambda a: {
        **{"a": a(4, 5), "b": a(5, 3), "bias": a(3), "activation": "gelu"},
        **{"out": a(4, 3), "preact": a(4, 3)},
    },
    "matmul of a packed matrix": lambda a: {
        **{"a": a(2, 4, 5), "b": kernels.pack(a(5, 3)), "bias": a(3), "activation": "relu"},
        **{"out": a(2, 4, 3), "preact": a(2, 4, 3)},
    },
    "matmul of stacks": lambda a: {"a": a(2, 1, 4, 5), "b": a(3, 5, 3), "out": a(2, 3, 4, 3)},
    "matmul of vectors": lambda a: {"a": a(5), "b": a(5, 3), "out": a(3)},
    "gemm": lambda a: {
        **{"a": a(5, 4), "b": a(5, 3), "c": a(4, 3), "alpha": 2.0, "beta": 0.5},
        **{"trans_a": True, "trans_b": False},
    },
    "pack": lambda a: {"b": a(4, 3), "format": None},
    "linear_backward": lambda a: {
        **{"dy": a(4, 3), "x": a(4, 5), "w": a(5, 3), "dw": a(5, 3), "db": a(3)},
        **{"y": a(4, 3), "activation": "tanh", "need_dx": True, "overwrite_dy": False},
    },
    "linear_backward of preact": lambda a: {
        **{"dy": a(4, 3), "x": a(4, 5), "w": a(5, 3), "dw": a(5, 3)},
        **{"preact": a(4, 3), "activation": "gelu", "need_dx": False},
    },
    "attention": attention_forward,
    "attention of two masks": lambda a: {
        **{"q": a(2, 4, 3, 6), "k": a(2, 4, 5, 6), "v": a(2, 4, 5, 6), "causal": True},
        **{"lengths": np.full((2, 3), 4), "mask": a(4, 1, 5) > 0.3},
    },
    "attention_backward": attention_backward,
    "rotary": lambda a: {
        **{"x": a(2, 3, 5, 4), "start": np.array([3, 9]), "base": 100.0, "inverse": False},
        **{"out": a(2, 3, 5, 4), "rates": np.ones(2), "factor": 1.0},
    },
    "rotary of one start": lambda a: {"x": a(2, 3, 5, 4), "start": 7},
    "additive_scores": lambda a: {"q": a(2, 3, 4), "k": a(2, 5, 4), "w": a(4), "out": a(2, 3, 5)},
    "additive_scores_backward": lambda a: {
        **{"dscores": a(2, 3, 5), "q": a(2, 3, 4), "k": a(2, 5, 4), "w": a(4)}
    },
    "attention_pooling": lambda a: {**pooling(a), "need_weights": True},
    "attention_pooling_backward": lambda a: {"dout": a(3, 5), **pooling(a)},
    "Plan": lambda a: {"builder": mlp(a), "batch_max": 7},
    "Plan of rows": lambda a: {"self": kernels.Plan(mlp(a)), "x": a(6, 3), "out": a(6, 2)},
    "Program": lambda a: {"builder": mlp(a)},
    "Program backward": program,
    "new_state": lambda a: {"self": language_model(a), "batch": 3, "max_len": 5},
    "step": step,
    "truncate": lambda a: {"self": state_of(language_model(a)), "length": 1},
    "select": lambda a: {"self": state_of(language_model(a)), "rows": np.array([1, 0, 1])},
    "num_threads": lambda a: {"n": 2},
    "set_num_threads": lambda a: {"n": 2},
    "empty": lambda a: {"shape": (2, 3), "dtype": np.float32},
}
FUNCTIONS = {
    "num_threads": threads,
    "empty": empty,
    "Plan of rows": lambda self, **how: self(**how),
    "Program backward": lambda self, **how: self.backward(**how),
    "new_state": lambda self, **how: self.new_state(**how),
    "step": lambda self, **how: self.step(**how),
    "truncate": lambda self, **how: self.truncate(**how),
    "select": lambda self, **how: self.select(**how),
}

# what a function may write; by default what every function writes that has such a parameter
WRITTEN = {
    "attention_backward": {"dq", "dk", "dv"},
    "add_norm": {"out", "h", "stats"},
    "layer_norm": {"out", "stats"},
    "rms_norm": {"out", "stats"},
    "add_norm_backward": {"dweight", "dbias"},
    "matmul": {"out", "preact"},
    "gemm": {"c"},
    "linear_backward": {"dw", "db"},
    "scale": {"x"},
    "sgd_update": {"p", "m"},
    "adam_update": {"p", "m", "v"},
    "adamw_update": {"p", "m", "v"},
    "rmsprop_update": {"p", "v", "m", "c"},
    "adagrad_update": {"p", "v"},
    "ema_update": {"average"},
}
OUTPUTS = {"out", "da", "dweight", "dbias", "dpred", "dlogits"}
