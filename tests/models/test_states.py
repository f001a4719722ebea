"""States of plans: in use by other threads, selected from inside, refused."""

import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import capi, nn
from fastnn.kernels import PlanState

from .plans import assert_close, ids_of, language_model, pointer


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
    with pytest.raises(ValueError, match=r"out must have the shape \(2, 50\)"):
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
        def shape(self):  # a step asks for it to say that it does not fit
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

    with pytest.raises(ValueError, match="out must have the shape"):
        plan.step(ids, state, out=np.zeros((2, 49)).view(Output))
    assert set(seen) == {2} and (state.lengths == 0).all()
    assert (plan.step(ids, state) == plan.step(ids, plan.new_state(2))).all()


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
