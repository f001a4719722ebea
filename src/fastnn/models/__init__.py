"""Complete token models: a language model and an encoder-decoder, with training and decoding."""

from typing import TYPE_CHECKING

from ..names import unknown
from .attention_maps import Seq2SeqWeights
from .beam import Hypothesis, beam_search
from .convert import from_torch_attention, from_torch_decoder, from_torch_encoder, to_torch
from .decoding import generate, stream
from .frozen import FrozenSeq2Seq
from .gpt2 import from_gpt2, to_gpt2
from .language_model import TransformerLM
from .onnx_export import to_onnx
from .seq2seq import Seq2SeqTransformer
from .torch_layers import from_torch
from .translation import translate

__all__ = [
    "FrozenSeq2Seq",
    "Hypothesis",
    "Seq2SeqTransformer",
    "Seq2SeqWeights",
    "TransformerLM",
    "beam_search",
    "from_gpt2",
    "from_torch",
    "from_torch_attention",
    "from_torch_decoder",
    "from_torch_encoder",
    "generate",
    "stream",
    "to_gpt2",
    "to_onnx",
    "to_torch",
    "translate",
]

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
