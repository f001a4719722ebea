"""Whole models of tokens: a language model and an encoder-decoder, trained and decoded."""

from typing import Any

from ..nn.config import register
from .attention_maps import Seq2SeqWeights
from .beam import Hypothesis, beam_search
from .cache import DecodingCache
from .convert import from_torch_attention, from_torch_decoder, from_torch_encoder, to_torch
from .decoding import generate, stream
from .frozen import FrozenSeq2Seq
from .gpt2 import from_gpt2, to_gpt2
from .language_model import TransformerLM, lm_shapes
from .seq2seq import Seq2SeqTransformer, seq2seq_shapes
from .translation import translate

__all__ = [
    "DecodingCache",
    "FrozenSeq2Seq",
    "Hypothesis",
    "Seq2SeqTransformer",
    "Seq2SeqWeights",
    "TransformerLM",
    "beam_search",
    "from_gpt2",
    "from_torch_attention",
    "from_torch_decoder",
    "from_torch_encoder",
    "generate",
    "stream",
    "to_gpt2",
    "to_torch",
    "translate",
]

_SHARED: dict[str, Any] = {
    "d_model": int,
    "n_heads": int,
    "n_layers": int,
    "d_ff": int,
    "max_len": int,
    "bias": bool,
}
_SHARED |= {"dropout": float, "attention_dropout": float, "activation": (str, type(None))}
_SHARED |= {"eps": float, "position": str, "tie_weights": bool, "dtype": str}

register(TransformerLM, {**_SHARED, "vocab_size": int, "n_kv_heads": int, "norm": str}, lm_shapes)
register(
    Seq2SeqTransformer,
    {
        **_SHARED,
        "src_vocab_size": int,
        "tgt_vocab_size": (int, type(None)),
        "n_decoder_layers": int,
        "norm_first": bool,
        "final_norm": bool,
        "scale_embedding": bool,
    },
    seq2seq_shapes,
)
