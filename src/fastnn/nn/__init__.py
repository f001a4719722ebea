"""Layers and losses, each with its hand-written backward pass."""

from .activation import ReLU, Softmax
from .config import build
from .container import MLP, Sequential
from .linear import Linear
from .loss import cross_entropy, mse_loss
from .module import Module
from .parameters import Parameter, Parameters

__all__ = [
    "MLP",
    "Linear",
    "Module",
    "Parameter",
    "Parameters",
    "ReLU",
    "Sequential",
    "Softmax",
    "build",
    "cross_entropy",
    "mse_loss",
]
