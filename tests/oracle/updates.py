"""Optimizers: *Dive into Deep Learning*, sections 12.4 to 12.10, with PyTorch's conventions.

Loshchilov and Hutter (2019) for AdamW. Each function returns the arrays that the step updates.
"""

import numpy as np

from .real import Real, sqrt, where


def gradient(p, g, grad_scale, weight_decay):
    return g * grad_scale + p * weight_decay


def sgd(p, g, m, lr, momentum, nesterov, weight_decay, grad_scale):
    d = gradient(p, g, grad_scale, weight_decay)
    if momentum == 0:
        return (p - d * lr,) if m is None else (p - d * lr, m)
    m = m * momentum + d
    return p - (d + m * momentum if nesterov else m) * lr, m


def adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, grad_scale, decoupled, decays):
    one = np.asarray(1, p.kind.wide)
    d = gradient(p, g, grad_scale, 0 if decoupled else weight_decay)
    m = m * beta1 + d * (one - beta1)
    v = v * beta2 + d * d * (one - beta2)
    unbias1, unbias2 = one - one * beta1**step, one - one * beta2**step
    change = m / (sqrt(v) / np.sqrt(unbias2) + eps) * (lr / unbias1)
    decay = p * (np.where(decays, lr * weight_decay, 0) if decoupled else 0)
    return p - (decay + change), m, v


def rmsprop(p, g, v, m, c, lr, alpha, eps, momentum, weight_decay, grad_scale):
    """The centered variance is at least 4 ulp of v, as documented in rmsprop_change."""
    one = np.asarray(1, p.kind.wide)
    d = gradient(p, g, grad_scale, weight_decay)
    v = square = v * alpha + d * d * (one - alpha)
    if c is not None:
        c = c * alpha + d * (one - alpha)
        variance, least = v - c * c, v * (4 * p.kind.u)
        square = where(variance.value < least.value, least, variance)
        # near the floor either branch may be taken
        square = Real(p.kind, square.value, np.maximum(variance.e, square.e))
    change = d / (sqrt(square) + eps)
    if momentum:
        change = m = m * momentum + change
    return tuple(x for x in (p - change * lr, v, m, c) if x is not None)


def adagrad(p, g, v, step, lr, lr_decay, eps, weight_decay, grad_scale):
    d = gradient(p, g, grad_scale, weight_decay)
    v = v + d * d
    return p - d / (sqrt(v) + eps) * (lr / (1 + (step - 1) * lr_decay)), v


def ema(average, p, decay):
    return (average + (p - average) * (np.asarray(1, p.kind.wide) - decay),)
