"""Every scalar of every function of fastnn.h with every wrong value: refused as in Python.

A refused call returns FASTNN_BAD_ARGUMENT and writes nothing. Which values are wrong is what the
function on arrays says, so one list of ranges holds for both.
"""

import ctypes

import numpy as np
import pytest

import fastnn
from fastnn import capi

from ..kernels.argument_cases import CASES, FUNCTIONS, reals

BAD_ARGUMENT, HUBER, GELU = 2, 2, 2
NUMBERS = [np.nan, np.inf, -np.inf, -1.0, -1e-30, 0.0, -0.0, 0.5, 1.0, 1.5, 2.0, 1e30, 1e300]
WHOLE = [-(2**63), -100, -1, 0, 1, 3, 2**31, 2**63 - 1]
SIZES = {"batch", "cols", "count", "d", "k", "m", "n", "n_in", "n_out", "positions", "rows"}

# function of fastnn.h -> (function on arrays, {scalar: its name there})
TWINS = {
    "gemm": ("gemm", {"alpha": "alpha", "beta": "beta"}),
    "weighted_cross_entropy": ("cross_entropy", {"smoothing": "label_smoothing"}),
    "loss": ("huber", {"delta": "delta"}),
    "scale": ("scale", {"factor": "factor"}),
    "dropout": ("dropout", {"p": "p"}),
    "layer_norm": ("add_norm", {"p": "p", "eps": "eps"}),
    "layer_norm_backward": ("add_norm_backward", {"p": "p"}),
    "attention": ("attention", {"scale": "scale", "dropout_p": "dropout_p"}),
    "attention_backward": ("attention_backward", {"scale": "scale", "dropout_p": "dropout_p"}),
    "embedding": ("embedding", {"scale": "scale"}),
    "embedding_backward": ("embedding_backward", {"scale": "scale"}),
    "sgd": ("sgd_update", {}),
    "adam": ("adam_update", {}),
    "rmsprop": ("rmsprop_update", {}),
    "adagrad": ("adagrad_update", {}),
    "ema": ("ema_update", {"decay": "decay"}),
    "rotary_table": ("rotary", {"base": "base"}),
    "blas_gemm": ("gemm", {"alpha": "alpha", "beta": "beta"}),
    "blas_gemv": ("gemm", {"alpha": "alpha", "beta": "beta"}),
    "blas_axpy": ("scale", {"alpha": "factor"}),
    "blas_scal": ("scale", {"alpha": "factor"}),
}
STEPS = ("lr", "momentum", "beta1", "beta2", "alpha", "eps", "weight_decay", "lr_decay")
for _name in ("sgd", "adam", "rmsprop", "adagrad"):
    _numbers = {*STEPS, "step", "grad_scale"} & set(CASES[TWINS[_name][0]](reals(np.float32)))
    TWINS[_name][1].update({_number: _number for _number in _numbers})

# valid scalars, by name; those of one function stand below
VALID = {
    **dict.fromkeys(("alpha", "beta", "beta1", "beta2", "decay", "momentum", "p"), 0.5),
    **dict.fromkeys(("delta", "dropout_p", "eps", "factor", "lr", "scale", "smoothing"), 0.5),
    **dict.fromkeys(("grad_scale", "lr_decay", "weight_decay"), 0.5),
    **{"activation": 0, "base": 1e4, "columns": 3, "d": 4, "ignore": -7, "kind": GELU, "mean": 1},
    **dict.fromkeys(("causal", "decoupled", "inverse", "mask_kind", "rms", "shared"), 0),
    **dict.fromkeys(("trans_a", "trans_b"), 0),
    **{"positions": 9, "per_weight": 3, "rows": 4, "rows_per_length": 1, "skipped": -1},
    **dict.fromkeys(("count", "m", "n_in", "n_out"), 4),
    **{"cols": 3, "k": 3, "n": 3, "nesterov": 1, "seed": 1, "starts_stride": 1, "step": 1},
}
OF_ONE = {
    "attention": {"scale": 0.5},
    "gemm": {"n": 3, "rsa": 3, "rsb": 3, "rsc": 3},
    "linear_backward": {"n": 3, "rsx": 4, "rsw": 4},
    "loss": {"kind": HUBER, "n": 12},
    "mse": {"n": 12},
    "weighted_cross_entropy": {},
}
INTS = {
    "attention": {"sizes": [1, 2, 1, 3, 3, 4, 4], "lengths": [3, 2, 1], "lengths_strides": [0, 1]},
    "rotary": {"sizes": [2, 1, 3, 4], "starts": [0, 3]},
}
INTS["attention_backward"] = INTS["attention"]
NULL = {"weighted_cross_entropy": {"probs"}, "attention": {"mask"}, "attention_backward": {"mask"}}
PLANS = {"strerror", "set_thread_limit", "max_threads"}
KERNELS = [
    name
    for name in capi.functions()
    if name not in PLANS and not name.startswith(("plan_", "state_"))
]


def arguments(name):
    """Return a valid call of a function of fastnn.h: {argument: value}; pointers are arrays."""
    function, bare = capi.functions()[name], name[:-4]
    real = np.float32 if name.endswith("_f32") else np.float64
    scalars, made = {**VALID, **OF_ONE.get(bare, {})}, {}
    for kind, argument in function.arguments:
        if argument in NULL.get(bare, ()):
            made[argument] = None
        elif kind in ("float *", "double *") and argument in ("loss", "norm", "square", "result"):
            made[argument] = np.full(1, 7.0)
        elif kind in ("float *", "float const *", "double *", "double const *"):
            made[argument] = reals(real)(96)
        elif kind == "int64_t const *":
            strides = [32, 16, 4] if argument.endswith("strides") else [0, 2, 1, 2]
            made[argument] = np.array(INTS.get(bare, {}).get(argument, strides), np.int64)
        elif kind == "void const *":
            made[argument] = reals(real)(96)
        else:
            stride = 1 if argument.startswith(("cs", "inc")) else 4
            made[argument] = scalars.get(argument, stride)
    return made


def status_of(name, call):
    """Make a call; the status, or None if something was written although it failed."""
    before = {k: v.tobytes() for k, v in call.items() if isinstance(v, np.ndarray)}
    given = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in call.values()]
    status = capi.ctypes(name, void_pointers=True)(*given)
    if status and any(call[k].tobytes() != data for k, data in before.items()):
        return None
    return status


def refuses(name, argument, value, real):
    """True if a function on arrays raises ValueError or TypeError for a value of a scalar."""
    call = {**CASES[name](reals(real)), argument: value}
    if name == "rotary":
        call["start"] = np.array([0, 0])
    try:
        with np.errstate(all="ignore"):
            FUNCTIONS.get(name, getattr(fastnn.kernels, name, None))(**call)
    except (ValueError, TypeError):
        return True
    return False


@pytest.mark.parametrize("name", KERNELS)
def test_the_valid_call_is_valid(name):
    assert status_of(name, arguments(name)) == 0


@pytest.mark.parametrize("name", KERNELS)
def test_numbers_are_refused_as_in_python(name):
    real = np.float32 if name.endswith("_f32") else np.float64
    twin, names = TWINS.get(name[:-4], (None, {}))
    for kind, argument in capi.functions()[name].arguments:
        if kind not in ("float", "double") and argument != "step":
            continue
        if argument == "step" and argument not in names:
            continue  # of a generator: any 64 bits
        assert argument in names, f"{name}: which argument on arrays is {argument}?"
        for value in NUMBERS if kind in ("float", "double") else WHOLE:
            call = {**arguments(name), argument: value}
            want = BAD_ARGUMENT if refuses(twin, names[argument], value, real) else 0
            assert status_of(name, call) == want, f"{argument} is {value}"


@pytest.mark.parametrize("name", KERNELS)
def test_negative_sizes_and_unknown_codes(name):
    tried = 0
    for kind, argument in capi.functions()[name].arguments:
        wrong = [-1, -(2**31)] if argument in SIZES and kind in ("int", "int64_t") else []
        if argument in ("kind", "activation", "mask_kind"):
            wrong = [-1, 99, 2**31 - 1]
        for value in wrong:
            tried += 1
            call = {**arguments(name), argument: value}
            assert status_of(name, call) == BAD_ARGUMENT, f"{argument} is {value}"
    assert tried or name.startswith(("attention", "rotary"))


@pytest.mark.parametrize("name", [n for n in KERNELS if n.startswith(("attention", "rotary_f"))])
def test_negative_sizes_in_an_array(name):
    for i in range(len(arguments(name)["sizes"])):
        call = arguments(name)
        call["sizes"][i] = -1
        assert status_of(name, call) == BAD_ARGUMENT, i


def test_wrong_values_are_written_out():
    """The walk has something to find: ctypes passes NaN and infinities on."""
    call = capi.ctypes("ema_f32")
    one = (ctypes.c_float * 1)(1)
    assert call(1, one, (ctypes.c_float * 1)(2), float("nan")) == BAD_ARGUMENT and one[0] == 1
