"""Frozen Transformers: the model's output from Python, from C's side by ctypes, and from many threads."""

import ctypes
import gc
import threading

import numpy as np
import pytest

import fastnn
from fastnn import capi, models, nn
from fastnn.kernels import PlanState, TransformerPlan

REALS = [np.float32, np.float64]
CHOICES = {
    "gpt2": {},
    "llama": {"position": "rotary", "norm": "rms", "bias": False, "n_kv_heads": 2, "d_ff": 40},
    "sinusoidal": {"position": "sinusoidal", "activation": "gelu_tanh", "tie_weights": False},
}


def varied(model):
    """The model with all parameters drawn anew, so that none is 0 or 1."""
    rng = np.random.default_rng(7)
    for p in model.parameters():
        p.data[...] = rng.normal(0.1, 0.3, p.data.shape)
    return model


def language_model(real=np.float64, **how):
    return varied(models.TransformerLM(50, 24, 4, 2, 300, dtype=real, rng=0, **how))


def ids_of(*shape):
    return np.random.default_rng(3).integers(0, 50, shape)


def assert_close(y, want):
    limit = 1e-4 if y.dtype == np.float32 else 1e-12
    assert y.dtype == want.dtype
    np.testing.assert_allclose(y, want, rtol=0, atol=limit * np.abs(want).max())


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("choice", CHOICES)
def test_steps_equal_the_model(choice, real):
    """A long prompt, which goes through in chunks, then single tokens and a few at a time."""
    model, ids = language_model(real, **CHOICES[choice]), ids_of(3, 300)
    plan, full = model.freeze(), None
    assert isinstance(plan, TransformerPlan)
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


def test_rows_are_selected_and_forgotten():
    model, ids = language_model(), ids_of(2, 40)
    plan, full = model.freeze(), model(ids)
    state = plan.new_cache(2, max_len=40)
    plan.step(ids[:, :30], state, [30, 20])
    state.select([1, 0, 1])
    assert len(state) == 3 and (state.lengths == [20, 30, 20]).all() and state.max_len == 40
    y = plan.step(np.stack([ids[1, 20:21], ids[0, 30:31], ids[1, 20:21]]), state)
    assert_close(y, full[[1, 0, 1], [20, 30, 20]])
    state.truncate(10)
    assert (state.lengths == 10).all()
    assert_close(plan.step(ids[[1, 0, 1], 10:15], state), full[[1, 0, 1], 14])


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


def pointer(x):
    kind = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int64": ctypes.c_int64}
    return x.ctypes.data_as(ctypes.POINTER(kind[x.dtype.name]))


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
    # what must not be: each leaves the state as it was
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


def test_refusals():
    model = language_model()
    plan, ids = model.freeze(100), ids_of(2, 5)
    state = plan.new_state(2, 8)
    plan.step(ids, state)
    for wrong, words in (
        (ids[:1], r"ids must be \(2, n\)"),
        (ids[0], r"ids must be \(2, n\)"),
        (ids[:, :0], r"ids must be \(2, n\)"),
        (ids, "row 0 holds 5 positions and 5 more"),
        (np.array([[1], [50]]), r"the id 50 at \(1, 0\)"),
        (np.array([[1], [-1]]), r"the id -1 at \(1, 0\)"),
    ):
        with pytest.raises(ValueError, match=words):
            plan.step(wrong, state)
    for lengths in ([0, 1], [1, 3], [1], [[1, 1]]):
        with pytest.raises(ValueError, match="lengths must be 2 integers from 1 to 2"):
            plan.step(ids[:, :2], state, lengths)
    with pytest.raises(TypeError, match="ids"):
        plan.step(np.ones((2, 1)), state)
    with pytest.raises(TypeError, match="lengths"):
        plan.step(ids[:, :2], state, [1.0, 2.0])
    with pytest.raises(ValueError, match="another plan"):
        model.freeze().step(ids, state)
    with pytest.raises(TypeError):
        plan.step(ids, None)
    with pytest.raises(TypeError, match="out is of float32"):
        plan.step(ids[:, :1], state, out=np.ones((2, 50), np.float32))
    with pytest.raises(ValueError, match=r"out must be \(2, 50\)"):
        plan.step(ids[:, :1], state, out=np.ones((2, 49)))
    assert (state.lengths == 5).all()
    for batch, room in ((0, 5), (1, 0), (1, 101)):
        with pytest.raises(ValueError, match="new_state"):
            plan.new_state(batch, room)
    for rows in ([], [2], [-1], [[0]]):
        with pytest.raises((ValueError, TypeError), match="rows"):
            state.select(rows)
    with pytest.raises(ValueError, match="truncate"):
        state.truncate(-1)
    with pytest.raises(ValueError, match="more than the model's"):
        model.freeze(301)
    with pytest.raises(TypeError, match="has `step`"):
        plan(np.ones((1, 2, 24)))
    encoder = nn.TransformerEncoder(1, 24, 4, 40, rng=0)
    with pytest.raises(TypeError, match="no steps"):
        PlanState(encoder.freeze(), 1)
    with pytest.raises(TypeError, match="x is of float64"):
        encoder.freeze()(np.ones((1, 2, 24)))
    for shape in ((2, 24), (1, 2, 23), (1, 11, 24)):
        with pytest.raises(ValueError, match="at most 10, 24"):
            encoder.freeze(10)(np.ones(shape, np.float32))
    for lengths in ([3], [-1], [1, 1]):
        with pytest.raises(ValueError, match="from 0 to 2"):
            encoder.freeze()(np.ones((1, 2, 24), np.float32), lengths=np.array(lengths))
    x = np.ones((1, 2, 24), np.float32)
    with pytest.raises(ValueError, match="out overlaps x"):
        encoder.freeze()(x, out=x)

    class Own(nn.TransformerEncoder):
        pass

    with pytest.raises(TypeError, match="Own has no place in a plan"):
        Own(1, 24, 4, 40, rng=0).freeze()
