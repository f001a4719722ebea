"""A published sentence encoder against its equations in float64.

FASTNN_MINILM is the folder of all-MiniLM-L6-v2: config.json, model.safetensors, tokenizer.json.
"""

import json
import os
from math import erf
from pathlib import Path

import numpy as np
import pytest

from fastnn import models
from fastnn.data import load_text
from fastnn.files.tensors import mapped

from .pretrained_models import FOLDER

TEXTS = [
    "A man is eating food.",
    "The quarterly report shows rising costs for energy and transport.",
    "A man is eating a piece of bread.",
    "",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 20,
    "The girl is carrying a baby.",
]


def layer_norm(x, arrays, name, eps):
    d = x - x.mean(-1, keepdims=True)
    y = d / np.sqrt((d**2).mean(-1, keepdims=True) + eps)
    return y * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]


def bert(arrays, config, ids):
    """Hidden vectors (T, d) for ids (T,) by the equations of BERT, in float64."""
    eps, n_heads = config["layer_norm_eps"], config["num_attention_heads"]
    gelu = np.vectorize(lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), otypes=[float])
    table = "embeddings.{}_embeddings.weight".format

    def dense(x, name):
        return x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]

    x = arrays[table("word")][ids] + arrays[table("position")][: len(ids)]
    x = layer_norm(x + arrays[table("token_type")][0], arrays, "embeddings.LayerNorm", eps)
    for i in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{i}"
        q, k, v = (
            dense(x, f"{name}.attention.self.{part}").reshape(len(x), n_heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        heads = (weights @ v).swapaxes(0, 1).reshape(x.shape)
        out = dense(heads, f"{name}.attention.output.dense")
        x = layer_norm(x + out, arrays, f"{name}.attention.output.LayerNorm", eps)
        out = dense(gelu(dense(x, f"{name}.intermediate.dense")), f"{name}.output.dense")
        x = layer_norm(x + out, arrays, f"{name}.output.LayerNorm", eps)
    return x


def read(folder):
    found = mapped(folder / "model.safetensors")
    arrays = {name: x.read().astype(float) for name, x in found.items() if x.dtype != "int64"}
    return arrays, json.loads((folder / "config.json").read_text())


def test_the_equations_are_those_of_transformers():
    arrays, config = read(FOLDER / "bert")
    expected = np.load(FOLDER / "bert" / "expected.npz")
    for ids, n, hidden in zip(*(expected[k] for k in ("ids", "lengths", "hidden")), strict=True):
        np.testing.assert_allclose(bert(arrays, config, ids[:n]), hidden[:n], atol=2e-6)


@pytest.mark.skipif("FASTNN_MINILM" not in os.environ, reason="FASTNN_MINILM is not set")
def test_vectors_of_a_published_model():
    folder = Path(os.environ["FASTNN_MINILM"])
    encoder = models.SentenceEncoder.load(folder)
    arrays, config = read(folder)
    found = encoder.encode(TEXTS)
    for vector, ids in zip(found, encoder.tokenize(TEXTS), strict=True):
        mean = bert(arrays, config, ids).mean(axis=0)
        assert np.abs(vector - mean / np.linalg.norm(mean)).max() <= 1e-6
    assert found[0] @ found[2] > 0.7 > 0.3 > found[0] @ found[1]


@pytest.mark.skipif("FASTNN_MINILM" not in os.environ, reason="FASTNN_MINILM is not set")
@pytest.mark.parametrize(
    ("form", "least"), [("bf16", 0.9999), ("int8_g32", 0.9995), ("int8", 0.998)]
)
def test_vectors_with_weights_of_fewer_bits(form, least, tmp_path):
    """int8 rounds the activations, too: docs/low-precision.md has the table."""
    folder = Path(os.environ["FASTNN_MINILM"])
    texts = [text for text in speeches(64) if text]
    exact = models.SentenceEncoder.load(folder).encode(texts)
    encoder = models.SentenceEncoder.load(folder, weights=form)
    found = encoder.encode(texts)
    assert (found * exact).sum(axis=1).mean() >= least
    if form == "bf16":
        encoder.save(tmp_path / "m", weights=form)
        size = os.path.getsize(tmp_path / "m" / "model.safetensors")
        assert size < 0.51 * os.path.getsize(folder / "model.safetensors")
        again = models.SentenceEncoder.load(tmp_path / "m", weights=form).encode(texts)
        assert (again * exact).sum(axis=1).mean() >= least


def speeches(n):
    """Speeches of Romeo and Juliet."""
    parts = load_text().split("\n\n")
    return [" ".join(part.splitlines()[1:]) for part in parts][:n]
