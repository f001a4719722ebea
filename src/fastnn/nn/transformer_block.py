"""The blocks of a Transformer: *Dive into Deep Learning*, section 11.7."""

from __future__ import annotations

from typing import Any

from .block import Block
from .registry import register


@register("EncoderBlock", rng=0)
class EncoderBlock(Block):
    """Self-attention and a feed-forward network, each with a residual connection and a norm.

    With `causal` it is the block of a decoder-only language model.

    Parameters
    ----------
    d_model, n_heads, n_kv_heads, rotary, head_dim, qkv_bias, qk_norm, window
        As in `MultiHeadAttention`; the norms of qk_norm share `eps`.
    d_ff, activation, gated
        As in `FeedForward`.
    dropout : float
        Dropout of what each part adds to its input, in training only.
    attention_dropout : float
        Dropout of attention weights.
    norm_first : bool
        True for pre-norm, False for post-norm.
    placement : {"post", "pre", "branch", "sandwich", "parallel"}, optional
        Where norms are, instead of norm_first: after the sum, before the part, after the part,
        both, or before parts that read the same x.
    attention_norm : bool
        False for pre-norm without a norm before attention, as in the first block of ModernBERT.
    norm : {"layer", "rms"}
    eps : float
        Epsilon of the norms.
    bias : bool
        True if linear layers and layer norms have biases.
    causal : bool
        True if no position attends to a later one.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
    init, out_init : str or callable
        How weights are drawn, as in `Linear`; out_init for the last layer of each part.

    Attributes
    ----------
    attention : MultiHeadAttention
    feed_forward : FeedForward
    norms : list of AddNorm

    Examples
    --------
    >>> block = nn.EncoderBlock(16, 2, 32, rng=0)
    >>> block(np.ones((2, 5, 16), np.float32), lengths=np.array([5, 3])).shape
    (2, 5, 16)
    """


@register("DecoderBlock", rng=0)
class DecoderBlock(Block):
    """Causal self-attention, attention to a memory (B, S, d_model), and a feed-forward network.

    The parameters are those of `EncoderBlock`.

    Attributes
    ----------
    attention, cross_attention : MultiHeadAttention
    feed_forward : FeedForward
    norms : list of AddNorm

    Examples
    --------
    >>> block = nn.DecoderBlock(16, 2, 32, rng=0)
    >>> x, memory = np.ones((2, 5, 16), np.float32), np.ones((2, 7, 16), np.float32)
    >>> block(x, memory).shape
    (2, 5, 16)
    """

    has_memory = True

    def __init__(self, *args: Any, causal: bool = True, **options: Any) -> None:
        super().__init__(*args, causal=causal, **options)
