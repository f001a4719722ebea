"""Wrong arguments of every kernel: one of a valid call is replaced.

A call returns a result or raises an error that names the function and the argument; it changes no
array but the outputs of a successful call. tests/reliability/calls.py draws several at random.
"""

import re
from fractions import Fraction

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastnn
from fastnn import kernels

from .argument_cases import CASES, FUNCTIONS, IN_PYTHON, NO_ARGUMENTS, OUTPUTS, WRITTEN, reals
from .wrong_arguments import ARRAYS, REFUSED_OUTPUTS, SCALARS

NOT_FINITE = {"NaN", "inf", "-inf"}
ANY_NUMBER = {"alpha", "beta", "factor", "grad_scale"}  # NaN is handled like other numbers
ERRORS = (TypeError, ValueError, IndexError, MemoryError)


def function(case):
    return FUNCTIONS.get(case) or getattr(kernels, case.split()[0])


def written(case, arguments):
    return WRITTEN.get(case.split()[0], OUTPUTS) & set(arguments)


def replacements(value):
    """Return the numbers of the wrong values for an argument with this value."""
    return range(len(SCALARS) + isinstance(value, np.ndarray) * len(ARRAYS))


def replacement(value, number):
    """Return (name, wrong value, True if it must be refused)."""
    if number >= len(SCALARS):
        kind, of, never = ARRAYS[number - len(SCALARS)]
        return kind, of(value), never
    kind, wrong, never = SCALARS[number]  # arrays among them are new and do not overlap
    return kind, np.array(wrong) if type(wrong) is np.ndarray else wrong, never


def must_refuse(name, argument, value, kind, wrong):
    """True if this replacement of an argument's value has to be an error in every kernel."""
    boolean = isinstance(wrong, (bool, np.bool_))
    if argument in written(name, {argument}) and kind in REFUSED_OUTPUTS:
        return True
    if isinstance(value, bool):
        return not boolean
    if isinstance(value, int):
        return boolean or isinstance(wrong, (float, np.floating, Fraction))
    if isinstance(value, float):
        return boolean or (kind in NOT_FINITE and argument not in ANY_NUMBER)
    return False


def names(argument, text):
    """True if an error names an argument, one element of it in the singular."""
    words = [argument, argument.removesuffix("s")]
    if argument == "logits":
        words.append("classes")  # their columns: a target is not one of them
    return any(re.search(rf"\b{word}\b", text) for word in words)


def check_call(case, arguments, replaced):
    """Call a kernel; returns its error or None."""
    name, outputs = case.split()[0], written(case, arguments)
    if arguments.get("overwrite_dy", False) is not False:
        outputs |= {"dy"}
    arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    before = {k: np.asarray(v).tobytes() for k, v in arrays.items()}
    error = None
    try:
        with np.errstate(all="ignore"):
            function(case)(**arguments)
    except ERRORS as e:
        error, text = e, str(e)
        assert text.startswith(name) and any(names(r, text) for r in replaced), (
            f"{type(e).__name__} does not name {name} and {' or '.join(replaced)}: {text}"
        )
        assert len(text) < 400, f"does the error hold data? {text}"
    for k, v in arrays.items():
        if error or k not in outputs:
            assert np.asarray(v).tobytes() == before[k], f"{k} has changed"
    return error


def test_every_kernel_has_a_case():
    known = {case.split()[0] for case in CASES} | IN_PYTHON | NO_ARGUMENTS
    methods = {"empty", "new_state", "select", "step", "truncate"}
    assert set(kernels.__all__) | methods == known


@pytest.fixture(autouse=True)
def same_threads():
    yield
    fastnn.set_num_threads(-1)


@pytest.mark.parametrize("name", CASES)
def test_the_valid_call_is_valid(name, real):
    arguments = CASES[name](reals(real))
    assert check_call(name, arguments, arguments) is None


@pytest.mark.parametrize("name", CASES)
def test_one_wrong_argument(name, real):
    make = CASES[name]
    for argument, value in make(reals(real)).items():
        if argument == "self":
            continue
        for number in replacements(value):
            kind, wrong, never = replacement(value, number)
            arguments = {**make(reals(real)), argument: wrong}
            try:
                error = check_call(name, arguments, [argument])
            except Exception as e:
                raise AssertionError(f"{name}: {argument} is {kind}: {e!r}") from e
            never = never or must_refuse(name, argument, value, kind, wrong)
            assert error or not never, f"{name} takes {kind} for {argument}"


NO_REALS = {"philox", "num_threads", "set_num_threads", "empty"}
OTHER_TYPES = (np.float16, np.int32, np.longdouble, np.complex64, np.complex128)


@pytest.mark.parametrize("other", OTHER_TYPES, ids=lambda t: t.__name__)
@pytest.mark.parametrize("name", [case for case in CASES if case not in NO_REALS])
def test_other_types_are_refused(name, other, real):
    """All arrays, and each of them, are of another type: no branch may take it for float64."""
    with pytest.raises(TypeError, match=r"float32 or float64|of one type"):
        function(name)(**CASES[name](reals(other)))
    arguments = CASES[name](reals(real))
    for argument, value in arguments.items():
        if name.startswith("cross_entropy") and argument == "targets" and other is np.int32:
            continue  # one-hot rows
        if isinstance(value, np.ndarray) and value.dtype == real:
            with pytest.raises(TypeError, match=name.split()[0]):
                function(name)(**{**arguments, argument: value.astype(other)})


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("leaky_relu", {"slope": np.nan}, "slope must be finite in float32, got nan"),
        ("leaky_relu", {"slope": 1e39}, r"slope must be finite in float32, got 1e\+39"),
        ("leaky_relu_backward", {"slope": np.inf}, "slope must be finite"),
        ("attention", {"dropout_p": True}, "dropout_p must be a number, got bool True"),
        ("attention", {"seed": 1.5}, "seed must be an integer, got float 1.5"),
        ("attention", {"seed": -1}, r"seed must be from 0 to 2\*\*64 - 1, got -1"),
        ("attention", {"causal": "no"}, "causal must be True or False, got str 'no'"),
        ("attention_backward", {"causal": 0}, "causal must be True or False, got int 0"),
        ("gemm", {"trans_b": "no"}, "trans_b must be True or False, got str 'no'"),
        ("gemm", {"alpha": "1"}, "alpha must be a number, got str '1'"),
        ("rotary", {"base": "1"}, "base must be a number, got str '1'"),
        ("huber", {"delta": None}, "delta must be a number, got None"),
        ("adam_update", {"step": 2.0}, "step must be an integer, got float 2.0"),
        ("adam_update", {"beta2": 1}, "beta2 must be at least 0 and below 1, got 1"),
        ("philox", {"n": 2**70}, r"n must be below 2\*\*63, got 1180591620717411303424"),
        ("mse", {"reduction": "Mean"}, "got 'Mean'; did you mean 'mean'?"),
        ("matmul", {"activation": "gelu-tanh"}, "did you mean 'gelu_tanh'?"),
        ("add_norm", {"kind": "RMS"}, "kind must be 'layer' or 'rms', got 'RMS'; did you mean"),
        ("softmax", {"x": np.ma.masked_array([1.0, 2.0], [0, 1])}, "x is a masked array"),
    ],
)
def test_wording(name, wrong, message):
    with pytest.raises((TypeError, ValueError), match=f"{name}: .*{message}"):
        function(name)(**{**CASES[name](reals(np.float32)), **wrong})


def test_an_output_may_overlap_itself_in_no_way(rng):
    """Against the addresses of all elements, for strides of every kind."""
    found = set()
    for _ in range(2000):
        shape = tuple(rng.integers(1, 5, rng.integers(1, 5)))
        strides = [int(s) for s in rng.integers(-12, 13, len(shape))]
        low = sum(min(0, s * (d - 1)) for s, d in zip(strides, shape, strict=True))
        out = as_strided(np.zeros(400, np.float32)[-low:], shape, [4 * s for s in strides])
        places = np.indices(shape).reshape(len(shape), -1).T @ strides
        overlaps = len(set(places)) < len(places)
        found.add(overlaps)
        if overlaps:
            with pytest.raises(ValueError, match="relu: out overlaps itself"):
                fastnn.relu(np.ones(shape, np.float32), out=out)
        else:
            fastnn.relu(np.ones(shape, np.float32), out=out)
    assert found == {True, False}
