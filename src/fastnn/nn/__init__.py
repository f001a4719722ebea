"""Layers and losses, each with its hand-written backward pass."""

from . import init
from .activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .config import build
from .container import MLP, Residual, Sequential
from .dropout import Dropout
from .freeze import freeze
from .gradcheck import GradientError, GradientReport, gradcheck
from .linear import Linear, collapse
from .loss import bce_with_logits, cross_entropy, huber_loss, l1_loss, mse_loss
from .module import Module
from .parameters import Parameter, Parameters
from .randomness import RandomStream

__all__ = [
    "GELU",
    "MLP",
    "Dropout",
    "GradientError",
    "GradientReport",
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
    "bce_with_logits",
    "build",
    "collapse",
    "cross_entropy",
    "freeze",
    "gradcheck",
    "huber_loss",
    "init",
    "l1_loss",
    "mse_loss",
]
