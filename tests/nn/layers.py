"""One of every layer and model for tests, in float64 and with dropout if supported."""

import numpy as np

from fastnn import models, nn

D = 4
F64 = {"dtype": np.float64}
HEADS = {"n_heads": 2, "rng": 0, **F64}
BLOCK = {"dropout": 0.5, "attention_dropout": 0.5, **HEADS}


def rows(seed=0):
    """Vectors (2, 3, D)."""
    return np.random.default_rng(seed).normal(size=(2, 3, D))


def ids():
    return np.array([[1, 0, 2], [3, 1, 4]])


def one(make):
    return lambda: (make(), (rows(),))


def two(make):
    return lambda: (make(), (rows(), rows(1)))


def three(make):
    return lambda: (make(), (rows(), rows(1), rows(2)))


def lora(make):
    """Branches beside all linear layers, and everything trained."""

    def made():
        layer, inputs = make()
        model = nn.LoRA(layer, 2, 3.0, dropout=0.5, rng=0)
        for i, branch in enumerate(model.branches.values()):
            branch.b.data = np.random.default_rng(i).normal(size=branch.b.data.shape)
        model.set_requires_grad(True)
        return model, inputs

    return made


# name -> function that makes (layer, inputs of forward)
LAYERS = {
    "Linear": one(lambda: nn.Linear(D, 3, activation="tanh", rng=0, **F64)),
    "ReLU": one(nn.ReLU),
    "Tanh": one(nn.Tanh),
    "Sigmoid": one(nn.Sigmoid),
    "SiLU": one(nn.SiLU),
    "GELU": one(nn.GELU),
    "Softplus": one(nn.Softplus),
    "LeakyReLU": one(nn.LeakyReLU),
    "PReLU": one(lambda: nn.PReLU(D, **F64)),
    "Softmax": one(nn.Softmax),
    "LogSoftmax": one(nn.LogSoftmax),
    "Dropout": one(lambda: nn.Dropout(0.5, rng=0)),
    "LayerNorm": one(lambda: nn.LayerNorm(D, **F64)),
    "RMSNorm": one(lambda: nn.RMSNorm(D, **F64)),
    "AddNorm": two(lambda: nn.AddNorm(D, 0.5, rng=0, **F64)),
    "AddNorm, with the sum": two(lambda: nn.AddNorm(D, 0.5, with_sum=True, rng=0, **F64)),
    "Embedding": lambda: (nn.Embedding(6, D, rng=0, **F64), (ids(),)),
    "PositionalEncoding": one(
        lambda: nn.PositionalEncoding(D, 8, kind="learned", dropout=0.5, rng=0, **F64)
    ),
    "MultiHeadAttention": one(lambda: nn.MultiHeadAttention(D, dropout=0.5, **HEADS)),
    "DotProductAttention": three(lambda: nn.DotProductAttention(0.5, rng=0)),
    "AdditiveAttention": three(lambda: nn.AdditiveAttention(D, D, 5, 0.5, rng=0, **F64)),
    "FeedForward": one(lambda: nn.FeedForward(D, 6, dropout=0.5, rng=0, **F64)),
    "FeedForward, gated": one(
        lambda: nn.FeedForward(D, 6, "silu", gated=True, dropout=0.5, rng=0, **F64)
    ),
    "EncoderBlock": one(lambda: nn.EncoderBlock(D, d_ff=6, **BLOCK)),
    "DecoderBlock": two(lambda: nn.DecoderBlock(D, d_ff=6, **BLOCK)),
    "TransformerEncoder": one(lambda: nn.TransformerEncoder(2, D, d_ff=6, **BLOCK)),
    "TransformerEncoder, norm first": one(
        lambda: nn.TransformerEncoder(2, D, d_ff=6, norm_first=True, **BLOCK)
    ),
    "TransformerEncoder, norms of branches": one(
        lambda: nn.TransformerEncoder(
            2, D, d_ff=6, placement="sandwich", gated=True, qk_norm="head", window=2, **BLOCK
        )
    ),
    "TransformerDecoder": two(lambda: nn.TransformerDecoder(2, D, d_ff=6, **BLOCK)),
    "Residual": one(lambda: nn.Residual(nn.Dropout(0.5, rng=0))),
    "MLP": lambda: (nn.MLP((D, 5, 3), rng=0, **F64), (rows()[0],)),
    "Sequential": one(lambda: nn.Sequential(nn.Linear(D, D, rng=0, **F64), nn.Dropout(0.5, rng=0))),
    "TransformerLM": lambda: (
        models.TransformerLM(6, D, n_layers=1, max_len=4, dropout=0.5, **HEADS),
        (ids(),),
    ),
    "TransformerEncoderModel": lambda: (
        models.TransformerEncoderModel(6, D, 2, 1, 6, 4, dropout=0.5, rng=0, **F64),
        (ids(),),
    ),
    "TransformerEncoderModel, as ModernBERT": lambda: (
        models.TransformerEncoderModel(
            6,
            D,
            2,
            2,
            6,
            4,
            n_types=0,
            placement="pre",
            gated=True,
            bias=False,
            rotary=True,
            window=[None, 2],
            attention_norm=[False, True],
            dropout=0.5,
            rng=0,
            **F64,
        ),
        (ids(),),
    ),
    "TransformerEncoderModel, as MPNet": lambda: (
        models.TransformerEncoderModel(
            6, D, 2, 2, 6, 4, n_types=0, buckets=4, attention_dropout=0.5, rng=0, **F64
        ),
        (ids(),),
    ),
    "PooledEncoder": lambda: (
        models.PooledEncoder(
            models.TransformerEncoderModel(6, D, 2, 1, 6, 4, dropout=0.5, rng=0, **F64)
        ),
        (np.array([[1, 0, 2], [3, 1, -1]]),),
    ),
    "Seq2SeqTransformer": lambda: (
        models.Seq2SeqTransformer(6, None, D, n_layers=1, dropout=0.5, **HEADS),
        (ids(), ids()),
    ),
}
LAYERS |= {
    "LoRA": lora(LAYERS["EncoderBlock"]),
    "LoRA, of a layer": lora(LAYERS["Linear"]),
    "LoRA, of gated units": lora(LAYERS["FeedForward, gated"]),
    "LoRA, of a language model": lora(LAYERS["TransformerLM"]),
}


def test_every_layer_is_in_the_table():
    public = {**vars(nn), **vars(models)}
    kinds = {
        name
        for name in [*nn.__all__, *models.__all__]
        if isinstance(public[name], type) and issubclass(public[name], nn.Module)
    }
    assert kinds - {"Module", "TokenModel"} == {name.split(",")[0] for name in LAYERS}
