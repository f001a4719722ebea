"""The output product of a language model and its loss, computed together.

    logits = h W        loss = mean cross entropy of logits with the targets

With 10,000 tokens in the vocabulary the logits are larger than everything else in a step together.
The loss therefore processes some rows at a time and computes their gradients while the logits are
in cache; only dh and dW are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..kernels.ground.memory import empty
from ..nn.precision import add_bf16, is_bf16, rounded

Array = NDArray[Any]

# Bytes of logits that are computed at a time.
CHUNK_BYTES = 16 << 20


def token_loss(
    h: Array,
    w: Array,
    targets: NDArray[np.integer[Any]],
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[float, int]:
    """Return the mean loss and how many targets count, without gradients.

    The arguments are those of `token_loss_and_grad`.
    """
    rows, labels = check_targets(h, targets)
    how: dict[str, Any] = {"ignore_index": ignore_index, "reduction": "sum"}
    how["label_smoothing"] = label_smoothing
    packed = kernels.pack(w) if len(rows) > 1 else w
    total = 0.0
    for some in _chunks(rows, w):
        logits = kernels.matmul(rows[some], packed)
        total += float(kernels.cross_entropy(logits, labels[some], dlogits=logits, **how)[0])
    n = int(np.count_nonzero(labels != ignore_index))
    return (total / n if n else 0.0), n


def token_loss_and_grad(
    h: Array,
    w: Array,
    targets: NDArray[np.integer[Any]],
    dw: Array | None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    scale: float = 1.0,
    store_dw: bool = False,
) -> tuple[float, int, Array]:
    """Return the mean loss of logits h W, how many targets count, and the gradient of h.

    Parameters
    ----------
    h : ndarray (..., d_model), contiguous
    w : ndarray (d_model, vocab_size), any strides
    targets : integers with the shape of h without its last axis
    dw : ndarray like w, any strides, or None
        The gradient of w is added to it, or stored if `store_dw` and a target counts.
    ignore_index : int
        Targets with this value do not count.
    label_smoothing : float
        As in `cross_entropy`.
    scale : float
        Factor of the gradients.

    Raises
    ------
    TypeError, ValueError
        Shapes or types do not fit, or a target is not in the vocabulary. Some gradients may already
        have been added.
    """
    rows, labels = check_targets(h, targets)
    n = int(np.count_nonzero(labels != ignore_index))
    dh = empty(rows.shape, rows.dtype)
    if n == 0:
        dh.fill(0)
        return 0.0, 0, dh.reshape(h.shape)
    how: dict[str, Any] = {"ignore_index": ignore_index, "reduction": "sum"}
    how["label_smoothing"] = label_smoothing
    as_operand, form = (rounded, "bf16") if is_bf16(rows) else (np.asarray, None)
    packed, packed_t = kernels.pack(w, form), kernels.pack(w.T, form)
    total = 0.0
    for some in _chunks(rows, w):
        logits = kernels.matmul(as_operand(rows[some]), packed)
        loss, dlogits = kernels.cross_entropy(logits, labels[some], dlogits=logits, **how)
        total += float(loss)
        kernels.matmul(as_operand(dlogits), packed_t, out=dh[some])
        if dw is not None:
            store = store_dw and some.start == 0
            add_product(rows[some], dlogits, dw, scale / n, store=store)
    np.multiply(dh, dh.dtype.type(scale / n), out=dh)
    return total / n, n, dh.reshape(h.shape)


def add_product(
    h: Array, dlogits: Array, dw: Array, scale: float = 1.0, *, store: bool = False
) -> None:
    """Add dw += scale * h^T dlogits, for dw (d_model, vocab_size) in row- or column-major order.

    With `store`, dw is not read.
    """
    if dw.strides[0] < dw.strides[1]:  # a view of a tied embedding (vocab_size, d_model)
        h, dlogits, dw = dlogits, h, dw.T
    if is_bf16(h):
        add_bf16(h, dlogits, dw, scale, store)
    else:
        kernels.gemm(h, dlogits, dw, alpha=scale, beta=0.0 if store else 1.0, trans_a=True)


def check_targets(h: Array, targets: Any) -> tuple[Array, NDArray[np.integer[Any]]]:
    """Return both as rows; raise TypeError or ValueError unless h has an integer target each."""
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        kind = targets.dtype if isinstance(targets, np.ndarray) else type(targets).__name__
        raise TypeError(f"targets must be an array of integers, got {kind}")
    if targets.shape != h.shape[:-1]:
        raise ValueError(f"targets must have the shape {h.shape[:-1]}, got {targets.shape}")
    return h.reshape(-1, h.shape[-1]), targets.reshape(-1)


def _chunks(rows: Array, w: Array) -> list[slice]:
    n = max(64, CHUNK_BYTES // (w.shape[1] * w.itemsize))
    return [slice(start, start + n) for start in range(0, len(rows), n)]
