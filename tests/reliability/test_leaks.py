"""Memory after thousands of calls: a process grows by less than 8 MiB after a warm-up."""

import gc
import os

import numpy as np
import pytest

import fastnn
from fastnn import models, nn, optim
from tests.nn.layers import LAYERS

from . import common

pytestmark = common.linux

MOST = 8 << 20


def resident():
    """Return the resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grows_little(call, times, warm_up=0.1):
    """Repeat a call, first to fill pool and caches, then to check that memory stays the same."""
    for _ in range(max(10, round(times * warm_up))):
        call()
    gc.collect()
    before = resident()
    for _ in range(times):
        call()
    gc.collect()
    grown = resident() - before
    assert grown < MOST, f"{times} calls hold {grown:,} bytes more"


@pytest.fixture(autouse=True)
def one_thread():
    with fastnn.num_threads(1):
        yield


def test_kernels(rng):
    """Small results of malloc, and results of the pool."""
    a, b = (rng.normal(size=(n, n)).astype(np.float32) for n in (20, 90))
    q = rng.normal(size=(1, 2, 9, 8)).astype(np.float32)

    def call():
        fastnn.matmul(a, a, activation="gelu")
        fastnn.relu(b)
        fastnn.softmax(a)
        fastnn.attention(q, q, q, causal=True)
        fastnn.matmul(a, fastnn.pack(a))

    grows_little(call, common.count(10_000))


def test_errors_of_kernels(rng):
    """A refused call frees all memory that it took."""
    a = rng.normal(size=(90, 90)).astype(np.float32)
    calls = [
        lambda: fastnn.matmul(a, a[:5]),
        lambda: fastnn.relu(a, out=a[:3]),
        lambda: fastnn.softmax(a.astype(np.int64)),
        lambda: fastnn.cross_entropy(a, np.full(90, 90)),
        lambda: fastnn.layer_norm(a, a[0, :5], a[0]),
        lambda: fastnn.attention(a, a, a),
    ]

    def call():
        for wrong in calls:
            with pytest.raises((TypeError, ValueError, IndexError)):
                wrong()

    grows_little(call, common.count(2000))


def backpropagate(layer, inputs):
    y, ctx = layer.forward(*inputs)
    layer.backward(tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y), ctx)
    layer(*inputs)


def test_layers():
    """Every layer and model, forward, backward and inference."""
    made = [make() for make in LAYERS.values()]

    def call():
        for layer, inputs in made:
            backpropagate(layer, inputs)

    grows_little(call, common.count(300))


def test_layers_that_are_made_and_dropped():
    def call():
        for make in LAYERS.values():
            backpropagate(*make())

    grows_little(call, common.count(60))


def test_plans_and_states(rng):
    model = models.TransformerLM(17, 16, 2, 2, 64, rng=0)
    ids, x = rng.integers(0, 17, (2, 9)), rng.normal(size=(40, 20)).astype(np.float32)
    plan, rows, mlp = model.freeze(), nn.MLP((20, 30, 5), rng=0).freeze(), nn.MLP((20, 9), rng=0)

    def call():
        state = plan.new_state(2)
        plan.step(ids, state)
        plan.step(ids[:, :1], state)
        rows(x)
        mlp.freeze()(x)

    grows_little(call, common.count(3000))


def test_files(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    nn.TransformerEncoder(1, 8, 2, 16, rng=0).save(path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:-100])

    def call():
        fastnn.load(path)
        with pytest.raises(ValueError):
            fastnn.load(broken)

    grows_little(call, common.count(500))


def test_training(rng):
    """Steps of training, as `fit` does them and one by one."""
    x = rng.normal(size=(200, 20)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = nn.Sequential(nn.MLP((20, 50, 2), rng=0), nn.Dropout(0.1, rng=0))
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    def call():
        logits, ctx = model.forward(x)
        _, dlogits = nn.cross_entropy(logits, y)
        model.parameters().zero_grad()
        model.backward(dlogits, ctx)
        optimizer.step(max_norm=1.0)

    grows_little(call, common.count(1000))

    def fit():
        fastnn.fit(model, x, y, optimizer=optimizer, epochs=2, batch_size=50, verbose=0)

    grows_little(fit, common.count(100))
