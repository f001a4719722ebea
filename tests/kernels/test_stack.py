"""What a stack of dense layers refuses; what it computes is compared in tests/nn/test_plan.py."""

import numpy as np
import pytest

from fastnn.kernels import DenseStack


def layer(n, m, activation=None, real=np.float32):
    w, b = np.ones((n, m), real), np.zeros(m, real)
    return w, b, np.zeros_like(w), np.zeros_like(b), activation


def test_it_sees_what_is_written_into_the_arrays(real):
    step = layer(3, 2, real=real)
    stack = DenseStack([step, ("relu",)])
    x = np.ones((4, 3), real)
    np.testing.assert_array_equal(stack.infer(x), np.full((4, 2), 3, real))
    step[1][...] = [-5, 5]
    y, ctx = stack.forward(x)
    np.testing.assert_array_equal(y, np.tile(np.array([0, 8], real), (4, 1)))
    dx = stack.backward(np.ones_like(y), ctx)
    np.testing.assert_array_equal(dx, np.ones((4, 3)))
    np.testing.assert_array_equal(step[2], np.tile(np.array([0, 4], real), (3, 1)))
    np.testing.assert_array_equal(step[3], [0, 4])
    assert stack.backward(np.ones_like(y), ctx, need_dx=False) is None
    np.testing.assert_array_equal(step[3], [0, 8])


def test_other_inputs_give_none():
    stack = DenseStack([layer(3, 2)])
    for x in (
        np.ones((2, 4), np.float32),
        np.ones((2, 3)),
        np.ones(3, np.float32),
        np.ones((2, 3), ">f4"),
        [[1.0, 2.0, 3.0]],
        None,
    ):
        assert stack.infer(x) is None and stack.forward(x) is None


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_a_context_of_another_stack_is_refused(activation):
    first, last = layer(4, 3, activation), layer(3, 2)
    stack = DenseStack([first, last])
    x = np.ones((5, 4), np.float32)
    y, ctx = stack.forward(x)
    dy = np.ones_like(y)
    others = [
        [layer(400, 3, activation), last],
        [layer(4, 300, activation), layer(300, 2)],
        [layer(4, 3, "relu" if activation == "gelu" else "gelu"), last],
        [layer(4, 3, activation, np.float64), layer(3, 2, real=np.float64)],
        [first, layer(3, 2, "silu")],
        [first],
    ]
    for steps in others:
        with pytest.raises(ValueError, match="ctx is not of this stack"):
            DenseStack(steps).backward(np.ones((5, steps[-1][0].shape[1]), steps[0][0].dtype), ctx)
    changes = {
        0: [x[:4], x.astype(np.float64), x.tolist(), None],
        1: [ctx[1][:4], np.asfortranarray(ctx[1]), ctx[1].astype(np.float64), ctx[1][0], None],
        2: [ctx[2][:4], np.ones((5, 3), np.float32)],
        3: [np.ones((4, 3), np.float32), None if activation == "gelu" else ctx[1]],
        4: [ctx[2]],
    }
    for place, arrays in changes.items():
        for array in arrays:
            with pytest.raises(ValueError, match="ctx is not of this stack"):
                stack.backward(dy, (*ctx[:place], array, *ctx[place + 1 :]))
    for step in (first, last):
        assert not step[2].any() and not step[3].any()
    for bad in (dy[:4], np.ones((5, 3), np.float32), dy[0]):
        with pytest.raises(ValueError, match="dy has shape"):
            stack.backward(bad, ctx)


read_only = np.ones((3, 2), np.float32)
read_only.flags.writeable = False


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([], ValueError, "from 1 to 64 steps, not 0"),
        ([layer(3, 3)] * 65, ValueError, "not 65"),
        ([("relu",)], ValueError, "stands after a layer"),
        ([layer(3, 2), (None,)], ValueError, "stands after a layer"),
        ([layer(3, 2), ("exp",)], ValueError, "'exp'"),
        ([layer(3, 2, "exp")], ValueError, "'exp'"),
        ([layer(3, 2), layer(3, 2)], ValueError, "step 1 takes 3 columns.* gives 2"),
        ([layer(3, 2), layer(2, 2, real=np.float64)], TypeError, "one type"),
        ([layer(3, 2, real=np.int32)], TypeError, "w must be"),
        ([(np.ones(3, np.float32), None, None, None, None)], ValueError, r"\(in, out\)"),
        ([(np.ones((2, 3), np.float32).T, *layer(3, 2)[1:])], ValueError, "C-contiguous"),
        ([(read_only, *layer(3, 2)[1:])], ValueError, "writable"),
        ([(*layer(3, 2)[:2], np.ones((2, 3), np.float32), None, None)], ValueError, "dw"),
        ([(*layer(3, 2)[:3], None, None)], TypeError, "db"),
    ],
)
def test_steps_that_do_not_fit_are_named(steps, error, message):
    with pytest.raises(error, match=message):
        DenseStack(steps)
