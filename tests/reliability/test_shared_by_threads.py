"""Eight threads share one object of every kind: the bits of a serial call, and no crash."""

import itertools
import sys
import threading
import time

import numpy as np
import pytest

import fastnn
from fastnn import kernels, models, nn
from fastnn.kernels.ground import memory

from . import common

THREADS = 8
SECONDS = min(0.5 * common.FACTOR, 20)


def bits(value):
    """Whatever a call returned, as bytes."""
    if isinstance(value, (tuple, list)):
        return tuple(map(bits, value))
    return np.asarray(value).tobytes()


def at_once(*works, seconds=SECONDS):
    """Let threads repeat the works until the time is over; return the rounds, raise errors."""
    errors, rounds, stop = [], itertools.count(), time.monotonic() + seconds
    start = threading.Barrier(THREADS)

    def loop(work):
        try:
            start.wait(60)
            while time.monotonic() < stop and not errors:
                work()
                next(rounds)
        except BaseException as error:
            errors.append(error)

    works = [work for work, _ in zip(itertools.cycle(works), range(THREADS), strict=False)]
    threads = [threading.Thread(target=loop, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    done = next(rounds)
    assert done >= THREADS
    return done


def same(call):
    """Return work that compares a call with its result in a single thread."""
    expected = bits(call())

    def work():
        assert bits(call()) == expected

    return work


@pytest.fixture(autouse=True)
def teams():
    """Two threads for each team, and the GIL handed over often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    fastnn.set_num_threads(2)
    yield
    fastnn.set_num_threads(-1)
    sys.setswitchinterval(interval)


def language_model(**options):
    return models.TransformerLM(17, 16, 2, 2, 12, n_kv_heads=1, rng=0, **options)


def test_one_model(rng):
    ids = rng.integers(0, 17, (3, 9))
    x = rng.normal(size=(70, 20)).astype(np.float32)
    mlp, lm = nn.MLP((20, 40, 5), activation="gelu", rng=0), language_model(position="rotary")
    encoder = nn.TransformerEncoder(2, 16, 2, 32, rng=0)
    seq = rng.normal(size=(2, 7, 16)).astype(np.float32)
    at_once(
        same(lambda: mlp(x)),
        same(lambda: mlp.forward(x)[0]),
        same(lambda: lm(ids)),
        same(lambda: lm.forward(ids)[0]),
        same(lambda: encoder(seq, lengths=np.array([3, 7]))),
        same(lambda: lm.generate([ids[0]], 3, temperature=0.9, seed=5)),
    )


def test_models_that_are_made_at_once():
    """A model makes its program at the first call: several threads do so at once."""
    x = np.ones((40, 20), np.float32)
    expected = bits(nn.MLP((20, 30, 5), rng=0)(x))
    made = [nn.MLP((20, 30, 5), rng=0) for _ in range(200)]
    turn = itertools.count()

    def work():  # eight threads reach each model at about the same time
        assert bits(made[next(turn) // THREADS % len(made)](x)) == expected

    at_once(work)


def test_one_plan_with_states_of_their_own(rng):
    ids = rng.integers(0, 17, (2, 9))
    x = rng.normal(size=(300, 20)).astype(np.float32)
    plan, rows = language_model().freeze(), nn.MLP((20, 64, 5), rng=0).freeze(batch_max=128)

    def decode():
        state = plan.new_state(2)
        found = [plan.step(ids[:, :5], state)]
        found += [plan.step(ids[:, t : t + 1], state) for t in range(5, 9)]
        state.truncate(3)
        state.select([1, 0])
        return [*found, plan.step(ids[:, :1], state)]

    at_once(
        same(decode),
        same(lambda: rows(x)),
        same(lambda: rows(x, out=np.empty((300, 5), np.float32))),
    )


def test_one_state_shared_by_mistake(rng):
    """Each call finishes or raises RuntimeError; ValueError is that of a full or shorter state."""
    plan = language_model().freeze()
    state, ids = plan.new_state(2), rng.integers(0, 17, (2, 3))
    calls = [
        lambda: plan.step(ids, state),
        lambda: plan.step(ids[:, :1], state),
        lambda: state.truncate(0),
        lambda: state.select([0, 0]),
        lambda: state.lengths,
        lambda: len(state) + state.max_len,
    ]

    def guarded(call):
        def work():
            try:
                call()
            except (RuntimeError, ValueError) as error:
                text = str(error)
                assert "in use by another thread" in text or "too many for" in text, text

        return work

    at_once(*map(guarded, calls))
    state.truncate(0)
    fresh = plan.new_state(2)
    assert bits(plan.step(ids, state)) == bits(plan.step(ids, fresh))


def test_packed_weights_and_kernels(rng, real):
    a, b = (rng.normal(size=shape).astype(real) for shape in ((90, 130), (130, 70)))
    q, k, v = (rng.normal(size=(2, 2, 40, 16)).astype(real) for _ in range(3))
    weight, bias = np.ones(130, real), np.zeros(130, real)
    packed = fastnn.pack(b)
    out, lse = fastnn.attention(q, k, v, causal=True, return_lse=True)
    labels = rng.integers(0, 130, 90)
    at_once(
        same(lambda: fastnn.matmul(a, packed)),
        same(lambda: fastnn.matmul(a, b, activation="tanh")),
        same(lambda: fastnn.softmax(a)),
        same(lambda: fastnn.attention(q, k, v, causal=True)),
        same(lambda: fastnn.attention_backward(v, q, k, v, out, lse, causal=True)),
        same(lambda: fastnn.layer_norm(a, weight, bias)[0]),
        same(lambda: fastnn.cross_entropy(a, labels)),
        same(lambda: fastnn.squared_norm(a)),
    )


def test_number_of_threads_and_pool(rng):
    """Changing the number of threads or emptying the pool changes no result."""
    a = rng.normal(size=(120, 150)).astype(np.float32)
    counts = itertools.cycle([1, 2, 3, 8])

    def context():
        n = next(counts)
        with fastnn.num_threads(n):
            assert fastnn.get_num_threads() in (n, 1)

    def arrays():
        found = [memory.empty(n) for n in (5000, 20_000, 70_000)]
        for i, array in enumerate(found):
            array[...] = i
        assert all((array == i).all() for i, array in enumerate(found))

    at_once(
        same(lambda: fastnn.matmul(a, a.T)),
        same(lambda: fastnn.relu(a)),
        context,
        lambda: fastnn.set_num_threads(next(counts)),
        arrays,
        memory.trim,
        memory.pool_bytes,
        kernels.thread_info,
    )


def test_training_of_models_of_their_own(rng):
    """Each thread fits a model: the weights of a serial run."""
    x = rng.normal(size=(48, 10)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    def train():
        model = nn.Sequential(nn.MLP((10, 16, 2), rng=0), nn.Dropout(0.1, rng=1))
        options = {"epochs": 1, "batch_size": 16, "seed": 0, "verbose": 0}
        fastnn.fit(model, x, y, optimizer="adam", **options)
        return model.parameters().data

    at_once(same(train))
