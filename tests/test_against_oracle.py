"""Every public function and layer against the oracle: a fixed part of what tests.contracts draws.

`python -m tests.contracts --seconds 3600 --seed 2` runs as long as wanted, with other calls.
"""

import numpy as np
import pytest

import fastnn
from fastnn import capi, kernels, nn
from tests.contracts import pointers, run
from tests.contracts.case import Different, check
from tests.contracts.draw import Draw
from tests.oracle.real import KINDS, Real, difference, exp, real, sqrt

CASES = 40  # of each name; about a minute of one core in all

# Public names without numbers of their own, and where their tests are.
OTHERS = {
    **dict.fromkeys(["ACTIVATIONS", "NotLowerable", "__version__", "build_info"], "test_dispatch"),
    **dict.fromkeys(["get_num_threads", "set_num_threads", "num_threads"], "test_threads"),
    **dict.fromkeys(["thread_info", "get_include", "kernels", "asarray"], "test_package"),
    **dict.fromkeys(fastnn._MODULES, "their folders"),
    **dict.fromkeys(["fit", "evaluate", "load", "save", "plan_from_file"], "tests/train, files"),
    **dict.fromkeys(["GradientError", "GradientReport", "gradcheck"], "tests/nn/test_gradcheck"),
    **dict.fromkeys(["Module", "build", "register", "parameter_shapes"], "tests/nn/test_registry"),
    **dict.fromkeys(["Parameter", "Parameters"], "tests/test_parameters"),
    "init": "tests/nn/test_init",
    # with an oracle there: every code of 16 bits, and formulas in float64
    **dict.fromkeys(["narrow", "widen"], "test_half"),
    **dict.fromkeys(["gate", "gate_backward"], "test_gate"),
    "contrastive_loss": "tests/nn/test_contrastive",
    "LoRA": "tests/nn/test_lora",
    "precision": "tests/nn/test_precision",
    "PlanState": "tests/models/test_plan",
}
# Pointer functions that tests/capi and tests/kernels/test_program call.
OTHER_POINTERS = ("blas_", "plan_", "state_", "strerror", "set_thread_limit", "max_threads")


def test_every_public_name_has_a_row():
    """A new function or layer fails here until the oracle knows it."""
    public = {*fastnn.__all__, *kernels.__all__, *nn.__all__}
    assert public - set(run.NAMES) - set(OTHERS) == set()
    assert not set(OTHERS) & set(run.NAMES) and set(OTHERS) <= public
    assert set(run.NAMES) <= public


@pytest.mark.parametrize("name", run.NAMES)
def test_against_oracle(name):
    for seed in range(CASES):
        run.one(seed, name)


def test_every_pointer_function_is_called():
    """After the cases above, in the same process."""
    for name in run.NAMES:
        for seed in range(6):
            run.one(seed, name)
    table = {name.removesuffix("_f32") for name in capi.functions() if not name.endswith("_f64")}
    assert {n for n in table - pointers.used if not n.startswith(OTHER_POINTERS)} == set()


def spoiled(case, share):
    """The case, with an error in the first result, or in every array that the call updates."""
    call, case.pointers, case.outs, case.aliases = case.call, (), {}, ()

    def wrong(**how):
        found = call(**how)
        for name in case.written:
            how[name] += share * (np.abs(how[name]) + np.finfo(how[name].dtype).tiny)
        several = isinstance(found, tuple)
        first = found[0] if several else found
        if first is None or case.written:
            return found
        bad = np.asarray(first) * (1 + share)
        return (bad, *found[1:]) if several else bad

    case.call = wrong
    return case


@pytest.mark.parametrize("name", run.NAMES)
def test_bounds_are_sharp(name):
    """An error of 1/1,000 in one result of a function, of 1/50 in one of a layer, is noticed."""
    share = 1e-3 if name in kernels.__all__ else 0.02
    noticed = 0
    for seed in range(12):
        d = Draw(seed)
        if d.profile in ("plain", "integers"):
            try:
                check(spoiled(d.one(run.ROWS[name])(d), share), d)
            except Different:
                noticed += 1
    assert noticed > 1


def test_running_errors():
    """Bounds of known formulas: a cancellation, a long sum, what overflows on the way."""
    x = real(np.array([1.0, 1e-4], np.float32))
    y = (x * x + 1) - 1  # 1e-8 is lost beside 1
    assert difference(np.float32([1, 0]), y) is None
    assert "1 of 2 elements" in difference(np.float32([1, 1e-6]), y)
    over = real(np.float32([3e38, 3e38])) * 2
    assert difference(np.float32([np.inf, np.inf]), over) is None
    assert difference(np.float32([np.inf, -np.inf]), over) is not None
    assert np.isinf((over - over).error).all()  # NaN in float32
    assert difference(np.float32([np.nan]), sqrt(real(np.float32([-1])))) is None
    assert difference(np.float32([0]), exp(real(np.float32([-np.inf])))) is None
    assert "shape" in difference(np.zeros(3, np.float32), Real(KINDS[x.kind.real], np.zeros(2)))
