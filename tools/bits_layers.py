"""The cases of bits.py that run layers forward and backward, train them and decode."""

import numpy as np

from fastnn import models, nn, optim, train


def weights(model):
    return [p.data for p in model.parameters()]


def gradients(model):
    return [p.grad for p in model.parameters()]


def grown(layer, data, *inputs, **how):
    """Return a layer's parameters, outputs, inference, and gradients of inputs and parameters."""
    y, ctx = layer.forward(*inputs, **how)
    outs = y if isinstance(y, tuple) else (y,)
    dys = tuple(data(*part.shape) for part in outs)
    layer.zero_grad()
    dx = layer.backward(dys if isinstance(y, tuple) else dys[0], ctx)
    return weights(layer), y, layer(*inputs, **how), dx, gradients(layer)


def layers():
    def simple(make, *shape):
        return lambda data: grown(make(data.dtype), data, data(*shape))

    flat = {
        "Linear": lambda t: nn.Linear(19, 7, activation="gelu", dtype=t, rng=1),
        "MLP": lambda t: nn.MLP([19, 33, 8, 3], "tanh", dtype=t, rng=1),
        "MLP residual": lambda t: nn.Sequential(nn.Residual(nn.Linear(19, 19, dtype=t, rng=2))),
        "LayerNorm": lambda t: nn.LayerNorm(19, dtype=t),
        "RMSNorm": lambda t: nn.RMSNorm(19, dtype=t),
        "Dropout": lambda t: nn.Dropout(0.3, rng=4),
        "PReLU": lambda t: nn.PReLU(19, dtype=t),
        "FeedForward": lambda t: nn.FeedForward(19, 40, "silu", dropout=0.1, dtype=t, rng=1),
        "PositionalEncoding": lambda t: nn.PositionalEncoding(
            19, 50, kind="learned", dtype=t, rng=1
        ),
        "sinusoidal": lambda t: nn.PositionalEncoding(19, 50, dtype=t),
        "MultiHeadAttention": lambda t: nn.MultiHeadAttention(19, 1, dtype=t, rng=1),
    }
    plain = ("GELU", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softmax", "LogSoftmax", "Softplus")
    for name in (*plain, "Tanh"):
        flat[name] = lambda t, name=name: getattr(nn, name)()
    for name, make in flat.items():
        yield f"layer {name}", simple(make, 3, 11, 19)

    def embedding(data):
        layer = nn.Embedding(13, 9, padding_idx=2, scale=3.0, dtype=data.dtype, rng=1)
        ids = data.ids(13, 4, 5)
        y, ctx = layer.forward(ids)
        layer.backward(data(*y.shape), ctx)
        return weights(layer), y, gradients(layer)

    def add_norm(data):
        layer = nn.AddNorm(19, 0.2, with_sum=True, dtype=data.dtype, rng=1)
        return grown(layer, data, data(3, 11, 19), data(3, 11, 19))

    yield from (("layer Embedding", embedding), ("layer AddNorm", add_norm))
    for options in ({}, {"norm_first": True, "norm": "rms", "rotary": True, "n_kv_heads": 1}):
        for name in ("TransformerEncoder", "TransformerDecoder"):

            def stack(data, name=name, options=options):
                make = getattr(nn, name)
                how = {"dropout": 0.1, "activation": "gelu", "dtype": data.dtype, "rng": 1}
                layer = make(2, 16, 2, 40, **how, **options)
                memory = (data(3, 6, 16),) if name == "TransformerDecoder" else ()
                return grown(layer, data, data(3, 9, 16), *memory)

            yield f"layer {name} {sorted(options)}", stack

    def frozen(data):
        mlp, x = nn.MLP([17, 64, 33, 6], "gelu", dtype=data.dtype, rng=3), data(150, 17)
        encoder = nn.TransformerEncoder(2, 16, 2, 40, norm_first=True, dtype=data.dtype, rng=1)
        tokens, lengths = data(3, 9, 16), np.array([4, 9, 1])
        run = encoder.freeze()
        return mlp(x), mlp(x[:1]), mlp.freeze()(x), run(tokens), run(tokens, lengths=lengths)

    yield "frozen", frozen


def runs():
    optimizers = {
        "SGD": {"momentum": 0.9, "nesterov": True},
        "Adam": {},
        "AdamW": {},
        "RMSprop": {"momentum": 0.5, "centered": True},
        "Adagrad": {},
    }
    for name, how in optimizers.items():

        def fit(data, name=name, how=how):
            x, y = data(200, 12), data.ids(5, 200)
            model = nn.MLP([12, 40, 40, 5], "relu", dtype=data.dtype, rng=0)
            params = model.parameters()
            optimizer = getattr(optim, name)(params, 0.01, **how)
            ema = optim.ExponentialMovingAverage(params, 0.9)
            more = {"epochs": 3, "seed": 1, "verbose": 0, "clip_norm": 1.0, "ema": ema}
            history = train.fit(model, x, y, optimizer=optimizer, batch_size=32, **more)
            return history.history["loss"], weights(model), model(x)

        yield f"fit MLP {name}", fit

    for position, norm in (("learned", "layer"), ("rotary", "rms")):

        def language(data, position=position, norm=norm):
            how = {"position": position, "norm": norm, "dropout": 0.1, "dtype": data.dtype}
            lm = models.TransformerLM(29, 32, 4, 2, 40, n_kv_heads=2, rng=0, **how)
            optimizer = optim.AdamW(lm.parameters(), 1e-3)
            losses = []
            for _ in range(4):
                ids = data.ids(29, 4, 25)
                logits, ctx = lm.forward(ids[:, :-1])
                loss, dlogits = nn.cross_entropy(logits.reshape(-1, 29), ids[:, 1:].reshape(-1))
                lm.zero_grad()
                lm.backward(dlogits.reshape(logits.shape), ctx)
                losses.append((loss, optim.clip_grad_norm(lm.parameters(), 1.0)))
                optimizer.step()
            prompts = [data.ids(29, 5), data.ids(29, 9)]
            greedy = models.generate(lm, prompts, 12, temperature=0.0)
            sampled = models.generate(lm, prompts, 12, temperature=0.9, top_k=9, seed=3)
            frozen = models.generate(lm.freeze(), prompts, 12, temperature=0.0)
            return losses, weights(lm), lm(ids), greedy, sampled, frozen

        yield f"language model {position}", language

    def translate(data):
        how = {"d_ff": 40, "dropout": 0.1, "dtype": data.dtype, "rng": 0}
        model = models.Seq2SeqTransformer(13, None, 16, 2, 2, **how)
        src, tgt, lengths = data.ids(13, 3, 8), data.ids(13, 3, 6), np.array([8, 3, 5])
        logits, ctx = model.forward(src, tgt, lengths)
        model.zero_grad()
        model.backward(data(*logits.shape), ctx)
        cache = model.new_cache(src, lengths, max_len=9)
        found = models.beam_search(model, cache, bos=2, eos=3, max_len=9, beams=3, n_best=2)
        found = [[(h.tokens, h.score) for h in beam] for beam in found]
        return logits, gradients(model), model(src, tgt, lengths), found

    yield "translation", translate


GROUPS = (layers, runs)
