"""Layers and losses, each with its hand-written backward pass."""

from . import init
from .activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .config import build
from .container import MLP, Residual, Sequential
from .dropout import Dropout
from .linear import Linear, collapse
from .loss import cross_entropy, mse_loss
from .module import Module
from .parameters import Parameter, Parameters
from .randomness import RandomStream

__all__ = [
    "GELU",
    "MLP",
    "Dropout",
    "Linear",
    "Module",
    "Parameter",
    "Parameters",
    "RandomStream",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "build",
    "collapse",
    "cross_entropy",
    "init",
    "mse_loss",
]
