"""Layers and losses, each with its hand-written backward pass."""

from .activation import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .config import build
from .container import MLP, Sequential
from .dropout import Dropout
from .embedding import Embedding
from .linear import Linear
from .loss import cross_entropy, mse_loss
from .module import Module
from .normalization import AddNorm, LayerNorm, RMSNorm
from .parameters import Parameter, Parameters
from .randomness import RandomStream

__all__ = [
    "GELU",
    "MLP",
    "AddNorm",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "Parameters",
    "RMSNorm",
    "RandomStream",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "build",
    "cross_entropy",
    "mse_loss",
]
