"""Frozen Transformers: the model's output from Python, by address, and from many threads."""

import gc
import threading

import numpy as np
import pytest

import fastnn
from fastnn import capi, models, nn
from fastnn.kernels import Plan

from .plans import REALS, assert_close, ids_of, language_model, pointer, varied

CHOICES = {
    "gpt2": {},
    "llama": {"position": "rotary", "norm": "rms", "bias": False, "n_kv_heads": 2, "d_ff": 40},
    "sinusoidal": {"position": "sinusoidal", "activation": "gelu_tanh", "tie_weights": False},
}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("choice", CHOICES)
def test_steps_equal_the_model(choice, real):
    """A long prompt in chunks, then single tokens and a few at a time."""
    model, ids = language_model(real, **CHOICES[choice]), ids_of(3, 300)
    plan, full = model.freeze(), None
    assert isinstance(plan, Plan)
    full = model(ids)
    state = plan.new_state(3)
    for start, stop in ((0, 270), (270, 271), (271, 272), (272, 280), (280, 300)):
        assert_close(plan.step(ids[:, start:stop], state), full[:, stop - 1])
        assert (state.lengths == stop).all()


@pytest.mark.parametrize("choice", CHOICES)
def test_rows_of_unequal_lengths(choice):
    model, ids = language_model(**CHOICES[choice]), ids_of(3, 300)
    plan, full = model.freeze(), model(ids)
    state = plan.new_state(3)
    held = np.zeros(3, int)
    for lengths in ([5, 290, 131], [3, 1, 2], [1, 1, 1], [100, 4, 90]):
        lengths = np.array(lengths)
        padded = np.full((3, lengths.max()), -7)  # what a row does not bring is not read
        for b, n in enumerate(lengths):
            padded[b, :n] = ids[b, held[b] : held[b] + n]
        y = plan.step(padded, state, lengths)
        held += lengths
        assert (state.lengths == held).all()
        assert_close(y, full[range(3), held - 1])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_an_encoder(norm_first, causal, real):
    how = {"activation": "gelu", "norm_first": norm_first, "causal": causal, "rotary": causal}
    encoder = varied(nn.TransformerEncoder(2, 24, 4, 40, dtype=real, rng=0, **how))
    plan = encoder.freeze(50)
    x = np.random.default_rng(0).standard_normal((3, 37, 24)).astype(real)
    assert_close(plan(x), encoder(x))
    lengths = np.array([37, 5, 12])
    seen = np.arange(37) < lengths[:, None]
    assert_close(plan(x, lengths=lengths)[seen], encoder(x, lengths=lengths)[seen])
    assert (plan(np.asfortranarray(x)) == plan(x)).all()
    out = np.empty_like(x)
    assert plan(x, out=out) is out and (out == plan(x)).all()
    assert plan(x[:0]).shape == (0, 37, 24) and plan(x[:, :0]).shape == (3, 0, 24)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_same_bits_for_any_number_of_threads(threads):
    model, ids = models.TransformerLM(500, 256, 4, 2, 300, rng=0), ids_of(2, 290)
    plan = model.freeze()

    def run(n):
        with fastnn.num_threads(n):
            state = plan.new_state(2)
            return [plan.step(ids[:, a:b], state) for a, b in ((0, 280), (280, 281), (281, 290))]

    assert all((a == b).all() for a, b in zip(run(1), run(threads), strict=True))


def test_a_plan_is_frozen_and_lives_as_long_as_its_states():
    model, ids = language_model(), ids_of(1, 8)
    plan = model.freeze()
    want = plan.step(ids, plan.new_state())
    model.parameters().data[...] = 0
    state = plan.new_state()
    assert (plan.step(ids, state) == want).all()
    capsule = plan.capsule
    del plan, model
    gc.collect()
    assert (state.plan.step(ids, state.plan.new_state()) == want).all() and "fastnn.plan" in repr(
        capsule
    )


def test_threads_share_a_plan_with_states_of_their_own():
    plan, ids = language_model().freeze(), ids_of(8, 60)
    results = [None] * 8

    def run(i):
        state = plan.new_state()
        with fastnn.num_threads(1):
            results[i] = [plan.step(ids[i : i + 1, t : t + 1], state) for t in range(60)]

    workers = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(8):
        state = plan.new_state()
        for t in range(60):
            assert (plan.step(ids[i : i + 1, t : t + 1], state) == results[i][t]).all()


@pytest.mark.parametrize("real, suffix", [(np.float32, "f32"), (np.float64, "f64")])
def test_by_address(real, suffix):
    model, ids = language_model(real), ids_of(2, 9)
    plan = model.freeze()
    step, new_state, release, truncate = (
        capi.ctypes(name)
        for name in (f"plan_step_{suffix}", "plan_new_state", "state_release", "state_truncate")
    )
    state = new_state(plan.address, 2, 20)
    logits = np.zeros((2, 50), real)
    assert step(plan.address, state, pointer(ids), 9, None, pointer(logits)) == 0
    assert_close(logits, model(ids)[:, -1])
    # invalid calls: each leaves the state unchanged
    wrong = ids.copy()
    wrong[1, 8] = 50
    other = "f64" if suffix == "f32" else "f32"
    longer = np.zeros((2, 12), np.int64)
    none = np.array([1, 0])
    doubles = np.zeros((2, 50), np.float64 if suffix == "f32" else np.float32)
    mlp = nn.MLP((24, 3), dtype=real, rng=0).freeze()
    encoder = nn.TransformerEncoder(1, 24, 4, 40, dtype=real, rng=0).freeze()
    later, another = plan.new_state(2), language_model(real).freeze()
    run, encode = capi.ctypes(f"plan_run_{suffix}"), capi.ctypes(f"plan_encode_{suffix}")
    x = np.ones((2, 24), real)
    for status, want in (
        (step(None, state, pointer(ids), 9, None, pointer(logits)), 2),
        (step(plan.address, None, pointer(ids), 9, None, pointer(logits)), 2),
        (step(plan.address, state, None, 9, None, pointer(logits)), 2),
        (step(plan.address, state, pointer(ids), 9, None, None), 2),
        (step(plan.address, state, pointer(ids), 0, None, pointer(logits)), 2),
        (step(plan.address, state, pointer(ids), -1, None, pointer(logits)), 2),
        (step(plan.address, state, pointer(wrong), 9, None, pointer(logits)), 2),
        (step(plan.address, state, pointer(longer), 12, None, pointer(logits)), 2),
        (step(plan.address, state, pointer(ids), 9, pointer(none), pointer(logits)), 2),
        (step(another.address, state, pointer(ids), 9, None, pointer(logits)), 2),
        (step(mlp.address, later.address, pointer(ids), 9, None, pointer(logits)), 3),
        (step(encoder.address, later.address, pointer(ids), 9, None, pointer(logits)), 3),
        (
            capi.ctypes(f"plan_step_{other}")(
                plan.address, state, pointer(ids), 9, None, pointer(doubles)
            ),
            3,
        ),
        (run(plan.address, pointer(x), pointer(logits), 2), 3),
        (encode(plan.address, pointer(x), 1, 2, None, pointer(x)), 3),
        (encode(mlp.address, pointer(x), 1, 2, None, pointer(x)), 3),
        (encode(encoder.address, None, 1, 2, None, pointer(x)), 2),
        (encode(encoder.address, pointer(x), -1, 2, None, pointer(x)), 2),
        (encode(encoder.address, pointer(x), 2, 1, pointer(np.array([1, 2])), pointer(x)), 2),
        (truncate(None, 0), 2),
        (truncate(state, -1), 2),
        (release(None), 2),
    ):
        assert status == want
    for batch, room in ((0, 5), (1, 0), (1, 301), (-1, 5)):
        assert not new_state(plan.address, batch, room)
    assert not new_state(None, 1, 5) and not new_state(mlp.address, 1, 5)
    assert not new_state(encoder.address, 1, 5)
    address = plan.address
    del plan, later
    gc.collect()
    assert step(address, state, pointer(ids), 9, None, pointer(logits)) == 0  # the state holds it
    assert_close(logits, model(np.concatenate([ids, ids], axis=1))[:, -1])
    assert release(state) == 0
