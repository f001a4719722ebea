"""Random calls of every kernel, one to three arguments of each being wrong."""

import random

import numpy as np

import fastnn
from tests.kernels.argument_cases import CASES, reals
from tests.kernels.test_arguments import check_call, replacements

NAMES = list(CASES)


def wrong(seed):
    """A result, or an error that names the function and an argument and changes no array."""
    draw = random.Random(seed)
    name, real = NAMES[seed % len(NAMES)], draw.choice([np.float32, np.float64])
    arguments = CASES[name](reals(real))
    others = [argument for argument in arguments if argument != "self"]
    replaced = draw.sample(others, draw.randint(1, min(3, len(others))))
    kinds = {}
    for argument in replaced:
        options = list(replacements(arguments[argument]))
        kinds[argument], arguments[argument], _ = draw.choice(options)
    try:
        error = check_call(name, arguments, replaced)
    except Exception as e:
        raise AssertionError(f"{name} with {kinds}: {e!r}") from e
    if name in ("num_threads", "set_num_threads"):
        fastnn.set_num_threads(-1)
    return "taken" if error is None else "refused"
