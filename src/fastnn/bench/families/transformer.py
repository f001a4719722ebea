"""Small Transformers: training steps of a language model and an encoder-decoder, and decode.

Shapes are (layers, heads, width, context, batch) for ``lm_step``; (layers, heads, width, hidden,
vocabulary, sentences, length) for ``seq2seq_step``, with as many layers on both sides, and for
``seq2seq_dropout_step``, the same with dropout 0.3; (layers, heads, width, context, position) for
``decode``, one token at that position against the cached keys and values of those before it;
(layers, heads, width, hidden, vocabulary, texts, longest) for ``encode``, vectors of texts.

``torch`` is eager PyTorch, ``torch_compile`` the same with ``torch.compile``, which takes a minute
to compile a case for the first time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from ..operations import FORMATS, Arrays, Call, Operation, Shape
from ..transformer import CHARACTERS, reference

DROPOUT = 0.3


def _block_weights(width: int, hidden: int, attentions: int) -> int:
    return 4 * attentions * width * width + 2 * width * hidden


def _lm_weights(shape: Shape) -> int:
    layers, _, width = shape[:3]
    return layers * _block_weights(width, 4 * width, 1) + CHARACTERS * width


def _lm_flops(shape: Shape) -> int:
    """Count products only; for attention, the half that is not masked."""
    layers, _, width, context, batch = shape
    attention = layers * 2 * context * width
    return 3 * batch * context * (2 * _lm_weights(shape) + attention)


def _seq2seq_weights(shape: Shape) -> int:
    layers, _, width, hidden, words = shape[:5]
    blocks = _block_weights(width, hidden, 1) + _block_weights(width, hidden, 2)
    return layers * blocks + words * width


def _seq2seq_flops(shape: Shape) -> int:
    layers, _, width, *_, batch, length = shape
    attention = layers * 10 * length * width
    return 3 * batch * length * (2 * _seq2seq_weights(shape) + attention)


def _decode_flops(shape: Shape) -> int:
    layers, _, width, _, position = shape
    return 2 * _lm_weights(shape) + 4 * layers * width * (position + 1)


def _decode_numbers(shape: Shape) -> int:
    layers, _, width, _, position = shape
    return _lm_weights(shape) + 2 * layers * width * (position + 1)


def _encode_tokens(shape: Shape) -> int:
    """Return the expected number of tokens: texts have 8 to the longest, one of them all."""
    texts, longest = shape[5:]
    return longest + (texts - 1) * (8 + longest) // 2


def _encode_flops(shape: Shape) -> int:
    """Count products only, of attention those of texts of mean length."""
    layers, _, width, hidden, *_ = shape
    tokens = _encode_tokens(shape)
    products = 2 * _block_weights(width, hidden, 1) + 4 * width * tokens // shape[5]
    return layers * tokens * products


def _encode_numbers(shape: Shape) -> int:
    layers, _, width, hidden, *_ = shape
    return layers * _block_weights(width, hidden, 1) + 2 * _encode_tokens(shape) * width


def _step(
    inputs: Any, step: Any, flops: Callable[[Shape], int], weights: Callable[[Shape], int]
) -> Operation:
    # Errors reach 190, but 1,170 for the table after the step: where a gradient nearly cancels,
    # Adam's first step is +-lr and its sign is rounding, in fastnn and in compiled PyTorch.
    held = partial(_times, 4, weights)
    return Operation(inputs, step, flops, partial(_times, 8, weights), 3000, "fma", held)


def _times(n: int, weights: Callable[[Shape], int], shape: Shape) -> int:
    return n * weights(shape)


_SEQ2SEQ = _step(reference.seq2seq_inputs, reference.seq2seq_step, _seq2seq_flops, _seq2seq_weights)
OPERATIONS = {
    "lm_step": _step(reference.lm_inputs, reference.lm_step, _lm_flops, _lm_weights),
    "seq2seq_step": _SEQ2SEQ,
    "seq2seq_dropout_step": _SEQ2SEQ,
    "decode": Operation(  # largest error seen: 11
        reference.decode_inputs, reference.decode, _decode_flops, _decode_numbers, 100, "read"
    ),
    "encode": Operation(
        reference.encode_inputs, reference.encode, _encode_flops, _encode_numbers, 200, "fma"
    ),
}
STEPS = [(4, 4, 128, 64, 12), (6, 6, 384, 256, 8)]
SENTENCES = [(6, 12, 384, 1536, 30522, texts, longest) for texts, longest in ((64, 64), (1, 16))]
TRANSLATION = [(4, 4, 128, 256, 10000, 128, 32)]
TOKENS = [(6, 6, 384, 256, position) for position in (128, 16, 250)]
CASES = [
    ("quick", "lm_step", STEPS[:1]),
    ("quick", "decode", TOKENS[:1]),
    ("full", "lm_step", STEPS),
    ("full", "seq2seq_step", TRANSLATION),
    ("full", "seq2seq_dropout_step", TRANSLATION),
    ("full", "decode", TOKENS),
    ("full", "encode", SENTENCES),
]


def _make(kernel: str, **options: Any) -> Callable[[Any, Arrays], Call]:
    """Return the maker of a kernel by the module of its library, imported when it is called."""

    def make(library: Any, inputs: Arrays) -> Call:
        name = library.__name__.split(".")[0]
        module = importlib.import_module(f"..transformer.with_{name}", __package__)
        if kernel != "seq2seq_dropout_step":
            return getattr(module, kernel)(inputs, **options)
        # steps with dropout are timed; the first call, which is checked, has none
        results = [module.seq2seq_step(inputs, **options)()]
        timed = module.seq2seq_step(inputs, dropout=DROPOUT, **options)
        return lambda: results.pop() if results else timed()

    return make


PREPARE = {
    "fastnn": {kernel: _make(kernel) for kernel in OPERATIONS},
    "torch": {kernel: _make(kernel) for kernel in OPERATIONS},
    "torch_compile": {kernel: _make(kernel, compiled=True) for kernel in OPERATIONS},
    "torch_bf16": {kernel: _make(kernel, bf16=True) for kernel in ("lm_step", "encode")},
    **{
        f"fastnn_{form}": {kernel: _make(kernel, weights=form) for kernel in ("decode", "encode")}
        for form in FORMATS
    },
}
PREPARE["fastnn_bf16"]["lm_step"] = _make("lm_step", precision="bf16")
