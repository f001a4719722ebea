"""Frozen Transformers: the model's output from Python, by address, and from many threads."""

import ctypes
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn import capi, models, nn
from fastnn.kernels import Plan, PlanState

from ..golden.cases import CASES

REALS = [np.float32, np.float64]
CHOICES = {
    "gpt2": {},
    "llama": {"position": "rotary", "norm": "rms", "bias": False, "n_kv_heads": 2, "d_ff": 40},
    "sinusoidal": {"position": "sinusoidal", "activation": "gelu_tanh", "tie_weights": False},
}


def varied(model):
    """The model with all parameters redrawn, so that none is 0 or 1."""
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
    ):
        with pytest.raises(ValueError, match=words):
            plan.step(wrong, state)
    for wrong in (50, -1):
        with pytest.raises(IndexError, match=rf"the id {wrong} at \(1, 0\)"):
            plan.step(np.array([[1], [wrong]]), state)
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
    for batch, room in ((-1, 5), (1, 0), (1, 101)):
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
        def forward(self, x):
            return 2 * x, None

    with pytest.raises(TypeError, match="Own has no `lower`"):
        Own(1, 24, 4, 40, rng=0).freeze()
    with pytest.raises(TypeError, match="takes no memory"):
        plan.new_state(1, memory=np.ones((1, 2, 24)))
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        pickle.dumps(state)


def test_a_state_in_use_is_refused_by_other_threads():
    """Eight threads on one state: each call works or reports that the state is in use."""
    plan, ids = language_model().freeze(), ids_of(4, 200)
    state, errors, done = plan.new_state(4), [], []
    start = threading.Barrier(8)

    def run(i):
        start.wait()
        for _ in range(60):
            try:
                if i % 4 == 0:
                    plan.step(ids[: len(state), :20], state)
                elif i % 4 == 1:
                    state.truncate(0)
                elif i % 4 == 2:
                    state.select(range(len(state)))
                else:
                    assert len(state.lengths) == 4
                done.append(i)
            except RuntimeError as error:
                errors.append(str(error))
            except ValueError as error:  # steps of several threads filled the state
                assert "too many" in str(error)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(run, i) for i in range(8)]:
            future.result()
    assert all("in use by another thread" in error for error in errors)
    assert done
    state.truncate(0)
    np.testing.assert_array_equal(
        plan.step(ids[:, :9], state), plan.step(ids[:, :9], plan.new_state(4))
    )


def test_a_state_in_use_is_refused():
    """Every method, from Python and C, called within a step."""
    plan, ids = language_model().freeze(), ids_of(2, 9)
    state, logits = plan.new_state(2), np.zeros((2, 50))
    step, truncate = capi.ctypes("plan_step_f64"), capi.ctypes("state_truncate")
    seen = []

    class Output(np.ndarray):
        @property
        def shape(self):  # a step asks for it
            for call in (
                lambda: plan.step(ids, state),
                lambda: state.truncate(0),
                lambda: state.select([0]),
                lambda: state.lengths,
            ):
                with pytest.raises(RuntimeError, match="in use by another thread"):
                    call()
            seen.append(truncate(state.address, 0))
            seen.append(step(plan.address, state.address, pointer(ids), 9, None, pointer(logits)))
            return np.shape(self.view(np.ndarray))

    y = plan.step(ids, state, out=np.zeros((2, 50)).view(Output))
    assert set(seen) == {2} and (state.lengths == 9).all()
    assert (y == plan.step(ids, plan.new_state(2))).all()


def test_select_may_be_called_from_inside_of_select():
    plan, ids = language_model().freeze(), ids_of(3, 30)
    state = plan.new_state(3)
    plan.step(ids, state)

    class Rows:
        def __array__(self, dtype=None, copy=None):
            state.select([0])
            return np.array([0])

    state.select(Rows())
    assert len(state) == 1 and (state.lengths == [30]).all()
    want = plan.new_state()
    plan.step(ids[:1], want)
    np.testing.assert_array_equal(plan.step(ids[:1, :1], state), plan.step(ids[:1, :1], want))
    with pytest.raises(ValueError, match="rows must be integers from 0 to 0"):
        state.select([1])


def test_the_address_of_a_state_stays_the_same():
    plan, ids = language_model().freeze(), ids_of(3, 30)
    state = plan.new_state(3, 60)
    address = state.address
    for rows in ([2, 0], [1, 1, 0, 0, 1], [4]):
        plan.step(ids[: len(state)][:, :5] if len(state) <= 3 else ids_of(len(state), 5), state)
        state.select(rows)
        assert state.address == address
    logits = np.zeros((1, 50))
    status = capi.ctypes("plan_step_f64")(
        plan.address, address, pointer(ids), 1, None, pointer(logits)
    )
    assert status == 0 and len(state) == 1 and (state.lengths == [16]).all()
    assert weakref.ref(state)() is state and weakref.ref(plan)() is plan


@pytest.mark.parametrize("case", CASES)
def test_every_model_is_frozen(case, real):
    """All kinds of layers and models, those of the golden files: the plan computes what they do."""
    model, inputs, how = CASES[case](real)
    varied(model)
    if isinstance(model, nn.AddNorm):
        with pytest.raises(TypeError, match="AddNorm has two inputs"):
            model.freeze()
        return
    if isinstance(model, (models.TransformerLM, models.Seq2SeqTransformer)):
        return check_steps(model, inputs, how)
    want = model(*inputs, **how)
    plan = model.freeze()
    np.testing.assert_allclose(
        plan(*inputs, **how),
        want,
        rtol=0,
        atol=(1e-4 if real == np.float32 else 1e-12) * np.abs(want).max(),
    )


def check_steps(model, inputs, how):
    """Frozen and not, token by token."""
    *source, tgt = inputs
    want = model(*inputs, **how)
    frozen = model.freeze()
    cache = frozen.new_cache(*source, **how) if source else frozen.new_cache(len(tgt))
    for t in range(tgt.shape[1]):
        assert_close(frozen.step(tgt[:, t : t + 1], cache), want[:, t])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("choice", [{}, {"norm_first": True, "tie_weights": False}])
def test_a_frozen_encoder_decoder(choice, real):
    """Memory, steps of unequal lengths, rows selected, and beam search, as the model's."""
    how = {"d_ff": 40, "max_len": 40, "dropout": 0.1, "dtype": real, "rng": 0, **choice}
    model = varied(models.Seq2SeqTransformer(13, 17, 16, 2, 2, **how))
    rng = np.random.default_rng(0)
    src, tgt = rng.integers(0, 13, (3, 8)), rng.integers(0, 17, (3, 12))
    lengths = np.array([8, 3, 5])
    frozen = model.freeze()
    assert_close(frozen.encode(src, lengths), model.encode(src, lengths))
    found = []
    for made in (model, frozen):
        cache = made.new_cache(src, lengths, 20)
        steps = [made.step(tgt[:, :3], cache), made.step(tgt[:, 3:7], cache, [4, 1, 2])]
        cache.select(np.array([2, 0, 0, 1]))
        steps.append(made.step(tgt[[0, 0, 1, 2], 7:9], cache))
        cache.select(np.array([0, 2, 1, 3]))  # within one sentence
        steps.append(made.step(tgt[[0, 0, 1, 2], 9:10], cache))
        found.append([*steps, cache.lengths])
    for ours, theirs in zip(*found, strict=True):
        assert_close(theirs, ours)
    for ours, theirs in zip(
        model.generate(src, lengths, bos=1, eos=2, max_len=9, beams=3),
        frozen.generate(src, lengths, bos=1, eos=2, max_len=9, beams=3),
        strict=True,
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert a.tokens.tolist() == b.tokens.tolist()
    assert (
        frozen.max_len == 40
        and frozen.nbytes > 0
        and "FrozenSeq2Seq(Plan(13 tokens" in repr(frozen)
    )
    model.parameters().data[...] = 0
    assert_close(frozen.step(tgt[:, :3], frozen.new_cache(src, lengths, 20)), found[0][0])


def test_what_a_frozen_encoder_decoder_refuses():
    model = models.Seq2SeqTransformer(13, 17, 16, 2, 1, d_ff=20, max_len=9, rng=0)
    frozen, src = model.freeze(), np.ones((2, 5), int)
    for error, words, call in (
        (IndexError, "the id 13 at .* is not from 0 to 12", lambda: frozen.encode(src + 12)),
        (ValueError, "at most 9", lambda: frozen.encode(np.ones((2, 10), int))),
        (TypeError, "x must be a NumPy array of integers", lambda: frozen.encode(src / 1)),
        (ValueError, "lengths must be 2 integers from 0 to 5", lambda: frozen.encode(src, [1, 6])),
        (TypeError, "needs a memory", lambda: frozen.decoder.new_state(2)),
        (TypeError, "has `step`", lambda: frozen.decoder(src)),
        (TypeError, "takes x alone", lambda: nn.MLP((2, 2)).freeze()(src, lengths=[1, 2])),
        (ValueError, "max_len", lambda: frozen.new_cache(src, max_len=10)),
        (ValueError, "more than the model's", lambda: model.freeze(10)),
        (TypeError, "pickle the model", lambda: pickle.dumps(frozen)),
    ):
        with pytest.raises(error, match=words):
            call()
    for memory in (np.ones((1, 5, 16)), np.ones((2, 5, 17)), np.ones((2, 16))):
        with pytest.raises(ValueError, match="memory must be"):
            frozen.decoder.new_state(2, memory=memory.astype(np.float32))
    for lengths in ([6, 1], [1], [-1, 2]):
        with pytest.raises(ValueError, match="memory_lengths must be 2 integers"):
            memory = np.ones((2, 5, 16), np.float32)
            frozen.decoder.new_state(2, memory=memory, memory_lengths=lengths)
    assert not capi.ctypes("plan_new_state")(frozen.decoder.address, 1, 5)  # it needs a memory
