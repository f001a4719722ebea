"""Rows of the table: losses with all their options."""

from functools import partial

import numpy as np

from fastnn import kernels, nn
from tests.oracle import losses as oracle
from tests.oracle.real import real

from . import pointers as c
from .case import Case
from .norms import some
from .table import row

CODES = {"mse": 0, "l1": 1, "huber": 2, "bce_with_logits": 3}
LAYERS = {"mse": "mse_loss", "l1": "l1_loss", "huber": "huber_loss"}


def reduction_of(d, arrays, n):
    """A reduction, and weights of examples or not; the mean needs elements and a weight."""
    reduction = d.one(("mean", "sum", "none"))
    if d.chance(0.4):
        arrays["sample_weight"] = d.laid_out(d.weights(n))
    if reduction == "mean" and not (next(iter(arrays.values())).size and n):
        reduction = "sum"
    return reduction


def elementwise(kind, d):
    first, second = ("logits", "targets") if kind == "bce_with_logits" else ("pred", "target")
    shape = d.shape(1)
    like = "plain" if d.profile in ("special", "large") else None
    arrays = {first: d.array(*shape, like=like), second: d.array(*shape, like=like)}
    how, outs = {}, {f"d{first}": 1}
    if kind == "bce_with_logits":
        arrays[second] = d.laid_out(d.rng.choice([0, 1, 0.3, 1e-3], shape).astype(d.real))
        if d.chance(0.3):
            arrays["pos_weight"] = d.laid_out(d.weights(shape[-1]))
    if kind == "huber":
        how["delta"] = float(d.real.type(d.one((1.0, 0.1, 2.5))))
    reduction = reduction_of(d, arrays, shape[0])

    def expected(a):
        delta = how.get("delta", 1.0)
        positive = some(a, "pos_weight")
        weight = a.get("sample_weight")
        pair = real(a[first]), real(a[second])
        return oracle.elementwise(kind, *pair, weight, reduction, delta, positive)

    def pointer(a):
        x = a[first]
        losses, dx = c.garbage(x), c.garbage(x)
        per, positive = max(1, x.size // max(1, shape[0])), a.get("pos_weight")
        weights = a.get("sample_weight"), per, positive, max(1, shape[-1])
        mean, loss = int(reduction == "mean"), np.full((), np.nan)
        given = x, a[second], *weights, how.get("delta", 1.0), mean, dx, losses, loss
        c.call("loss", x.dtype, CODES[kind], x.size, *given)
        return (losses if reduction == "none" else loss), dx

    function = getattr(kernels, kind)
    if d.chance(0.3):
        function, outs = getattr(nn, LAYERS.get(kind, kind)), {}
    return Case(
        function,
        arrays,
        expected,
        {**how, "reduction": reduction},
        outs=outs,
        aliases=((f"d{first}", first), (f"d{first}", second)) if outs and kind in LAYERS else (),
        pointers=(pointer,),
    )


for _kind in CODES:
    row(_kind, LAYERS.get(_kind, _kind))(partial(elementwise, _kind))


def targets_of(d, n, classes):
    """Labels, a column of labels, one-hot rows, probabilities."""
    labels = d.rng.integers(0, classes, n).astype(d.one((np.int64, np.int32, np.uint8)))
    if classes > 255:
        labels = d.rng.integers(0, classes, n)
    kind = d.one(("labels", "labels", "column", "onehot", "probabilities", "ignored"))
    if kind == "column":
        return labels[:, None]
    if kind == "ignored":
        labels = labels.astype(np.int64)
        labels[d.rng.random(n) < 0.3] = -100
    if kind == "onehot":
        return np.eye(classes, dtype=d.one((np.int64, bool)) if classes > 1 else bool)[labels]
    if kind == "probabilities":
        p = d.rng.random((n, classes)) * (d.rng.random((n, classes)) < 0.7)
        return d.laid_out((p / np.maximum(p.sum(1, keepdims=True), 0.1)).astype(d.real))
    return labels


@row("cross_entropy")
def cross_entropy(d):
    n, classes = d.dims(2)
    classes = max(1, classes)
    like = "plain" if d.profile == "special" else None
    arrays = {"logits": d.array(n, classes, like=like), "targets": targets_of(d, n, classes)}
    if d.chance(0.4):
        arrays["weight"] = d.laid_out(d.weights(classes))
    reduction = reduction_of(d, arrays, n)
    smoothing = d.one((0.0, 0.0, 0.1, 1.0))
    how = {"label_smoothing": smoothing, "reduction": reduction}

    def expected(a):
        names = ("weight", "sample_weight")
        given = {k: a.get(k) for k in names}
        return oracle.cross_entropy(real(a["logits"]), a["targets"], **given, **how)

    def pointer(a):
        x, t = a["logits"], a["targets"]
        losses, dx, loss = c.garbage(x, (n,)), c.garbage(x), np.full((), np.nan)
        probs = t.ndim == 2 and t.shape == x.shape and (t.dtype in (x.dtype, bool) or classes > 1)
        labels = None if probs else t.reshape(-1).astype(np.int64)
        q = t.astype(x.dtype) if probs else None
        weights = a.get("weight"), a.get("sample_weight"), smoothing, int(reduction == "mean")
        given = x, classes, labels, -100, q, classes, *weights, dx, classes, losses, loss
        c.call("weighted_cross_entropy", x.dtype, n, classes, *given)
        return (losses if reduction == "none" else loss), dx

    own = d.chance(0.3)
    return Case(
        nn.cross_entropy if own else kernels.cross_entropy,
        arrays,
        expected,
        how,
        outs={} if own else {"dlogits": 1},
        aliases=() if own else (("dlogits", "logits"),),
        pointers=(pointer,),
    )


@row("cross_entropy", "mse")
def without_options(d):
    """The two pointer functions that take no options."""
    n, classes = (max(1, k) for k in d.dims(2))
    like = "plain" if d.profile == "special" else None
    x, labels = d.array(n, classes, like=like), d.rng.integers(0, classes, n)
    if d.chance(0.5):
        target = d.array(n, classes, like=like)

        def pointer(a):
            dx, loss = c.garbage(a["pred"]), np.full((), np.nan)
            c.call("mse", dx.dtype, dx.size, a["pred"], a["target"], dx, loss)
            return loss, dx

        arrays = {"pred": x, "target": target}
        return Case(
            kernels.mse,
            arrays,
            lambda a: oracle.elementwise("mse", real(a["pred"]), real(a["target"])),
            pointers=(pointer,),
        )

    def labelled(a):
        dx, loss = c.garbage(a["logits"]), np.full((), np.nan)
        given = a["logits"], classes, a["targets"], dx, classes, loss
        c.call("cross_entropy", dx.dtype, n, classes, *given)
        return loss, dx

    return Case(
        kernels.cross_entropy,
        {"logits": x, "targets": labels},
        lambda a: oracle.cross_entropy(real(a["logits"]), a["targets"]),
        pointers=(labelled,),
    )
