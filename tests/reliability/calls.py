"""Random calls of every kernel, one to three arguments of each being wrong."""

import random

import numpy as np

import fastnn
from tests.kernels.argument_cases import CASES, reals
from tests.kernels.test_arguments import check_call, replacement, replacements

NAMES = list(CASES)


def fits(wrong, valid):
    """True if a value is not an array, or has the shape and the type of the valid one."""
    if not isinstance(valid, np.ndarray) or not isinstance(wrong, np.ndarray):
        return True
    return wrong.shape == valid.shape and wrong.dtype == valid.dtype


def suspects(valid, arguments, replaced):
    """Return the arguments that an error may name: those replaced, or any array.

    Where two arrays lost their shapes or types, they may agree, and a third one disagrees.
    """
    if sum(not fits(arguments[name], valid[name]) for name in replaced) < 2:
        return replaced
    arrays = [name for name, value in arguments.items() if isinstance(value, np.ndarray)]
    return [*replaced, *arrays]


def wrong(seed):
    """A result, or an error that names the function and an argument and changes no array."""
    draw = random.Random(seed)
    name, real = NAMES[seed % len(NAMES)], draw.choice([np.float32, np.float64])
    arguments = CASES[name](reals(real))
    valid = dict(arguments)
    others = [argument for argument in arguments if argument != "self"]
    replaced = draw.sample(others, draw.randint(1, min(3, len(others))))
    kinds = {}
    for argument in replaced:
        value = arguments[argument]
        number = draw.choice(replacements(value))
        kinds[argument], arguments[argument], _ = replacement(value, number)
    try:
        error = check_call(name, arguments, suspects(valid, arguments, replaced))
    except Exception as e:
        raise AssertionError(f"{name} with {kinds}: {e!r}") from e
    if name in ("num_threads", "set_num_threads"):
        fastnn.set_num_threads(-1)
    return "taken" if error is None else "refused"
