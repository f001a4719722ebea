"""The model of the machine: what it finds, what replaces it, and that no bit depends on it."""

import json
import os
import subprocess
import sys

import pytest

import fastnn

MACHINE = fastnn.build_info()["machine"]

# Products, attention, norms, losses, plans and training steps, with arrays on both sides of the
# thresholds of small machines: prints the digest of each result at one and at three threads.
WORK = """
import hashlib, json, sys
import numpy as np
import fastnn
from fastnn import kernels as fk, models, nn, optim

digests = {}

def note(name, *arrays):
    bits = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
    digests[name] = bits.hexdigest()

def products(real, rng):
    for m, k, n in ((1, 700, 900), (3, 2500, 40), (64, 300, 9), (130, 700, 150), (6, 9000, 17),
                    (300, 64, 2100), (40, 40, 40)):
        a, b = rng.standard_normal((m, k)).astype(real), rng.standard_normal((k, n)).astype(real)
        note(f"product {m} {k} {n}", fk.matmul(a, b), fk.matmul(a, np.asfortranarray(b)),
             fk.matmul(np.asfortranarray(a), b), fk.matmul(a, fk.pack(b)))
    a, b = rng.standard_normal((5, 30, 20)).astype(real), rng.standard_normal((20, 33)).astype(real)
    note("stack", fk.matmul(a, b))

def rows(real, rng):
    x, dy = (rng.standard_normal((700, 257)).astype(real) for _ in range(2))
    w = rng.standard_normal(257).astype(real)
    stats, dw, db = np.empty((700, 3), real), np.zeros_like(w), np.zeros_like(w)
    y = fk.layer_norm(x, w, w, stats=stats)
    note("layer norm", y, stats, fk.layer_norm_backward(dy, x, stats, w, dweight=dw, dbias=db), dw)
    note("softmax", fk.softmax(x), fk.softmax_backward(dy, fk.softmax(x)))
    note("activations", fk.gelu(x), fk.gelu_backward(dy, x), fk.relu(x), fk.tanh(x))
    labels = rng.integers(0, 257, 700)
    for name, found in (("cross entropy", fk.cross_entropy(x, labels)), ("mse", fk.mse(x, dy))):
        note(name, *found)
    note("norm", np.float64(fk.frobenius_norm(x)))
    note("embedding", fk.embedding(rng.integers(0, 700, 2000), x))

def attention(real, rng):
    q, k, v, do = (rng.standard_normal((2, 3, 90, 40)).astype(real) for _ in range(4))
    o, lse = fk.attention(q, k, v, causal=True, return_lse=True)
    note("attention", o, *fk.attention_backward(do, q, k, v, o, lse, causal=True))
    note("decode", fk.attention(q[:, :, :1], k, v))

def networks(real, rng):
    x, labels = rng.standard_normal((300, 70)).astype(real), rng.integers(0, 10, 300)
    model = nn.MLP([70, 190, 130, 10], activation="gelu", dtype=real, rng=0)
    note("plan", model.freeze()(x))
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(3):
        y, ctx = model.forward(x)
        loss, dy = nn.cross_entropy(y, labels)
        optimizer.zero_grad()
        model.backward(dy, ctx)
        optimizer.step(max_norm=1.0)
    note("training", *(p.data for p in model.parameters()))

for real in (np.float32, np.float64):
    for threads in (1, 3):
        with fastnn.num_threads(threads):
            for part in (products, rows, attention, networks):
                part(real, np.random.default_rng(0))
        name = f"{np.dtype(real).name}, {threads} threads"
        digests = {(key if "," in key else f"{key}, {name}"): v for key, v in digests.items()}
print(json.dumps([fastnn.build_info()["machine"], digests]))
"""
VARIABLES = ("FASTNN_CACHE_SIZES", "FASTNN_FMA_PER_CYCLE")
MODELS = {
    "found": {},
    "tiny": {"FASTNN_CACHE_SIZES": "16K,64K,256K", "FASTNN_FMA_PER_CYCLE": "4"},
    "Zen 4": {"FASTNN_CACHE_SIZES": "32K,1M,32M", "FASTNN_FMA_PER_CYCLE": "16"},
    "Sapphire Rapids": {"FASTNN_CACHE_SIZES": "48K,2M,105M", "FASTNN_FMA_PER_CYCLE": "32"},
    "huge": {"FASTNN_CACHE_SIZES": "1M,64M,2G", "FASTNN_FMA_PER_CYCLE": "128"},
}


def imported(code, **env):
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_no_bit_depends_on_the_machine():
    found = {}
    for name, env in MODELS.items():
        done = imported(WORK, **env)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    machines = [json.dumps(machine["choices"]) for machine, _ in found.values()]
    assert len(set(machines)) >= len(MODELS) - 1, "forced models made no other choices"
    _, expected = found["found"]
    assert len(expected) >= 60
    for name, (_, digests) in found.items():
        different = [key for key in expected if digests[key] != expected[key]]
        assert not different, f"{name}: {different}"
    for key, digest in expected.items():
        assert digest == expected[key.replace("3 threads", "1 threads")], key


def test_what_is_found():
    assert 1 <= MACHINE["cores"] <= (os.cpu_count() or 1)
    assert 0 < MACHINE["l1"] <= MACHINE["l2"] <= MACHINE["l3"]
    assert MACHINE["vector_bytes"] in (16, 32, 64)
    vectors = MACHINE["fma_per_cycle"] / (MACHINE["vector_bytes"] / 4)
    assert vectors in (0.5, 1, 2, 4) or MACHINE["fma_source"] == "FASTNN_FMA_PER_CYCLE"
    assert all(value > 0 for value in MACHINE["choices"].values())


def test_choices_follow_from_the_model():
    code = "import fastnn, json; print(json.dumps(fastnn.build_info()['machine']))"
    zen4, huge = (json.loads(imported(code, **MODELS[n]).stdout) for n in ("Zen 4", "huge"))
    assert (zen4["l1"], zen4["l2"], zen4["l3"]) == (32 << 10, 1 << 20, 32 << 20)
    assert (zen4["caches_source"], zen4["fma_source"]) == VARIABLES
    assert zen4["choices"]["block_a"] == 1 << 19 and zen4["choices"]["streamed"] == 8 << 20
    assert huge["choices"]["flops_grain"] == 8 * zen4["choices"]["flops_grain"]
    assert huge["choices"]["streamed_rows"] == 2 << 30


@pytest.mark.parametrize("text", ["?", "0", "-16", "nan", "inf", "1e9", "16,32"])
def test_nonsense_is_refused(text):
    done = imported("import fastnn", FASTNN_FMA_PER_CYCLE=text)
    assert done.returncode == 1
    assert f"ImportError: FASTNN_FMA_PER_CYCLE={text} must be the float32 multiply-adds" in (
        done.stderr
    )
    assert imported("import fastnn", FASTNN_CACHE_SIZES=text).returncode == 1
    assert imported("import fastnn", FASTNN_CACHE_SIZES="", FASTNN_FMA_PER_CYCLE="").returncode == 0
