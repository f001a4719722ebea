"""Layers and losses, each with its hand-written backward pass."""

from .activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .config import build
from .container import MLP, Sequential
from .linear import Linear
from .loss import bce_with_logits, cross_entropy, huber_loss, l1_loss, mse_loss
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
    "bce_with_logits",
    "build",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "mse_loss",
]
