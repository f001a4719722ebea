"""A row's result has the same bits whatever comes with it (docs/determinism.md).

Not the other rows of its batch, padding, the chunks of a prompt, a cache, packing, strides or
threads change a bit. Random cases, a few by default; a hundred thousand, or other ones:

    FASTNN_INVARIANCE=100000 pytest -s tests/kernels/test_batch_invariance.py
    FASTNN_INVARIANCE_SEED=7 pytest tests/kernels/test_batch_invariance.py
"""

import os

import numpy as np
import pytest

import fastnn
from fastnn import kernels as fk
from fastnn import models, nn

CASES = int(os.environ.get("FASTNN_INVARIANCE", "1000"))
SEED = int(os.environ.get("FASTNN_INVARIANCE_SEED", "0"))
ACTIVATIONS = [None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu"]


class Case:
    """The random choices of one case, and how it compares."""

    def __init__(self, kind, seed):
        self.rng = np.random.default_rng([SEED, seed, KINDS.index(kind)])
        self.real = self.one_of([np.float32, np.float64])

    def one_of(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def upto(self, most):
        """An integer from 1 to most, small ones more often."""
        return int(most ** self.rng.random())

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.real)

    def laid_out(self, x):
        """x with other strides."""
        how = self.rng.integers(4)
        if how == 0:
            return np.asfortranarray(x)
        if how == 1:
            wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 3), x.dtype)
            wide[..., 1 : 2 * x.shape[-1] : 2] = x
            return wide[..., 1 : 2 * x.shape[-1] : 2]
        return np.ascontiguousarray(x[::-1])[::-1] if how == 2 else np.ascontiguousarray(x)

    def some(self, n):
        """A slice of n rows."""
        first = int(self.rng.integers(n))
        return slice(first, first + self.upto(n - first))

    def run(self, function, *args, **kwargs):
        with fastnn.num_threads(self.one_of([1, 1, 2, 3, 8])):
            return function(*args, **kwargs)

    def cuts(self, n):
        """Slices that cut n positions into random parts."""
        size = self.upto(n)
        return [slice(i, min(n, i + size)) for i in range(0, n, size)]


def same(got, expected, *what):
    assert got.shape == expected.shape, what
    if got.tobytes() != expected.tobytes():
        different = np.argwhere(got != expected)
        pytest.fail(
            f"{len(different)} of {got.size} differ: {what}, first {different[:3].tolist()}"
        )


def product(c):
    """Rows alone and together, in any layout, packed or not, with a bias and an activation."""
    m, n = c.upto(300), c.one_of([c.upto(12), c.upto(300)])
    k = c.one_of([c.upto(64), c.upto(1200), c.upto(2600 if m * n < 4000 else 300)])
    a, b, bias = c.normal(m, k), c.normal(k, n), c.one_of([None, c.normal(n)])
    options = {"bias": bias, "activation": c.one_of(ACTIVATIONS)}
    whole = c.run(fk.matmul, a, b, **options)
    rows, weight = c.some(m), c.one_of([c.laid_out(b), b.T.copy().T, fk.pack(b)])
    part = c.run(fk.matmul, c.laid_out(a[rows]), weight, **options)
    same(part, whole[rows], m, n, k, rows, type(weight).__name__, options["activation"])
    out = c.laid_out(np.full((m, n), np.nan, c.real))
    if out.flags.writeable:
        same(c.run(fk.matmul, c.laid_out(a), b, out=out, **options) + 0, whole + 0, m, n, k, "out")
    if bias is None:
        vector = c.run(fk.matmul, a[rows.start], weight, activation=options["activation"])
        same(vector, whole[rows.start], m, n, k, "vector")


def accumulated(c):
    """C := alpha A B + beta C."""
    m, n, k = c.upto(100), c.upto(70), c.one_of([c.upto(100), c.upto(3000)])
    a, b, into, rows = c.normal(m, k), c.normal(k, n), c.normal(m, n), c.some(m)
    alpha, beta = c.one_of([1.0, -0.3]), c.one_of([0.0, 1.0, 0.7])
    whole, part = into.copy(), into[rows].copy()
    c.run(fk.gemm, a, b, whole, alpha=alpha, beta=beta)
    c.run(fk.gemm, c.laid_out(a[rows]), c.laid_out(b), part, alpha=alpha, beta=beta)
    same(part, whole[rows], m, n, k, rows, alpha, beta)


def stack(c):
    """Products in a stack and each of its own."""
    count, m, n, k = c.upto(8), c.upto(40), c.upto(70), c.upto(700)
    a, b = c.normal(count, m, k), c.normal(count, k, n)
    whole = c.run(fk.matmul, a, b)
    i, rows = int(c.rng.integers(count)), c.some(m)
    same(c.run(fk.matmul, c.laid_out(a[i, rows]), c.laid_out(b[i])), whole[i, rows], m, n, k)


def backward(c):
    """The gradient of the input of an affine layer."""
    m, n_in, n_out = c.upto(200), c.upto(200), c.upto(300)
    activation = c.one_of(ACTIVATIONS)
    dy, x, w = c.normal(m, n_out), c.normal(m, n_in), c.normal(n_in, n_out)

    def dx(rows):
        return fk.linear_backward(
            dy[rows],
            x[rows],
            w,
            dw=np.zeros_like(w),
            db=np.zeros(n_out, c.real),
            activation=activation,
            y=saved[rows],
            preact=saved[rows],
        )

    saved = c.normal(m, n_out)
    rows = c.some(m)
    same(c.run(dx, rows), c.run(dx, slice(None))[rows], m, n_in, n_out, activation)


def rowwise(c):
    """Softmax, norms, activations and losses of a row."""
    m, n = c.upto(300), c.upto(700)
    x, weight, bias, rows = c.normal(m, n), c.normal(n), c.normal(n), c.some(m)
    targets = c.rng.integers(0, n, m)
    calls = {
        "softmax": lambda r: fk.softmax(x[r]),
        "log_softmax": lambda r: fk.log_softmax(x[r]),
        "layer_norm": lambda r: fk.layer_norm(x[r], weight, bias),
        "rms_norm": lambda r: fk.rms_norm(x[r], weight),
        "gelu": lambda r: fk.gelu(x[r]),
        "cross_entropy": lambda r: fk.cross_entropy(x[r], targets[r], reduction="none")[0],
        "smoothed": lambda r: fk.cross_entropy(
            x[r], targets[r], reduction="none", label_smoothing=0.1
        )[0],
    }
    name = c.one_of(sorted(calls))
    same(c.run(calls[name], rows), c.run(calls[name], slice(None))[rows], name, m, n, rows)


def attention(c):
    """Queries alone, in chunks and together; keys that come later, padding, masks, heads."""
    group, kv_heads, size = c.one_of([1, 1, 2, 4]), c.upto(3), c.one_of([8, 16, 20, 64])
    heads = group * kv_heads
    n = c.one_of([c.upto(40), c.upto(300), c.upto(1300 if heads < 4 else 300)])
    q, k, v = c.normal(1, heads, n, size), c.normal(1, kv_heads, n, size), c.normal(
        1, kv_heads, n, c.one_of([size, 12]))  # fmt: skip
    whole = c.run(fk.attention, q, k, v, causal=True)
    for part in c.cuts(n)[-2:]:  # a prompt in chunks: keys up to the end of the chunk
        keys, values = k[:, :, : part.stop], v[:, :, : part.stop]
        same(c.run(fk.attention, q[:, :, part], keys, values, causal=True), whole[:, :, part],
             "chunk", n, part, heads, size)  # fmt: skip
    last = int(c.rng.integers(n))
    one = c.run(fk.attention, q[:, :, last : last + 1], k, v, lengths=np.array([last + 1]))
    same(one, whole[:, :, last : last + 1], "one query", n, last, heads, size)
    mask = np.arange(n) < last + 1
    masked = c.run(fk.attention, q[:, :, last : last + 1], k, v, mask=mask)
    same(masked, one, "mask", n, last, heads, size)
    full = c.run(fk.attention, q, k, v)
    rows = c.some(n)
    padded = [np.concatenate([x, c.normal(1, x.shape[1], 9, x.shape[3])], axis=2) for x in (k, v)]
    both = c.run(fk.attention, q[:, :, rows], *padded, lengths=np.array([n]))
    same(both, full[:, :, rows], "padding", n, rows, heads, size)


def network(c):
    """A plan, strips of a plan, and the layers one by one."""
    sizes = [c.upto(150) for _ in range(4)]
    activation = c.one_of(ACTIVATIONS)
    layers = [nn.Linear(sizes[0], sizes[1], activation=activation, dtype=c.real, rng=1)]
    if c.rng.random() < 0.5:
        layers.append(nn.LayerNorm(sizes[1], dtype=c.real))
    layers += [nn.Linear(sizes[1], sizes[2], activation="relu", dtype=c.real, rng=2),
               nn.Linear(sizes[2], sizes[3], dtype=c.real, rng=3)]  # fmt: skip
    model = nn.Sequential(*layers)
    x = c.normal(c.upto(300), sizes[0])
    rows = c.some(len(x))
    plan = model.freeze(batch_max=c.one_of([1, 16, 1024]))
    whole = c.run(model, x)
    same(c.run(plan, x), whole, "plan", sizes, len(x))
    same(c.run(plan, x[rows]), whole[rows], "rows of a plan", sizes, len(x), rows)
    same(c.run(model, x[rows]), whole[rows], "rows", sizes, len(x), rows)
    same(c.run(model.forward, x[rows])[0], whole[rows], "forward", sizes, len(x), rows)


def language_model(c):
    """A prompt at once, in chunks with a cache, in a padded batch; frozen or not."""
    n, vocabulary, batch = c.upto(60), c.one_of([30, 65]), c.upto(4)
    model = models.TransformerLM(
        vocabulary, d_model=32, n_heads=4, n_layers=2, max_len=64, dtype=np.dtype(c.real).name,
        n_kv_heads=c.one_of([4, 2, 1]), position=c.one_of(["learned", "rotary"]),
        norm=c.one_of(["layer", "rms"]), tie_weights=c.one_of([True, False]), rng=0
    )  # fmt: skip
    ids = c.rng.integers(0, vocabulary, (batch, n))
    whole = c.run(model, ids)[:, -1]
    b = int(c.rng.integers(batch))
    same(c.run(model, ids[b : b + 1])[:, -1], whole[b : b + 1], "alone", n, batch)
    for engine in (model, model.freeze()):
        cache = engine.new_cache(1)
        for part in c.cuts(n):
            y = c.run(engine.step, ids[b : b + 1, part], cache)
        same(y, whole[b : b + 1], "chunks", type(engine).__name__, n, batch)
        cache, lengths = engine.new_cache(2), np.array([n, c.upto(n)])
        padded = np.stack([ids[b], c.rng.integers(0, vocabulary, n)])
        y = c.run(engine.step, padded, cache, lengths)
        same(y[:1], whole[b : b + 1], "padded", type(engine).__name__, n)


# Each kind with its share of the cases.
SHARES = {
    product: 40,
    accumulated: 10,
    stack: 5,
    backward: 10,
    rowwise: 15,
    attention: 12,
    network: 6,
    language_model: 2,
}
KINDS = list(SHARES)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_row_has_the_same_bits_in_any_company(kind):
    for seed in range(max(4, CASES * SHARES[kind] // 100)):
        try:
            kind(Case(kind, seed))
        except BaseException:
            print(f"{kind.__name__}: seed {seed}, FASTNN_INVARIANCE_SEED={SEED}")
            raise
