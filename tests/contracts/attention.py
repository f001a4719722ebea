"""Rows of the table: attention and what belongs to it."""

import numpy as np

from fastnn import kernels
from tests.oracle import elementwise
from tests.oracle import heads as oracle
from tests.oracle.real import real

from . import pointers as c
from .case import Case
from .table import row


def operands(d):
    """q, k, v of some shapes, lengths and masks, and options."""
    batch, kv_heads = d.one((0, 1, 1, 2, 3)), d.one((1, 1, 2, 3))
    heads = kv_heads * d.one((1, 1, 2, 4))
    n_queries, n_keys, size, dv = (d.one((0, 1, 1, 2, 3, 7, 16, 17, 33, 64, 65)) for _ in range(4))
    if d.chance(0.1):
        n_keys = d.one((100, 257, 1025))  # decoding, and blocks of keys
    while batch * heads * n_queries * n_keys * (size + dv) > 400_000:
        n_queries, size, dv = (max(1, n // 2) for n in (n_queries, size, dv))
    like = "plain" if d.profile in ("special", "large", "small", "offset") else None
    arrays = {"q": d.array(batch, heads, n_queries, size, like=like)}
    arrays["k"] = d.array(batch, kv_heads, n_keys, size, like=like)
    arrays["v"] = d.array(batch, kv_heads, n_keys, dv, like=like)
    if d.profile == "offset":  # scores that are the mask alone
        arrays["q"] = np.zeros_like(arrays["q"])
    how = {"causal": d.chance(0.4), "scale": d.one((None, None, 0.5, 1.0, -0.3))}
    if d.chance(0.4):
        shape = (batch,) if d.chance(0.5) else (batch, n_queries)
        arrays["lengths"] = d.rng.integers(0, n_keys + 1, shape)
    if d.chance(0.5):
        arrays["mask"] = mask_of(d, (batch, heads, n_queries, n_keys))
    if d.profile == "special" and "lengths" in arrays and arrays["lengths"].ndim == 1:
        for name in ("k", "v"):  # NaN in what is hidden
            arrays[name] = np.array(arrays[name])
            for b, n in enumerate(arrays["lengths"]):
                arrays[name][b, :, n:] = np.nan
    return arrays, how


def mask_of(d, shape):
    """A mask that broadcasts: bool, or additive with hidden keys and large offsets."""
    shape = tuple(1 if d.chance(0.3) else n for n in shape)
    shape = shape[int(d.rng.integers(0, 3)) :]
    if d.chance(0.4):
        return d.rng.random(shape) < 0.7
    mask = d.array(*shape, like="plain").copy()
    if d.profile == "offset":
        limits = np.finfo(d.real)
        mask[...] = d.one((-1e9, 1e9, -1e5, limits.min, limits.max, -2.45e5))
        mask[d.rng.random(shape) < 0.1] = d.one((0.0, limits.min, -np.inf))
    mask[d.rng.random(shape) < 0.2] = -np.inf
    return mask


def options_of(a, how):
    return {**how, "lengths": a.get("lengths"), "mask": a.get("mask")}


def sizes_of(a):
    batch, heads, n_queries, size = a["q"].shape
    kv_heads, n_keys, dv = a["v"].shape[1:]
    return np.array([batch, heads, kv_heads, n_queries, n_keys, size, dv], np.int64)


def tail(a, how, drop):
    """The last arguments of both pointer functions."""
    scale = how["scale"]
    scale = 1 / np.sqrt(max(1, a["q"].shape[3])) if scale is None else scale
    lengths, along = a.get("lengths"), None
    if lengths is not None:
        lengths = lengths.astype(np.int64)
        along = np.array([1, 0] if lengths.ndim == 1 else [lengths.shape[1], 1], np.int64)
    mask, kind, steps = a.get("mask"), 0, None
    if mask is not None:
        kind = 1 if mask.dtype == bool else 2
        full = np.broadcast_to(mask, (*a["q"].shape[:3], a["k"].shape[2]))
        steps = np.array(full.strides, np.int64) // mask.itemsize
    p = drop.get("dropout_p", 0.0), drop.get("seed", 0), drop.get("step", 0)
    return float(scale), int(how["causal"]), lengths, along, kind, mask, steps, *p


def places(a, *names):
    return [part for k in names for part in (a[k], c.strides(a[k], 3))]


def dropped(d, a):
    """Options of dropout, and the factors of the weights."""
    if d.chance(0.6):
        return {}, None
    p, seed, step = d.p(), d.seed(), d.one((0, 5))
    shape = (*a["q"].shape[:3], a["k"].shape[2])
    kept = elementwise.kept(shape, p, seed, step)
    return {"dropout_p": p, "seed": seed, "step": step}, kept / (1 - p) if p < 1 else kept * 0.0


@row("attention")
def attention(d):
    arrays, how = operands(d)
    drop, kept = dropped(d, arrays)

    def call(out=None, **a):
        found = kernels.attention(
            out=out, need_weights=not drop, return_lse=True, **a, **how, **drop
        )
        return found

    def expected(a):
        qkv = (real(a[k]) for k in "qkv")
        out, lse, p = oracle.forward(*qkv, kept=kept, **options_of(a, how))
        return (out, lse) if drop else (out, lse, p)

    def pointer(a):
        out = c.garbage(a["q"], (*a["q"].shape[:3], a["v"].shape[3]))
        lse = c.garbage(a["q"], a["q"].shape[:3])
        given = places({**a, "out": out}, "q", "k", "v", "out")
        c.call("attention", out.dtype, sizes_of(a), *given, lse, *tail(a, how, drop))
        return (out, lse) if drop else (out, lse, kernels_weights(a, how))

    return Case(call, arrays, expected, outs={"out": 0}, pointers=(pointer,))


def kernels_weights(a, how):
    """The weights, which no pointer function returns."""
    return kernels.attention(**a, **how, need_weights=True)[1]


@row("attention_backward")
def attention_backward(d):
    arrays, how = operands(d)
    drop, kept = dropped(d, arrays)
    given = options_of(arrays, how)
    qkv = (arrays[k] for k in "qkv")
    out, lse, normalizer = kernels.attention(
        *qkv, return_lse=True, return_normalizer=True, **given, **drop
    )
    arrays["dout"] = d.array(*out.shape, like="plain")
    arrays["out"] = out
    coarse = d.chance(0.5)
    arrays["lse"] = lse if coarse else normalizer

    def call(**a):
        return kernels.attention_backward(**a, **how, **drop)

    def expected(a):
        operands = (real(a[k]) for k in ("dout", "q", "k", "v"))
        return oracle.backward(*operands, kept=kept, **options_of(a, how))

    def pointer(a):
        found = [c.garbage(a[k]) for k in "qkv"]
        before = [a["dout"], *places(a, "q", "k", "v", "out"), a["lse"], *found]
        c.call("attention_backward", out.dtype, sizes_of(a), *before, *tail(a, how, drop))
        return found

    pointers = (pointer,) if coarse else ()
    outs = {"dq": 0, "dk": 1, "dv": 2}
    return Case(call, arrays, expected, outs=outs, layouts="padded", pointers=pointers)


@row("rotary")
def rotary(d):
    batch, heads, n = d.dims(3, share=0.03)
    size = 2 * d.one((0, 1, 2, 3, 4, 8, 16, 17, 32))
    arrays = {"x": d.array(batch, heads, n, size)}
    start = d.one((0, 7, 1000, 50_000))
    if d.chance(0.4):
        arrays["start"] = start = d.rng.integers(0, 3000, batch)
    how = {"base": d.one((10000.0, 100.0, 5e5)), "inverse": d.chance(0.5)}
    more = {} if "start" in arrays else {"start": start}

    def pointer(a):
        positions = int(np.max(start, initial=0)) + n
        table, y = np.empty((positions, size), d.real), c.garbage(a["x"])
        c.call("rotary_table", d.real, positions, size, how["base"], table)
        sizes, along = np.array(a["x"].shape, np.int64), c.strides(y, 3)
        starts = np.array(start, np.int64).reshape(-1)
        at = starts, int("start" in arrays), int(how["inverse"])
        c.call("rotary", d.real, sizes, a["x"], along, table, positions, *at, y, along)
        return y

    return Case(
        kernels.rotary,
        arrays,
        lambda a: oracle.rotary(real(a["x"]), start, **how),
        {**how, **more},
        outs={"out": 0},
        aliases=(("out", "x"),),
        pointers=(pointer,),
    )


def additive(d):
    batch, n_queries, n_keys, size = d.dims(4)
    like = "plain" if d.profile in ("offset", "large") else None
    arrays = {"q": d.array(batch, n_queries, size, like=like)}
    return arrays | {"k": d.array(batch, n_keys, size, like=like), "w": d.array(size, like=like)}


@row("additive_scores")
def additive_scores(d):
    arrays = additive(d)
    return Case(
        kernels.additive_scores,
        arrays,
        lambda a: oracle.additive_scores(*(real(a[k]) for k in "qkw")),
        outs={"out": 0},
        layouts="solid",
    )


@row("additive_scores_backward")
def additive_scores_backward(d):
    d.profile = "plain" if d.profile == "special" else d.profile
    arrays = additive(d)
    shape = (*arrays["q"].shape[:2], arrays["k"].shape[1])
    arrays = {"dscores": d.array(*shape, like="plain"), **arrays}
    names = ("dscores", "q", "k", "w")
    return Case(
        kernels.additive_scores_backward,
        arrays,
        lambda a: oracle.additive_scores_backward(*(real(a[k]) for k in names)),
    )


def pooled(d):
    lead = d.shape(0, 1)
    n, m, size, dv = (d.one((1, 2, 3, 5, 8, 17)) for _ in range(4))
    lead = tuple(min(n, 5) for n in lead)
    shapes = {"queries": (n, size), "keys": (m, size), "values": (m, dv)}
    arrays = {k: d.array(*lead, *shape, like="plain") for k, shape in shapes.items()}
    kernel = d.one(("gaussian", "boxcar", "epanechnikov", "triangular", "constant"))
    return arrays, {"kernel": kernel, "width": d.one((0.5, 1.0, 3.0))}


@row("attention_pooling")
def attention_pooling(d):
    arrays, how = pooled(d)
    return Case(
        lambda **a: kernels.attention_pooling(need_weights=True, **a, **how),
        arrays,
        lambda a: oracle.attention_pooling(*map(real, a.values()), **how),
    )


@row("attention_pooling_backward")
def attention_pooling_backward(d):
    arrays, how = pooled(d)
    shape = (*arrays["queries"].shape[:-1], arrays["values"].shape[-1])
    arrays = {"dout": d.array(*shape, like="plain"), **arrays}
    return Case(
        lambda **a: kernels.attention_pooling_backward(**a, **how),
        arrays,
        lambda a: oracle.attention_pooling_backward(*map(real, a.values()), **how),
    )
