"""Clipping by the norm of all gradients together."""

from __future__ import annotations

import math

from .. import kernels
from ..checks import check_number
from ..parameters import Parameters
from .state import check_params


def clip_factor(norm: float, max_norm: float) -> float:
    """What gradients of that norm are multiplied by; 1 where no factor could mend them."""
    return max_norm / norm if max_norm < norm < math.inf else 1.0


def clip_grad_norm(params: Parameters, max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most `max_norm`.

    `Optimizer.step(max_norm=...)` takes the same step and leaves the gradients as they are, which
    saves a pass over them.

    Parameters
    ----------
    params : Parameters
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The Frobenius norm of all gradients before. When it is NaN or infinite the gradients are
        left unchanged, since no factor could mend them: check it where that may happen.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.
    """
    max_norm = check_number("max_norm", max_norm, above=0)
    grad = check_params(params).grad
    norm = kernels.frobenius_norm(grad)
    if (factor := clip_factor(norm, max_norm)) != 1:
        kernels.scale(grad, factor)
    return norm
