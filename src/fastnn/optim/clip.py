"""Gradient clipping by the global norm."""

from __future__ import annotations

import math

from .. import kernels
from ..checks import check_number
from ..flat import pick
from ..keywords import explained
from ..parameters import Parameters
from .state import check_params


def clip_factor(norm: float, max_norm: float) -> float:
    """Return the factor for gradients of this norm; 1 if the norm is NaN or infinite."""
    return max_norm / norm if max_norm < norm < math.inf else 1.0


@explained
def clip_grad_norm(params: Parameters, max_norm: float) -> float:
    """Scale all gradients so that their global norm is at most `max_norm`.

    `Optimizer.step(max_norm=...)` takes the same step but leaves the gradients unchanged, which
    saves a pass over them.

    Parameters
    ----------
    params : Parameters
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The Frobenius norm of all gradients before clipping. If it is NaN or infinite, the gradients
        are left unchanged, since no factor could correct them: check it if that can happen.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False)
    >>> model.weight.grad += [[3], [4]]
    >>> optim.clip_grad_norm(model.parameters(), 1.0)  # the norm before
    5.0
    >>> model.weight.grad.ravel().round(3)
    array([0.6, 0.8], dtype=float32)
    """
    max_norm = check_number("max_norm", max_norm, above=0)
    grad, trained = check_params(params).grad, params.trained()
    norm = kernels.frobenius_norm(pick(grad, trained))
    if (factor := clip_factor(norm, max_norm)) != 1:
        for run in [slice(None)] if trained is None else trained:
            kernels.scale(grad[run], factor)
    return norm
