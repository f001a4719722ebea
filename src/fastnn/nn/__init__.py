"""Layers and losses, each with its hand-written backward pass."""

from typing import TYPE_CHECKING

from ..names import unknown
from ..parameters import Parameter, Parameters
from . import activation, init
from .activation import *  # noqa: F403
from .add_norm import AddNorm
from .attention import MultiHeadAttention
from .container import MLP, Residual, Sequential
from .dropout import Dropout
from .embedding import Embedding
from .feed_forward import FeedForward
from .gradcheck import GradientError, GradientReport, gradcheck
from .linear import Linear, collapse
from .lora import LoRA
from .loss import (
    bce_with_logits,
    contrastive_loss,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
)
from .lowering import freeze
from .module import Module
from .normalization import LayerNorm, RMSNorm
from .pooling import AdditiveAttention, DotProductAttention
from .positional import PositionalEncoding
from .precision import precision
from .prelu import PReLU
from .randomness import RandomStream
from .registry import build, parameter_shapes, register
from .transformer import TransformerDecoder, TransformerEncoder
from .transformer_block import DecoderBlock, EncoderBlock

__all__ = [
    "MLP",
    "AddNorm",
    "AdditiveAttention",
    "DecoderBlock",
    "DotProductAttention",
    "Dropout",
    "Embedding",
    "EncoderBlock",
    "FeedForward",
    "GradientError",
    "GradientReport",
    "LayerNorm",
    "Linear",
    "LoRA",
    "Module",
    "MultiHeadAttention",
    "PReLU",
    "Parameter",
    "Parameters",
    "PositionalEncoding",
    "RMSNorm",
    "RandomStream",
    "Residual",
    "Sequential",
    "TransformerDecoder",
    "TransformerEncoder",
    "bce_with_logits",
    "build",
    "collapse",
    "contrastive_loss",
    "cross_entropy",
    "freeze",
    "gradcheck",
    "huber_loss",
    "init",
    "l1_loss",
    "mse_loss",
    "parameter_shapes",
    "precision",
    "register",
]
__all__ += activation.__all__

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
