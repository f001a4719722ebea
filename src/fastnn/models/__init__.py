"""Complete token models: a language model and an encoder-decoder, with training and decoding."""

from typing import TYPE_CHECKING

from ..names import unknown
from .attention_maps import Seq2SeqWeights
from .beam import Hypothesis, beam_search
from .convert import from_torch_attention, from_torch_decoder, from_torch_encoder, to_torch
from .decoding import generate, stream
from .encoder import TransformerEncoderModel
from .frozen import FrozenSeq2Seq
from .gpt2 import from_gpt2, to_gpt2
from .language_model import TransformerLM
from .load import load, save
from .onnx_export import to_onnx
from .pooled import PooledEncoder
from .sentences import SentenceEncoder
from .seq2seq import Seq2SeqTransformer
from .similar import Found, search
from .text_model import TextModel
from .torch_layers import from_torch
from .translation import translate

__all__ = [
    "Found",
    "FrozenSeq2Seq",
    "Hypothesis",
    "PooledEncoder",
    "SentenceEncoder",
    "Seq2SeqTransformer",
    "Seq2SeqWeights",
    "TextModel",
    "TransformerEncoderModel",
    "TransformerLM",
    "beam_search",
    "from_gpt2",
    "from_torch",
    "from_torch_attention",
    "from_torch_decoder",
    "from_torch_encoder",
    "generate",
    "load",
    "save",
    "search",
    "stream",
    "to_gpt2",
    "to_onnx",
    "to_torch",
    "translate",
]

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = unknown(__name__, __all__)
