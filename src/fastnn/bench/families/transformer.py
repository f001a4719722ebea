"""Small Transformers: training steps of a language model and an encoder-decoder, and decode.

Shapes are (layers, heads, width, context, batch) for ``lm_step``; (layers, heads, width, hidden,
vocabulary, sentences, length) for ``seq2seq_step``, with as many layers on both sides, and for
``seq2seq_dropout_step``, the same with dropout 0.3; (layers, heads, width, context, position) for
``decode``, one token at that position against the cached keys and values of those before it.

``torch`` is eager PyTorch, ``torch_compile`` the same with ``torch.compile``, which takes a minute
to compile a case for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..operations import Arrays, Operation, Shape
from ..transformer import reference, seq2seq

DROPOUT = 0.3


def _block_weights(width: int, hidden: int, attentions: int) -> int:
    return 4 * attentions * width * width + 2 * width * hidden


def _lm_weights(shape: Shape) -> int:
    layers, _, width = shape[:3]
    return layers * _block_weights(width, 4 * width, 1) + reference.CHARACTERS * width


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


def _step(
    inputs: Callable[..., Arrays],
    step: Callable[..., tuple[Any, ...]],
    flops: Callable[[Shape], int],
    weights: Callable[[Shape], int],
) -> Operation:
    # Errors reach 190, but 1,170 for the table after the step: where a gradient nearly cancels,
    # Adam's first step is +-lr and its sign is rounding, in fastnn and in compiled PyTorch.
    return Operation(
        inputs,
        step,
        flops,
        lambda s: 8 * weights(s),
        lambda s: 4 * weights(s),
        lambda s: 3000,
        "fma",
    )


_SEQ2SEQ = _step(seq2seq.seq2seq_inputs, seq2seq.seq2seq_step, _seq2seq_flops, _seq2seq_weights)
OPERATIONS = {
    "lm_step": _step(reference.lm_inputs, reference.lm_step, _lm_flops, _lm_weights),
    "seq2seq_step": _SEQ2SEQ,
    "seq2seq_dropout_step": _SEQ2SEQ,
    "decode": Operation(
        reference.decode_inputs,
        reference.decode,
        _decode_flops,
        _decode_numbers,
        _decode_numbers,
        lambda shape: 100,  # largest seen: 11
        "read",
    ),
}

STEPS = [(4, 4, 128, 64, 12), (6, 6, 384, 256, 8)]
TRANSLATION = [(4, 4, 128, 256, 10000, 128, 32)]
TOKENS = [(6, 6, 384, 256, position) for position in (128, 16, 250)]
CASES = [
    ("quick", "lm_step", STEPS[:1]),
    ("quick", "decode", TOKENS[:1]),
    ("full", "lm_step", STEPS),
    ("full", "seq2seq_step", TRANSLATION),
    ("full", "seq2seq_dropout_step", TRANSLATION),
    ("full", "decode", TOKENS),
]


def _prepare(library: str, kernel: str, inputs: Arrays, **options: Any) -> Any:
    if library == "torch":  # imported when called: the module needs its library
        from ..transformer import with_torch as implemented
    else:
        from ..transformer import with_fastnn as implemented  # type: ignore[no-redef]
    return getattr(implemented, kernel)(inputs, **options)


def _with_dropout(library: str, inputs: Arrays, **options: Any) -> Any:
    """Time steps with dropout; the first call, which is checked, has none."""
    exact = _prepare(library, "seq2seq_step", inputs, **options)()
    timed = _prepare(library, "seq2seq_step", inputs, dropout=DROPOUT, **options)
    results = [exact]
    return lambda: results.pop() if results else timed()


def _all(library: str, **options: Any) -> dict[str, Callable[[Arrays], Any]]:
    kernels = ("lm_step", "seq2seq_step", "decode")
    prepare = {kernel: partial(_prepare, library, kernel, **options) for kernel in kernels}
    return prepare | {"seq2seq_dropout_step": partial(_with_dropout, library, **options)}


PREPARE = {
    "fastnn": _all("fastnn"),
    "torch": _all("torch"),
    "torch_compile": _all("torch", compiled=True),
    "torch_bf16": {"lm_step": partial(_prepare, "torch", "lm_step", bf16=True)},
}
