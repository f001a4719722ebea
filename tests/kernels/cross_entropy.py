"""Cross entropy in float64, and problems for it."""

import itertools

from fastnn.kernels import softmax


def problem(rng, shape, real):
    return (rng.standard_normal(shape) * 4).astype(real), rng.integers(0, shape[1], shape[0])


OPTIONS = list(
    itertools.product(
        ["labels", "probabilities"], [False, True], [False, True], [0.0, 0.1, 1.0], [False, True]
    )
)


def optioned(rng, shape, real, kind, weighted, sampled, smoothing, ignores):
    """A problem with these options: (logits, targets, keywords)."""
    logits, targets = problem(rng, shape, real)
    if kind == "probabilities":
        targets = softmax(rng.standard_normal(shape).astype(real))
    elif ignores:
        targets[rng.random(len(targets)) < 0.4] = -100
    options = {"label_smoothing": smoothing}
    if weighted:
        options["weight"] = rng.uniform(0, 2, shape[1]).astype(real)
    if sampled:
        options["sample_weight"] = (rng.uniform(-0.5, 2, shape[0]).clip(0)).astype(real)
    return logits, targets, options
