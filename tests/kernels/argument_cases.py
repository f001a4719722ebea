"""A valid call of every kernel with all its options, and what may be wrong with an argument."""

from fractions import Fraction

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastnn import kernels
from fastnn.kernels.ground.memory import empty

from .variants import misaligned

PROGRAMS = {"DenseStack", "Plan", "PlanState", "TransformerPlan"}  # tested in tests/nn
NO_ARGUMENTS = {"PackedMatrix", "build_info", "get_num_threads", "thread_info"}


def reals(real):
    """A function that makes arrays of numbers between 0.1 and 0.9, and the labels 0, 1 and 2."""

    def array(*shape):
        return (0.1 + np.arange(np.prod(shape)) * 7 % 9 / 10).reshape(shape).astype(real)

    return array


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
    **dict.fromkeys(["relu", "sigmoid", "tanh", "silu", "softplus", "log_softmax"], elementwise),
    **dict.fromkeys(
        [f"{name}_backward" for name in ("relu", "sigmoid", "tanh", "softplus", "log_softmax")],
        elementwise_backward("y"),
    ),
    "silu_backward": elementwise_backward("x"),
    "gelu": lambda a: {**elementwise(a), "approximate": "tanh"},
    "gelu_backward": lambda a: {**elementwise_backward("x")(a), "approximate": "tanh"},
    "softmax": lambda a: {**elementwise(a), "lengths": np.array(LABELS)},
    "softmax_backward": lambda a: {**elementwise_backward("y")(a), "lengths": np.array(LABELS)},
    "leaky_relu": lambda a: {**elementwise(a), "slope": 0.1},
    "leaky_relu_backward": lambda a: {**elementwise_backward("y")(a), "slope": 0.1},
    "prelu": lambda a: {**elementwise(a), "a": a(3)},
    "prelu of one slope": lambda a: {**elementwise(a), "a": a(1)},
    "prelu_backward": lambda a: {**elementwise_backward("x")(a), "a": a(3), "da": a(3)},
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
    "pack": lambda a: {"b": a(4, 3)},
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
        "out": a(2, 3, 5, 4),
    },
    "rotary of one start": lambda a: {"x": a(2, 3, 5, 4), "start": 7},
    "additive_scores": lambda a: {"q": a(2, 3, 4), "k": a(2, 5, 4), "w": a(4), "out": a(2, 3, 5)},
    "additive_scores_backward": lambda a: {
        **{"dscores": a(2, 3, 5), "q": a(2, 3, 4), "k": a(2, 5, 4), "w": a(4)}
    },
    "attention_pooling": lambda a: {**pooling(a), "need_weights": True},
    "attention_pooling_backward": lambda a: {"dout": a(3, 5), **pooling(a)},
    "num_threads": lambda a: {"n": 2},
    "set_num_threads": lambda a: {"n": 2},
    "empty": lambda a: {"shape": (2, 3), "dtype": np.float32},
}
FUNCTIONS = {"num_threads": threads, "empty": empty}

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


def as_masked(x):
    return np.ma.masked_array(x, mask=np.arange(x.size).reshape(x.shape) == 0)


def as_read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def as_misaligned(x):
    y = misaligned(x.size, x.dtype).reshape(x.shape)
    y[...] = x
    return y


def as_overlapping(x):
    """A view that has elements in common with itself: strides 4, 4, 4, of a vector stride 0."""
    step = x.itemsize if x.ndim > 1 else 0
    return as_strided(x.copy().reshape(-1), x.shape, (step,) * x.ndim)


class Subclass(np.ndarray):
    """A class that says nothing about how it is computed with."""


# (name, value, whether no argument may be that): None of them is an array
SCALARS = [
    ("None", None, False),
    ("str", "no such thing", True),
    ("bytes", b"relu", True),
    ("object", object(), True),
    ("type", int, True),
    ("dict", {"a": 1}, True),
    ("list", [1.0, 2.0], False),
    ("empty list", [], False),
    ("tuple", ("relu",), False),
    ("set", {1}, True),
    ("function", len, True),
    ("complex", 1j, True),
    ("datetime", np.datetime64("2020-01-01"), True),
    ("fraction", Fraction(1, 3), False),
    ("NaN", float("nan"), False),
    ("inf", float("inf"), False),
    ("-inf", -float("inf"), False),
    ("1e300", 1e300, False),
    ("float32", np.float32(0.5), False),
    ("0", 0, False),
    ("-1", -1, False),
    ("2**63", 2**63, False),
    ("-2**70", -(2**70), False),
    ("10**5000", 10**5000, False),
    ("1.5", 1.5, False),
    ("True", True, False),
    ("bool", np.bool_(True), False),
    ("0-d", np.array(0.5), False),
    ("0-d int", np.array(1), False),
    ("vector", np.array([0.5, 0.5]), False),
    ("masked", np.ma.masked, True),
    ("text array", np.array(["a", "b"]), True),
]

# (name, function of the array of a valid call, whether no argument may be that)
ARRAYS = [
    ("flat", lambda x: x.reshape(-1), False),
    ("one axis more", lambda x: x[None], False),
    ("row missing", lambda x: x[1:], False),
    ("column missing", lambda x: x[..., 1:], False),
    ("no rows", lambda x: x[:0], False),
    ("no columns", lambda x: x[..., :0], False),
    ("transposed", lambda x: x.T, False),
    ("upside down", lambda x: x[::-1], False),
    ("Fortran", np.asfortranarray, False),
    ("read-only", as_read_only, False),
    ("float32", lambda x: x.astype(np.float32), False),
    ("float64", lambda x: x.astype(np.float64), False),
    ("longdouble", lambda x: x.astype(np.longdouble), False),
    ("float16", lambda x: x.astype(np.float16), False),
    ("int32", lambda x: x.astype(np.int32), False),
    ("uint64", lambda x: x.astype(np.uint64), False),
    ("bool array", lambda x: x.astype(bool), False),
    ("other byte order", lambda x: x.astype(x.dtype.newbyteorder()), False),
    ("misaligned", as_misaligned, False),
    ("NaNs", lambda x: x * np.nan if x.dtype.kind == "f" else x - 100, False),
    ("negative", lambda x: ~x if x.dtype == bool else -x, False),
    ("large", lambda x: x * x.dtype.type(10) ** 18, False),
    ("broadcast", lambda x: np.broadcast_to(x[:1], x.shape), False),
    ("overlapping", as_overlapping, False),
    ("subclass", lambda x: x.view(Subclass), False),
    ("masked array", as_masked, True),
    ("no mask", lambda x: np.ma.masked_array(x), True),
    ("complex array", lambda x: x.astype(complex), True),
    ("object array", lambda x: x.astype(object), True),
    ("datetime array", lambda x: x.astype("M8[s]"), True),
    ("structured", lambda x: x.astype([("a", x.dtype)]), True),
]
REFUSED_OUTPUTS = {"read-only", "broadcast", "overlapping", "misaligned", "other byte order"}
