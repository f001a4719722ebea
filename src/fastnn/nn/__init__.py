"""Layers and losses, each with its hand-written backward pass."""

from .activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .config import build
from .container import MLP, Sequential
from .freeze import freeze
from .linear import Linear
from .loss import cross_entropy, mse_loss
from .module import Module
from .parameters import Parameter, Parameters

__all__ = [
    "GELU",
    "MLP",
    "Linear",
    "Module",
    "Parameter",
    "Parameters",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "build",
    "cross_entropy",
    "freeze",
    "mse_loss",
]
