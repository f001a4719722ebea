"""The cases of bits.py that call kernels: each generator yields (name, function of Data)."""

import itertools

import numpy as np

from fastnn import kernels as fk

SIZES = ((1, 1), (3, 5), (7, 16), (16, 33), (33, 130), (130, 257))
PRODUCTS = (
    *((1, 7, 5), (1, 130, 300), (4, 33, 64), (8, 8, 8), (6, 16, 48), (13, 17, 31), (31, 65, 129)),
    *((130, 97, 257), (300, 1, 40), (5, 300, 1), (260, 258, 300), (0, 4, 3), (4, 0, 3)),
)
PLAIN = ("relu", "sigmoid", "silu", "softplus", "tanh")
ACTIVATIONS = (*PLAIN, "gelu", "gelu_tanh")
FROM_OUTPUT = ("relu", "sigmoid", "softplus", "tanh")  # backward takes y
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 90.0, -90.0, 800.0, -800.0, 5e-324)


def activations():
    for op, shape in itertools.product(PLAIN, SIZES):
        forward, backward = getattr(fk, op), getattr(fk, f"{op}_backward")

        def both(data, shape=shape, forward=forward, backward=backward, op=op):
            x = data(*shape, scale=4)
            y = forward(x)
            saved = y if op in FROM_OUTPUT else x
            s = data.strided(*shape)
            return y, backward(data(*shape), saved), forward(s), forward(x, out=x)

        yield f"{op} {shape}", both
    for how, shape in itertools.product((None, "tanh"), SIZES):

        def gelus(data, shape=shape, how=how):
            x, dy = data(*shape, scale=4), data(*shape)
            return fk.gelu(x, approximate=how), fk.gelu_backward(dy, x, approximate=how)

        yield f"gelu {how} {shape}", gelus
    for op in (*PLAIN, "gelu"):
        yield f"{op} special", lambda data, op=op: getattr(fk, op)(np.array(SPECIAL, data.dtype))
    for shape in SIZES:

        def prelus(data, shape=shape):
            x, dy, a, da = data(*shape), data(*shape), data(shape[1]), data(shape[1])
            one, done = data(1), data(1)
            y, leaky = fk.prelu(x, a), fk.leaky_relu(x, 0.1)
            dx, dleaky = fk.prelu_backward(dy, x, a, da=da), fk.leaky_relu_backward(dy, leaky, 0.1)
            return y, leaky, dx, da, dleaky, fk.prelu_backward(dy, x, one, da=done), done

        yield f"prelu {shape}", prelus


def rows():
    for shape in (*SIZES, (4, 1030)):

        def softmaxes(data, shape=shape):
            x, dy = data(*shape, scale=3), data(*shape)
            lengths = data.ids(shape[1] + 1, shape[0])
            y, log, short = fk.softmax(x), fk.log_softmax(x), fk.softmax(x, lengths=lengths)
            back = fk.softmax_backward(dy, y), fk.log_softmax_backward(dy, log)
            return y, log, short, *back, fk.softmax_backward(dy, short, lengths=lengths)

        def norms(data, shape=shape):
            n, result = shape[1], []
            for name, extra in (("layer", ("dweight", "dbias")), ("rms", ("dweight",))):
                x, dy, weight, bias = data(*shape), data(*shape), data(n), data(n)
                stats, grads = np.empty((shape[0], 3), data.dtype), {k: data(n) for k in extra}
                given = (weight, bias) if name == "layer" else (weight,)
                norm = getattr(fk, f"{name}_norm")
                result += norm(x, *given, stats=stats), stats, norm(data.strided(*shape))
                back = getattr(fk, f"{name}_norm_backward")
                result += back(dy, x, stats, weight, **grads), *grads.values()
            return result

        def add_norms(data, shape=shape):
            n, result = shape[1], []
            for kind, p in itertools.product(("layer", "rms"), (0.0, 0.3)):
                x, residual, dy, dh = (data(*shape) for _ in range(4))
                weight, bias = data(n), data(n) if kind == "layer" else None
                drop = {"kind": kind, "p": p, "seed": 5, "step": 2}
                h, stats = np.empty(shape, data.dtype), np.empty((shape[0], 3), data.dtype)
                y = fk.add_norm(x, residual, weight, bias, h=h, stats=stats, **drop)
                grads = {"dweight": data(n)} | ({"dbias": data(n)} if bias is not None else {})
                back = fk.add_norm_backward(dy, h, stats, weight, dh=dh, **drop, **grads)
                result += y, h, stats, *back, *grads.values()
            return result

        def dropouts(data, shape=shape):
            x = data(*shape)
            y = fk.dropout(x, 0.4, seed=3, step=7)
            return y, fk.dropout_backward(x, 0.4, seed=3, step=7), fk.philox(37, seed=11, step=2)

        kinds = (softmaxes, norms, add_norms, dropouts)
        yield from ((f"{kind.__name__} {shape}", kind) for kind in kinds)


def large():
    """Yield outputs of 8 MB and more, which use threads and non-temporal stores."""
    shape = (1030, 2100)

    def both(data):
        x, dy, stats = data(*shape), data(*shape), np.empty((shape[0], 3), data.dtype)
        y, norm = fk.softmax(x), fk.layer_norm(x, stats=stats)
        back = fk.softmax_backward(dy, y), fk.layer_norm_backward(dy, x, stats)
        return fk.gelu(x), fk.relu(x), y, norm, *back, fk.mse(x, dy), fk.frobenius_norm(x)

    yield "large", both


def products():
    for m, k, n in PRODUCTS:

        def plain(data, m=m, k=k, n=n):
            a, b, bias = data(m, k), data(k, n), data(n)
            result = [fk.matmul(a, b), fk.matmul(a, fk.pack(b), bias=bias)]
            result += [fk.matmul(data.strided(m, k), b), fk.matmul(a, data.strided(k, n))]
            result += [fk.matmul(np.asfortranarray(a), np.asfortranarray(b), bias=bias)]
            c = data(m, n)
            result += [fk.gemm(a, b, c, alpha=0.5, beta=0.7)]
            return [*result, fk.gemm(a.T.copy(), b.T.copy(), trans_a=True, trans_b=True)]

        def epilogues(data, m=m, k=k, n=n):
            a, b, bias, result = data(m, k), data(k, n), data(n), []
            for name in ACTIVATIONS:
                z = np.empty((m, n), data.dtype)
                result += [fk.matmul(a, b, bias=bias, activation=name, preact=z), z]
                result += [fk.matmul(a, b, activation=name)]
            return result

        def backward(data, m=m, k=k, n=n):
            x, w, result = data(m, k), data(k, n), []
            for name in (None, *ACTIVATIONS):
                dy, dw, db, z = data(m, n), data(k, n), data(n), np.empty((m, n), data.dtype)
                y = fk.matmul(x, w, activation=name, preact=z) if name else None
                saved = {} if name is None else {"y": y} if name in FROM_OUTPUT else {"preact": z}
                dx = fk.linear_backward(dy, x, w, dw=dw, db=db, activation=name, **saved)
                result += dx, dw, db
            return result

        for kind in (plain, epilogues, backward):
            yield f"product {kind.__name__} {(m, k, n)}", kind

    def batched(data):
        return fk.matmul(data(3, 5, 7), data(3, 7, 9)), fk.matmul(data(2, 3, 5, 7), data(7, 9))

    yield "product batched", batched


def attentions():
    shapes = (
        (1, 1, 1, 1, 1, 4),
        (2, 4, 2, 5, 9, 8),
        (1, 2, 2, 40, 70, 33),
        (2, 2, 1, 130, 200, 64),
    )
    options = ("plain", "causal", "lengths", "boolean", "additive", "dropout", "scale")
    for shape, option in itertools.product(shapes, options):

        def both(data, shape=shape, option=option):
            batch, heads, kv, t, s, d = shape
            q, k, v = data(batch, heads, t, d), data(batch, kv, s, d), data(batch, kv, s, d)
            how = {
                "plain": {},
                "causal": {"causal": True},
                "lengths": {"lengths": data.ids(s + 1, batch)},
                "boolean": {"mask": data.ids(2, t, s).astype(bool)},
                "additive": {"mask": data(t, s)},
                "dropout": {"dropout_p": 0.2, "seed": 4, "step": 1},
                "scale": {"scale": 0.3, "causal": True},
            }[option]
            out, lse = fk.attention(q, k, v, return_lse=True, **how)
            maps = fk.attention(q, k, v, need_weights=True, **how)
            dout = data(*out.shape)
            return out, lse, maps, fk.attention_backward(dout, q, k, v, out, lse, **how)

        yield f"attention {option} {shape}", both

    def additive(data):
        q, k, w, ds = data(2, 5, 19), data(2, 7, 19), data(19), data(2, 5, 7)
        return fk.additive_scores(q, k, w), fk.additive_scores_backward(ds, q, k, w)

    def pooling(data):
        q, k, v, dout = data(9, 1), data(15, 1), data(15, 2), data(9, 2)
        result = []
        for kernel in ("gaussian", "boxcar", "epanechnikov"):
            result += [fk.attention_pooling(q, k, v, kernel=kernel, need_weights=True)]
        return *result, fk.attention_pooling_backward(dout, q, k, v, width=0.7)

    def rotary(data):
        x = data(2, 3, 17, 16)
        return fk.rotary(x), fk.rotary(x, start=np.array([3, 9])), fk.rotary(x, inverse=True)

    yield from (("additive_scores", additive), ("pooling", pooling), ("rotary", rotary))


def losses():
    for shape in SIZES:

        def crosses(data, shape=shape):
            x, labels, weight = data(*shape, scale=3), data.ids(shape[1], shape[0]), data(shape[1])
            soft = fk.softmax(data(*shape))
            result = [fk.cross_entropy(x, labels), fk.cross_entropy(x, soft)]
            how = {"weight": abs(weight), "label_smoothing": 0.1, "ignore_index": 0}
            for reduction in ("mean", "sum", "none"):
                result += [fk.cross_entropy(x, labels, reduction=reduction, **how)]
            return result

        def elementwise(data, shape=shape):
            x, t, weight = data(*shape), fk.sigmoid(data(*shape)), abs(data(shape[0]))
            result = [f(x, t, sample_weight=weight) for f in (fk.mse, fk.l1, fk.huber)]
            result += [f(x, t, reduction="none") for f in (fk.mse, fk.l1, fk.huber)]
            result += [fk.huber(x, t, delta=0.3), fk.mse(x, t)]
            positive = abs(data(shape[1]))
            return [
                *result,
                fk.bce_with_logits(x, t),
                fk.bce_with_logits(x, t, pos_weight=positive),
            ]

        def reductions(data, shape=shape):
            x = data(*shape)
            return fk.frobenius_norm(x), fk.squared_norm(data.strided(*shape)), fk.squared_norm(x)

        kinds = (crosses, elementwise, reductions)
        yield from ((f"{kind.__name__} {shape}", kind) for kind in kinds)


def updates():
    for n in (1, 7, 64, 1003):

        def steps(data, n=n):
            result = []

            def step(update, count, **how):
                p, state = data(n), [abs(data(n)) for _ in range(count)]
                update(p, data(n), *state, grad_scale=0.7, weight_decay=0.03, lr=0.1, **how)
                result.append((p, state))

            step(fk.sgd_update, 0)
            step(fk.sgd_update, 1, momentum=0.9)
            step(fk.sgd_update, 1, momentum=0.9, nesterov=True)
            step(fk.adam_update, 2, step=3)
            step(fk.adamw_update, 2, step=3)
            step(fk.rmsprop_update, 1)
            step(fk.rmsprop_update, 3, momentum=0.9)
            step(fk.adagrad_update, 1, step=3)
            average, x = data(n), data(n)
            fk.ema_update(average, data(n), 0.9)
            fk.scale(x, 0.37)
            return result, average, x

        yield f"updates {n}", steps

    def embeddings(data):
        table, ids, dy, grad = data(11, 37), data.ids(11, 4, 6), data(4, 6, 37), data(11, 37)
        y = fk.embedding(ids, table, scale=1.5)
        fk.embedding_backward(ids, dy, dweight=grad, scale=1.5, padding_idx=3)
        return y, grad

    yield "embedding", embeddings


GROUPS = (activations, rows, large, products, attentions, losses, updates)
