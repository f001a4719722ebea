"""Programs over arrays of layers: what they refuse and share; see tests/nn/test_lowering.py."""

import numpy as np
import pytest

from fastnn.kernels import Builder, Plan, Program


class Held:
    """A trainable array and its gradient."""

    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


def layer(n, m, activation=None, real=np.float32):
    return Held(np.ones((n, m), real)), Held(np.zeros(m, real)), activation


def program(steps):
    """The program of dense layers (weight, bias, activation) and activations (name,)."""
    builder = Builder()
    for step in steps:
        builder.activation(*step) if len(step) == 1 else builder.dense(*step)
    return Program(builder)


def test_it_sees_what_is_written_into_the_arrays(real):
    step = layer(3, 2, real=real)
    made = program([step, ("relu",)])
    x = np.ones((4, 3), real)
    np.testing.assert_array_equal(made.infer(x), np.full((4, 2), 3, real))
    step[1].data[...] = [-5, 5]
    y, ctx = made.forward(x)
    np.testing.assert_array_equal(y, np.tile(np.array([0, 8], real), (4, 1)))
    dx = made.backward(np.ones_like(y), ctx)
    np.testing.assert_array_equal(dx, np.ones((4, 3)))
    np.testing.assert_array_equal(step[0].grad, np.tile(np.array([0, 4], real), (3, 1)))
    np.testing.assert_array_equal(step[1].grad, [0, 4])
    assert made.backward(np.ones_like(y), ctx, need_dx=False) is None
    np.testing.assert_array_equal(step[1].grad, [0, 8])


def test_other_inputs_give_none():
    made = program([layer(3, 2)])
    for x in (
        np.ones((2, 4), np.float32),
        np.ones((2, 3)),
        np.ones(3, np.float32),
        np.ones((2, 3), ">f4"),
        [[1.0, 2.0, 3.0]],
        None,
    ):
        assert made.infer(x) is None and made.forward(x) is None


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_a_context_of_another_program_is_refused(activation):
    first, last = layer(4, 3, activation), layer(3, 2)
    made = program([first, last])
    x = np.ones((5, 4), np.float32)
    y, ctx = made.forward(x)
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
        with pytest.raises(ValueError, match="ctx is not of this program"):
            program(steps).backward(
                np.ones((5, steps[-1][0].data.shape[1]), steps[0][0].data.dtype), ctx
            )
    changes = {
        0: [x[:4], x.astype(np.float64), x.tolist(), None],
        1: [ctx[1][:4], np.asfortranarray(ctx[1]), ctx[1].astype(np.float64), ctx[1][0], None],
        2: [ctx[2][:4], np.ones((5, 3), np.float32)],
        3: [np.ones((4, 3), np.float32), None if activation == "gelu" else ctx[1]],
        4: [ctx[2]],
    }
    for place, arrays in changes.items():
        for array in arrays:
            with pytest.raises(ValueError, match="ctx is not of this program"):
                made.backward(dy, (*ctx[:place], array, *ctx[place + 1 :]))
    for step in (first, last):
        assert not step[0].grad.any() and not step[1].grad.any()
    for bad in (dy[:4], np.ones((5, 3), np.float32), dy[0]):
        with pytest.raises(ValueError, match="dy has shape"):
            made.backward(bad, ctx)


def read_only(real=np.float32):
    held = Held(np.ones((3, 2), real))
    held.data.flags.writeable = False
    return held


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([], ValueError, "no layer says how many columns"),
        ([("relu",)], ValueError, "no layer says how many columns"),
        ([layer(3, 2), ("exp",)], ValueError, "'exp'"),
        ([layer(3, 2, "exp")], ValueError, "'exp'"),
        ([layer(3, 2), layer(3, 2)], ValueError, r"weight \(3, 2\) takes 3 columns, not 2"),
        ([layer(3, 2), layer(2, 2, real=np.float64)], TypeError, "one type"),
        ([layer(3, 2, real=np.int32)], TypeError, "weight must be"),
        ([(Held(np.ones(3, np.float32)), None, None)], ValueError, r"\(in, out\)"),
        ([(Held(np.ones((2, 3), np.float32).T), None, None)], ValueError, "C-contiguous"),
        ([(read_only(), None, None)], ValueError, "writable"),
        ([(*layer(3, 2)[:1], Held(np.ones(3, np.float32)), None)], ValueError, "bias"),
        ([layer(3, 3)] * 200, ValueError, "201 values at once"),
    ],
)
def test_steps_that_do_not_fit_are_named(steps, error, message):
    with pytest.raises(error, match=message):
        program(steps)


def test_some_programs_only_infer():
    """Norms, sums, constants and what drops in training have no backward in one call."""
    x = np.ones((2, 3), np.float32)
    for grow in (
        lambda b: b.norm("layer", None, None, 1e-5),
        lambda b: b.add(0),
        lambda b: b.drop(),
        lambda b: b.softmax(),
        lambda b: b.prelu(0.1),
        lambda b: b.dense(np.ones((3, 2), np.float32)),
    ):
        builder = Builder()
        builder.dense(*layer(3, 3))
        grow(builder)
        made = Program(builder)
        assert not made.trains and made.forward(x) is None
        assert made.infer(x).shape in ((2, 3), (2, 2))
    with pytest.raises(ValueError, match="not of this program"):
        made.backward(x, (x,))


def test_strided_inputs_need_a_product_that_reads_them_alone():
    wide = np.arange(12, dtype=np.float32).reshape(2, 6)
    builder = Builder()
    builder.dense(*layer(3, 3))
    assert (Program(builder).infer(wide[:, ::2]) == wide[:, ::2].sum(1)[:, None]).all()
    builder.add(0)
    made = Program(builder)
    assert made.infer(wide[:, ::2]) is None
    x = np.ascontiguousarray(wide[:, ::2])
    assert (made.infer(x) == x.sum(1)[:, None] + x).all()


def test_values_that_are_read_later_are_not_overwritten(real):
    """Sums of every earlier value, kept in any order, in programs of both kinds."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        builder, values = Builder(), []
        x = rng.standard_normal((5, 4)).astype(real)
        found = [x]
        builder.prelu(rng.random(4).astype(real))
        values.append(builder.value)
        found.append(np.where(x > 0, x, x * builder.operations[0].weight))
        for _ in range(12):
            i, j = rng.integers(0, len(found), 2)
            builder.value = int(i)
            builder.add(int(j))
            found.append(found[i] + found[j])
        for made in (Program(builder).infer, Plan(builder)):
            np.testing.assert_array_equal(made(x), found[-1])
