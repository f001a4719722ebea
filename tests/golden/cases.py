"""Small models and runs of every kind that fastnn writes to files."""

from itertools import pairwise

import numpy as np

import fastnn
from fastnn import models, nn, optim
from fastnn.train import EarlyStopping, ModelCheckpoint

D, HEADS, HIDDEN = 4, 2, 6
ACTIVATIONS = (None, "relu", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "softplus")


def filled(model, seed=0):
    """The model with random values in every parameter, biases and norms too."""
    draw = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data[...] = draw.normal(0, 0.4, parameter.data.shape)
    return model


def reals(dtype, *shape):
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


def ids(*shape):
    return np.random.default_rng(8).integers(0, 11, shape)


def rows(dtype):
    """A Sequential of every layer of rows, with every option."""
    norms = [
        nn.LayerNorm(D, dtype=dtype),
        nn.LayerNorm(D, 1e-3, bias=False, dtype=dtype),
        nn.LayerNorm(D, affine=False, dtype=dtype),
        nn.RMSNorm(D, dtype=dtype),
        nn.RMSNorm(D, 1e-3, affine=False, dtype=dtype),
    ]
    functions = [nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh")]
    functions += [nn.Softplus(), nn.LeakyReLU(), nn.LeakyReLU(0.2), nn.Softmax(), nn.LogSoftmax()]
    functions += [nn.PReLU(dtype=dtype), nn.PReLU(D, dtype=dtype), nn.Dropout(), nn.Dropout(0.2)]
    shared = nn.Linear(D, D, activation="tanh", dtype=dtype)
    layers = [nn.Linear(5, D, bias=False, dtype=dtype), shared, *norms, *functions, shared]
    layers += [nn.Linear(D, D, activation=name, dtype=dtype) for name in ACTIVATIONS]
    layers += [nn.Residual(nn.Sequential(nn.LayerNorm(D, dtype=dtype), nn.ReLU()))]
    layers += [nn.MLP((D, 5, D), activation="gelu", dtype=dtype)]
    layers += [nn.Sequential(nn.Linear(D, 3, dtype=dtype), nn.Tanh())]
    return nn.Sequential(*layers), [reals(dtype, 6, 5)], {}


def tokens(dtype):
    """A Sequential of every layer of sequences, with every option."""
    block = {"activation": "gelu", "dropout": 0.1, "attention_dropout": 0.2, "eps": 1e-4}
    block |= {"n_kv_heads": 1, "rotary": True, "bias": False, "dtype": dtype}
    layers = [
        nn.Embedding(11, D, scale=2.0, padding_idx=0, dtype=dtype),
        nn.PositionalEncoding(D, 9, dropout=0.1, dtype=dtype),
        nn.PositionalEncoding(D, 9, kind="learned", dtype=dtype),
        nn.MultiHeadAttention(D, HEADS, dtype=dtype),
        nn.MultiHeadAttention(
            D, HEADS, n_kv_heads=1, bias=False, dropout=0.1, rotary=True, dtype=dtype
        ),
        nn.FeedForward(D, HIDDEN, dtype=dtype),
        nn.FeedForward(D, HIDDEN, "gelu", dropout=0.1, bias=False, dtype=dtype),
        nn.EncoderBlock(D, HEADS, HIDDEN, dtype=dtype),
        nn.EncoderBlock(D, HEADS, HIDDEN, norm_first=True, norm="rms", causal=True, **block),
    ]
    return nn.Sequential(*layers), [ids(2, 5)], {}


def two_inputs(kind):
    """A case of a layer called with x and a memory or residual."""

    def case(dtype):
        layer = kind(dtype)
        return layer, [reals(dtype, 2, 5, D), reals(dtype, 2, 5, D)[::-1].copy()], {}

    return case


def encoder(dtype, **options):
    model = nn.TransformerEncoder(2, D, HEADS, HIDDEN, dtype=dtype, **options)
    return model, [reals(dtype, 2, 5, D)], {"lengths": np.array([3, 5])}


def lm(dtype, **options):
    model = models.TransformerLM(11, D, HEADS, 2, 6, d_ff=HIDDEN, dtype=dtype, **options)
    return model, [ids(2, 6)], {}


def seq2seq(dtype, **options):
    sizes = {"n_layers": 1, "n_decoder_layers": 2, "d_ff": HIDDEN, "max_len": 9}
    model = models.Seq2SeqTransformer(11, d_model=D, n_heads=HEADS, dtype=dtype, **sizes, **options)
    return model, [ids(2, 5), ids(2, 6)], {"src_lengths": np.array([3, 5])}


# name -> dtype -> model, what it is called with, by position and by name
CASES = {
    "mlp": lambda dtype: (nn.MLP((5, 6, 3), dtype=dtype), [reals(dtype, 6, 5)], {}),
    "mlp-linear": lambda dtype: (nn.MLP((5, 3), None, dtype=dtype), [reals(dtype, 6, 5)], {}),
    "rows": rows,
    "tokens": tokens,
    "add-norm": two_inputs(lambda dtype: nn.AddNorm(D, dtype=dtype)),
    "add-norm-rms": two_inputs(
        lambda dtype: nn.AddNorm(D, 0.1, 1e-3, kind="rms", with_sum=True, bias=False, dtype=dtype)
    ),
    "cross-attention": two_inputs(
        lambda dtype: nn.MultiHeadAttention(D, HEADS, d_memory=D, dtype=dtype)
    ),
    "decoder-block": two_inputs(lambda dtype: nn.DecoderBlock(D, HEADS, HIDDEN, dtype=dtype)),
    "encoder": encoder,
    "encoder-options": lambda dtype: encoder(
        dtype, norm_first=True, final_norm=False, norm="rms", activation="silu", causal=True
    ),
    "decoder": two_inputs(
        lambda dtype: nn.TransformerDecoder(2, D, HEADS, HIDDEN, norm_first=True, dtype=dtype)
    ),
    "lm": lm,
    "lm-options": lambda dtype: lm(
        dtype,
        n_kv_heads=1,
        dropout=0.1,
        attention_dropout=0.2,
        bias=False,
        activation="relu",
        position="rotary",
        norm="rms",
        eps=1e-4,
        tie_weights=False,
    ),
    "seq2seq": seq2seq,
    "seq2seq-options": lambda dtype: seq2seq(
        dtype,
        tgt_vocab_size=11,
        attention_dropout=0.2,
        activation="gelu",
        norm_first=True,
        position="learned",
        tie_weights=False,
    ),
}

DTYPES = {"f32": np.float32, "f64": np.float64}


def outputs(model, args, named):
    """The outputs of the model, as a list."""
    found = model(*args, **named)
    return list(found) if isinstance(found, tuple) else [found]


def fit_on(model, path, dtype, epochs, resume=None):
    """A run with every part that has a state, written to `path` in the middle of each epoch."""
    draw = np.random.default_rng(3)
    x = draw.normal(size=(40, 5)).astype(dtype)
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)
    optimizer = optim.AdamW(model.parameters(), lr=optim.schedules.warmup_cosine(0.02, 2, 15))
    callbacks = [EarlyStopping("val_loss", patience=9)]
    if path is not None:
        callbacks.append(ModelCheckpoint(path, save_freq=3))
    average = optim.ExponentialMovingAverage(model.parameters(), 0.9)
    history = fastnn.fit(
        model,
        x,
        y,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=8,
        validation_data=(x[:10], y[:10]),
        clip_norm=1.0,
        ema=average,
        callbacks=callbacks,
        seed=0,
        resume=resume,
        verbose=0,
    )
    return history, model.parameters().data.copy(), average.average.copy()


def fit_model(dtype):
    layers = [nn.Linear(n, m, activation="relu", dtype=dtype) for n, m in pairwise((5, 6, 6))]
    return nn.Sequential(*layers, nn.Dropout(0.2, rng=0), nn.Linear(6, 3, dtype=dtype))


LM = "train lm --text text --output lm.safetensors --n_layer 1 --n_head 2 --n_embd 8"
LM += " --block_size 8 --batch_size 2 --eval_iters 1 --eval_interval 4 --dropout 0.1 --threads 1"
LM += " --lr_decay_iters 100 --warmup_iters 2 --min_lr 0.001 --max_iters {}"
TRANSLATE = "train translate --src en --tgt de --output translate.safetensors --d-model 8"
TRANSLATE += " --n-heads 2 --n-layers 1 --d-ff 12 --max-tokens 60 --vocab-size 40 --warmup 2"
TRANSLATE += " --threads 1 --updates {}"
TABLES = {
    "table": "train csv rows.csv --target kind --hidden 6 --dropout 0.1 --epochs 3",
    "table-regression": "train csv rows.csv --target length --hidden 6 5 --epochs 3",
}
# Iterations of the run in the file, and of the run resumed from it.
FIRST, ALL = 4, 8


def write_texts(folder):
    """The training data of the commands."""
    (folder / "text").write_text("fünf elf zwölf\n" * 30, "utf-8")
    (folder / "en").write_text("five\neleven twelve\n" * 20, "utf-8")
    (folder / "de").write_text("fünf\nelf zwölf\n" * 20, "utf-8")
    lines = ["kind,length,color,width"]
    for i in range(40):
        color = ("red", "green", "blue")[i % 3]
        lines.append(f"{'ab'[i % 2]},{i * 1.5 + i % 2},{color},{'' if i == 5 else 40 - i}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
