"""Rows of the table: products, linear layers, norms of arrays, embeddings."""

from functools import partial

import numpy as np

from fastnn import kernels
from tests.oracle import elementwise
from tests.oracle import products as oracle
from tests.oracle import real as arithmetic
from tests.oracle.real import real

from . import pointers as c
from .case import Case
from .elementwise import CODES
from .norms import some
from .table import row


def code(act):
    return 0 if act is None else CODES[act]


def act_of(d):
    return d.one((None, None, *kernels.ACTIVATIONS))


def gemm_pointer(act, alpha=1.0, beta=0.0, trans=(False, False)):
    """c := act(alpha op(a) op(b) + beta c + bias) of matrices, and the pre-activation."""

    def pointer(given):
        a, b = (x.T if t else x for x, t in zip((given["a"], given["b"]), trans, strict=True))
        (m, k), n = a.shape, b.shape[1]
        out = given["c"] if "c" in given else c.garbage(a, (m, n))
        z = c.garbage(a, (m, n))
        ab = [part for x in (a, b) for part in (x, *c.strides(x, 2).tolist())]
        bias = given.get("bias")
        c.call("gemm", a.dtype, m, n, k, alpha, *ab, beta, out, n, 1, bias, code(act), z)
        return out, z

    return pointer


@row("matmul", "PackedMatrix", "pack")
def matmul(d):
    """Matrices, stacks that broadcast, vectors, packed matrices."""
    m, k, n = d.dims(3)
    kind = d.one(("matrices", "matrices", "stacks", "vector", "column", "packed"))
    a, b = (m, k), (k, n)
    if kind == "stacks":
        m, k, n = d.dims(3, share=0.1)
        lead = tuple(d.dims(d.one((1, 2)), share=6 / d.budget))
        a = (*lead, m, k)
        b = (*(lead if d.chance(0.5) else lead[len(lead) :]), k, n)
        b = (1, *b) if len(b) == 2 and d.chance(0.3) else b
    elif kind == "vector":
        a = (k,)
    elif kind == "column":
        b, n = (k,), 1
    arrays = {"a": d.array(*a), "b": d.array(*b)}
    act = act_of(d)
    if kind != "column" and d.chance(0.5):
        arrays["bias"] = d.array(n, like="plain")

    def call(**how):
        if kind == "packed":
            how["b"] = kernels.pack(how["b"])
        shape = how["out"].shape if "out" in how else None
        preact = None
        if shape is None:
            plain = kernels.matmul(**{k: v for k, v in how.items() if k in ("a", "b")})
            preact = np.full(plain.shape, np.nan, how["a"].dtype)
            return kernels.matmul(activation=act, preact=preact, **how), preact
        preact = np.full_like(how["out"], np.nan)
        if preact.strides != how["out"].strides:
            return kernels.matmul(activation=act, **how), kernels.matmul(
                how["a"], how["b"], bias=how.get("bias")
            )
        return kernels.matmul(activation=act, preact=preact, **how), preact

    return Case(
        call,
        arrays,
        lambda x: oracle.product(real(x["a"]), real(x["b"]), some(x, "bias"), act),
        outs={"out": 0},
        pointers=(gemm_pointer(act),) if kind == "matrices" else (),
    )


@row("gemm")
def gemm(d):
    m, k, n = d.dims(3)
    trans = d.chance(0.4), d.chance(0.4)
    alpha, beta = d.one((1.0, 0.0, -0.5, 2.0)), d.one((0.0, 1.0, 0.5, -2.0))
    arrays = {"a": d.array(*((k, m) if trans[0] else (m, k)))}
    arrays["b"] = d.array(*((n, k) if trans[1] else (k, n)))
    if beta or d.chance(0.5):
        arrays["c"] = d.laid_out(d.values((m, n)))
        if not beta:
            arrays["c"][...] = np.nan

    def call(**how):
        return kernels.gemm(alpha=alpha, beta=beta, trans_a=trans[0], trans_b=trans[1], **how)

    def expected(x):
        if alpha == 0:  # BLAS: the product is not read, or is NaN where it would be
            finite = np.isfinite(x["a"]).all() and np.isfinite(x["b"]).all()
            if not finite:
                return None, *(None for name in x if name == "c")
        y = oracle.gemm(real(x["a"]), real(x["b"]), some(x, "c"), alpha, beta, *trans)
        return y, *(y for name in x if name == "c")

    def pointer(x):
        return (gemm_pointer(None, alpha, beta, trans)(x)[0],) * (2 if "c" in x else 1)

    return Case(call, arrays, expected, written=("c",) * ("c" in arrays), pointers=(pointer,))


@row("linear_backward")
def linear_backward(d):
    n, n_in, n_out = d.dims(3)
    act, need_dx, over = act_of(d), d.chance(0.7), d.chance(0.3)
    arrays = {"dy": d.array(n, n_out), "x": d.array(n, n_in), "w": d.array(n_in, n_out)}
    if over:
        arrays["dy"] = arrays["dy"].copy()
    arrays["dw"] = d.solid(n_in, n_out, like="plain")
    if d.chance(0.6):
        arrays["db"] = d.solid(n_out, like="plain")
    if act is not None:
        z = d.array(n, n_out)
        name = "y" if act in elementwise.FROM_OUTPUT else "preact"
        with np.errstate(all="ignore"):
            arrays[name] = d.laid_out(kernels.ACTIVATIONS[act][0](z)) if name == "y" else z

    def call(**how):
        how["dy"] = how["dy"].copy() if over else how["dy"]
        return kernels.linear_backward(activation=act, need_dx=need_dx, overwrite_dy=over, **how)

    def expected(a):
        dx, dw, db = oracle.linear_backward(
            *(real(a[k]) for k in ("dy", "x", "w")), some(a, "y"), some(a, "preact"), act
        )
        sums = [real(a["dw"]) + dw, *([real(a["db"]) + db] if "db" in a else [])]
        return [dx, *sums] if need_dx else sums

    def pointer(a):
        dx = c.garbage(a["x"]) if need_dx else None
        saved = a.get("y", a.get("preact"))
        given = a["dy"], a["x"], n_in, 1, a["w"], n_out, 1, saved, code(act)
        c.call("linear_backward", a["x"].dtype, n, n_in, n_out, *given, a["dw"], a.get("db"), dx)
        return dx, a["dw"], a.get("db")

    written = tuple(k for k in ("dw", "db") if k in arrays)
    return Case(call, arrays, expected, written=written, pointers=(pointer,))


def norm_of(name, d):
    several = d.chance(0.3)
    shapes = [d.shape() for _ in range(3 if several else 1)]
    arrays = {f"x{i}": d.array(*shape) for i, shape in enumerate(shapes)}

    def call(**how):
        return getattr(kernels, name)(list(how.values()) if several else how["x0"])

    def expected(a):
        flat = [real(np.ravel(x)) for x in a.values()]
        return getattr(oracle, name)(arithmetic.concatenate(flat))

    def pointer(a):
        x = np.concatenate([v.ravel() for v in a.values()])
        return c.double(name, x.dtype, x.size, x)

    return Case(call, arrays, expected, pointers=() if name == "l1_norm" else (pointer,))


for _name in ("frobenius_norm", "squared_norm", "l1_norm"):
    row(_name)(partial(norm_of, _name))


def ids_of(d, rows):
    kind = d.one((np.int64, np.int32, np.uint8, np.int16))
    shape = d.shape(0, 3)
    if not rows:
        shape = (0,)
    return d.rng.integers(0, max(1, min(rows, 127)), shape).astype(kind)


@row("embedding")
def embedding(d):
    rows, cols = d.dims(2)
    ids, scale = ids_of(d, rows), d.one((1.0, 2.0, 0.3))
    if ids.size * cols > d.budget:
        ids = ids.reshape(-1)[: max(1, d.budget // cols)]

    def pointer(a):
        y = c.garbage(a["weight"], (*ids.shape, cols))
        wide = a["ids"].astype(np.int64)
        given = wide.size, rows, cols, wide, a["weight"], cols, scale, y, cols
        c.call("embedding", y.dtype, *given)
        return y

    return Case(
        kernels.embedding,
        {"ids": ids, "weight": d.array(rows, cols)},
        lambda a: oracle.embedding(a["ids"], real(a["weight"]), scale),
        {"scale": scale},
        outs={"out": 0},
        pointers=(pointer,),
    )


@row("embedding_backward")
def embedding_backward(d):
    rows, cols = d.dims(2, share=0.3)
    ids, scale = ids_of(d, rows), d.one((1.0, 2.0, 0.3))
    if ids.size * (cols + rows) > d.budget:
        ids = ids.reshape(-1)[: max(1, d.budget // (cols + rows))]
    padding = int(d.rng.integers(rows)) if rows and d.chance(0.4) else None
    arrays = {"ids": ids, "dy": d.array(*ids.shape, cols)}
    arrays["dweight"] = d.solid(rows, cols, like="plain")

    def pointer(a):
        wide, skipped = a["ids"].astype(np.int64), -1 if padding is None else padding
        given = wide.size, rows, cols, wide, skipped, a["dy"], cols, scale, a["dweight"], cols
        c.call("embedding_backward", a["dy"].dtype, *given)
        return a["dweight"]

    def expected(a):
        found = oracle.embedding_backward(a["ids"], real(a["dy"]), rows, scale, padding)
        return real(a["dweight"]) + found

    return Case(
        kernels.embedding_backward,
        arrays,
        expected,
        {"scale": scale, "padding_idx": padding},
        written=("dweight",),
        pointers=(pointer,),
    )
