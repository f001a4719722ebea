"""Frozen plans: the model's output with any number of threads; the model is unchanged."""

import copy
import pickle
import threading
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.kernels import Builder, Plan

from ..kernels.variants import WRONG_TYPES, guarded, layouts

ACTIVATIONS = [None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu"]


def reference(model, x):
    """The output in float64, layer by layer."""
    y = x.astype(np.float64)
    for layer in model:
        if isinstance(layer, nn.Linear):
            y = y @ layer.weight.data.astype(np.float64)
            y = y if layer.bias is None else y + layer.bias.data
            if layer.activation:
                name, _, form = layer.activation.partition("_")
                y = getattr(fastnn, name)(y, **({"approximate": form} if form else {}))
        else:
            y = layer(y)
    return y


def close(y, want, real):
    np.testing.assert_allclose(y, want, rtol=0, atol=(2e-6 if real == np.float32 else 1e-14) * 20)


def with_biases(model, rng):
    for _, parameter in model.parameters().named():
        parameter.data[...] += rng.standard_normal(parameter.data.shape) / 20
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 16, 17, 130])
def test_a_plan_computes_what_the_model_computes(activation, rows, real, rng):
    model = with_biases(nn.MLP((5, 19, 33, 3), activation, dtype=real, rng=0), rng)
    x = rng.standard_normal((rows, 5)).astype(real)
    y = model.freeze()(x)
    assert y.dtype == real and y.shape == (rows, 3)
    close(y, reference(model, x), real)


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ((3, 1), 9),
        ((17, 64, 64, 6), 1000),
        ((70, 400, 300, 9), 300),
        ((1, 1, 1), 5),
        ((600, 1100, 40), 3),
    ],
)
@pytest.mark.parametrize("batch_max", [1, 3, 1024])
def test_sizes_strips_and_workspaces(sizes, rows, batch_max, real, rng):
    model = nn.MLP(sizes, "tanh", dtype=real, rng=0)
    x = rng.standard_normal((rows, sizes[0])).astype(real)
    close(model.freeze(batch_max)(x), reference(model, x), real)


@pytest.mark.parametrize(
    ("sizes", "rows"), [((64, 256, 64), 700), ((500, 900, 900, 5), 4), ((40, 1500, 8), 200)]
)
def test_same_bits_for_any_number_of_threads(sizes, rows, real, rng):
    plan = nn.MLP(sizes, "gelu", dtype=real, rng=0).freeze()
    x = rng.standard_normal((rows, sizes[0])).astype(real)
    results = []
    for n in (1, 2, 3, 8):
        with fastnn.num_threads(n):
            results.append(plan(x).tobytes())
    assert len(set(results)) == 1


def test_layers_of_all_kinds(real, rng):
    model = nn.Sequential(
        nn.Sequential(nn.Linear(6, 11, bias=False, dtype=real, rng=1), nn.ReLU()),
        nn.Dropout(0.5),
        nn.Linear(11, 9, activation="silu", dtype=real, rng=2),
        nn.Tanh(),
        nn.GELU(approximate="tanh"),
        nn.Softmax(),
    )
    x = rng.standard_normal((20, 6)).astype(real)
    y = model.freeze()(x)
    close(y, model(x), real)
    close(y.sum(axis=-1), np.ones(20), real)


def varied(model, rng):
    """The model with all parameters redrawn, so that none is 0 or 1."""
    for p in model.parameters():
        p.data[...] = rng.normal(0.5, 0.5, p.data.shape)
    return model


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3, 100, 1000])
def test_norms_slopes_and_residual_branches(real, rows, rng):
    kind = {"dtype": real}
    inner = nn.Sequential(
        nn.LayerNorm(8, **kind), nn.Linear(8, 8, activation="relu", rng=2, **kind)
    )
    model = nn.Sequential(
        nn.Residual(nn.Sequential(nn.RMSNorm(8, **kind), nn.Residual(inner), nn.Softplus())),
        nn.PReLU(8, **kind),
        nn.Dropout(0.5, rng=0),
        nn.Linear(8, 30, rng=0, **kind),
        nn.LeakyReLU(0.1),
        nn.PReLU(**kind),
        nn.Linear(30, 5, rng=1, **kind),
        nn.LayerNorm(5, affine=False, **kind),
        nn.Softplus(),
        nn.LogSoftmax(),
    )
    x = rng.standard_normal((rows, 8)).astype(real)
    plan = varied(model, rng).freeze(64)
    want = plan(x)
    np.testing.assert_allclose(want, model(x), rtol=0, atol=2e-5 if real == np.float32 else 1e-13)
    for threads in (2, 3, 8):
        with fastnn.num_threads(threads):
            assert (plan(x) == want).all()


def test_shapes_strides_and_outputs(real, rng):
    model = nn.MLP((4, 7, 3), dtype=real, rng=0)
    plan = model.freeze()
    x = rng.standard_normal((6, 4)).astype(real)
    want = plan(x)
    for name, view in layouts(x):
        assert (plan(view) == want).all(), name
    assert (plan(x.reshape(2, 3, 4)) == want.reshape(2, 3, 3)).all()
    close(plan(x[0]), want[0], real)
    assert plan(np.zeros((2, 0, 4), real)).shape == (2, 0, 3)
    out, check = guarded((6, 3), real)
    assert plan(x, out=out) is out
    assert (out == want).all()
    check()
    readonly = x.copy()
    readonly.flags.writeable = False
    assert (plan(readonly) == want).all()


def test_nan_and_infinity_stay_in_their_rows(real):
    plan = nn.MLP((3, 40, 2), dtype=real, rng=0).freeze()
    x = np.ones((9, 3), real)
    clean = plan(x)
    x[4, 1], x[7, 0] = np.nan, np.inf
    y = plan(x)
    rest = [0, 1, 2, 3, 5, 6, 8]
    assert np.isnan(y[4]).all() and (y[rest] == clean[rest]).all()
    assert not np.isfinite(y[7]).all()


def test_a_plan_is_frozen(real, rng):
    model = nn.MLP((3, 5, 2), dtype=real, rng=0)
    x = rng.standard_normal((4, 3)).astype(real)
    plan = model.freeze()
    before = plan(x)
    model.parameters().data[...] = 0
    assert (plan(x) == before).all() and (model(x) == 0).all()
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle the model and freeze it again"):
            copied(plan)
    again = pickle.loads(pickle.dumps(model)).freeze()
    assert (again(x) == model.freeze()(x)).all()
    assert weakref.ref(plan)() is plan


def test_attributes(real):
    plan = nn.MLP((3, 5, 2), dtype=real, rng=0).freeze(7)
    assert (plan.n_in, plan.n_out, plan.dtype, plan.batch_max) == (3, 2, real, 7)
    assert plan.nbytes >= 27 * plan.dtype.itemsize and plan.address
    assert repr(plan).startswith("Plan(3 -> 2, 2 operations, float")


def test_many_python_threads_share_a_plan(rng):
    plan = nn.MLP((30, 500, 4), rng=0).freeze()
    x = rng.standard_normal((50, 30)).astype(np.float32)
    with fastnn.num_threads(1):
        want = plan(x)
    wrong = []

    def run():
        with fastnn.num_threads(1):
            wrong.extend(i for i in range(50) if (plan(x) != want).any())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_wrong_inputs(real):
    plan = nn.MLP((3, 5, 2), dtype=real, rng=0).freeze()
    other = np.float64 if real == np.float32 else np.float32
    for wrong in WRONG_TYPES:
        with pytest.raises(TypeError, match="Plan: x"):
            plan(wrong)
    with pytest.raises(TypeError, match=r"x is of float.* but the weights of float"):
        plan(np.ones((2, 3), other))
    for shape in [(2, 4), (), (3, 2), (2, 3, 4)]:
        with pytest.raises(ValueError, match=r"x must be \(\.\.\., 3\), got"):
            plan(np.ones(shape, real))
    x = np.ones((2, 3), real)
    with pytest.raises(ValueError, match=r"out must have the shape \(2, 2\)"):
        plan(x, out=np.ones((2, 3), real))
    with pytest.raises(ValueError, match="C-contiguous"):
        plan(x, out=np.ones((2, 2), real, order="F"))
    memory = np.ones(9, real)
    with pytest.raises(ValueError, match="out overlaps x"):
        plan(memory[:6].reshape(2, 3), out=memory[5:].reshape(2, 2))
    fixed = np.ones((2, 2), real)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        plan(x, out=fixed)


def test_what_cannot_be_frozen():
    class Own(nn.Sequential):
        def __call__(self, x):
            return x

    linear = nn.Linear(2, 2, rng=0)
    for model in (Own(linear), nn.Sequential(linear, nn.Residual(Own(linear)))):
        with pytest.raises(TypeError, match="Own has no `lower` that goes with"):
            model.freeze()
    with pytest.raises(ValueError, match="no layer says how many columns come in"):
        nn.Sequential(nn.ReLU(), nn.Softmax()).freeze()
    with pytest.raises(ValueError, match="3 columns cannot be added to 2"):
        nn.Sequential(linear, nn.Residual(nn.Linear(2, 3, rng=0))).freeze()
    with pytest.raises(ValueError, match="3 columns are wanted, not 2"):
        nn.Sequential(linear, nn.LayerNorm(3)).freeze()
    with pytest.raises(ValueError, match=r"weight \(3, 2\) takes 3 columns, not 2"):
        nn.Sequential(linear, nn.Linear(3, 2, rng=0)).freeze()
    with pytest.raises(ValueError, match="batch_max must be at least 1"):
        linear.freeze(0)
    with pytest.raises(TypeError, match="batch_max must be an integer"):
        linear.freeze(2.5)


def test_what_makes_no_plan():
    w, b = np.ones((2, 3), np.float32), np.zeros(3, np.float32)
    for error, words, grow in (
        (ValueError, "no layer says", lambda builder: None),
        (ValueError, "eps must be above 0", lambda builder: builder.norm("layer", None, None, 0.0)),
        (ValueError, "2 slopes for 3 columns", lambda builder: builder.prelu(b[:2])),
        (ValueError, r"bias must have the shape \(3,\)", lambda builder: builder.dense(w, b[:2])),
        (TypeError, "bias is of float64", lambda builder: builder.dense(w, b.astype(float))),
        (ValueError, "not empty", lambda builder: builder.dense(w[:0], b)),
        (ValueError, "relux", lambda builder: builder.dense(w, b, "relux")),
        (TypeError, "not the first layer", lambda builder: builder.embed(w)),
        (ValueError, "2 and twice 2 heads of 3 columns", lambda builder: builder.attention(2, 2)),
        (ValueError, "3 heads cannot share 2", lambda builder: builder.attention(3, 2)),
        (ValueError, "0 heads cannot share 1", lambda builder: builder.attention(0, 1)),
        (ValueError, "2 heads of 3 columns", lambda b: b.cross_attention(w, None, 2, 2)),
        (ValueError, "keys and values need 6", lambda b: b.cross_attention(w, None, 3, 3)),
        (ValueError, "embed: weight must be", lambda builder: builder.embed(w[0])),
        (ValueError, "positions: weight must be", lambda builder: builder.positions(w[0])),
    ):
        builder = Builder()
        if any(word in words for word in ("slopes", "first layer", "2 heads of", "need 6")):
            builder.dense(w, b)
        with pytest.raises(error, match=words):
            grow(builder)
            Plan(builder)
    builder = Builder()
    builder.dense(w, b)
    with pytest.raises(ValueError, match="batch_max must be at least 1"):
        Plan(builder, 0)
    with pytest.raises(TypeError, match="builder must be a Builder, got list"):
        Plan([(w, b, None)])


class Gated(nn.Module):
    """A user's layer: y = silu(x W) + x V, where a value is kept and used again."""

    def __init__(self, n, m, real):
        how = {"dtype": real, "rng": 0}
        self.gate, self.up = nn.Linear(n, m, activation="silu", **how), nn.Linear(n, m, **how)
        super().__init__({"gate": self.gate, "up": self.up})

    def forward(self, x):
        (a, ctx_a), (b, ctx_b) = self.gate.forward(x), self.up.forward(x)
        return a + b, (ctx_a, ctx_b)

    def backward(self, dy, ctx, need_dx=True):
        return self.gate.backward(dy, ctx[0]) + self.up.backward(dy, ctx[1])

    def lower(self, b):
        x = b.value
        b.lower(self.gate)
        gate, b.value = b.value, x
        b.lower(self.up)
        b.add(gate)

    def config(self):
        return {"type": "Gated"}


def test_a_users_layer_is_frozen_and_runs_in_one_call(real, rng):
    model = varied(nn.Sequential(nn.Linear(4, 6, dtype=real, rng=1), Gated(6, 3, real)), rng)
    x = rng.standard_normal((50, 4)).astype(real)
    want = model[1].forward(model[0](x))[0]
    np.testing.assert_array_equal(model(x), want)
    close(model.freeze()(x), want, real)

    class Double(Gated):
        def forward(self, x):
            y, ctx = super().forward(x)
            return 2 * y, ctx

    model = nn.Sequential(Double(6, 3, real))
    x = rng.standard_normal((5, 6)).astype(real)
    np.testing.assert_array_equal(model(x), model[0].forward(x)[0])
    with pytest.raises(TypeError, match="Double has no `lower`"):
        model.freeze()


def test_a_plan_from_a_file(tmp_path, rng):
    pytest.importorskip("safetensors")
    model = with_biases(nn.MLP((4, 8, 2), rng=0), rng)
    fastnn.save(model, tmp_path / "m.safetensors")
    plan = fastnn.plan_from_file(tmp_path / "m.safetensors", batch_max=5)
    x = rng.standard_normal((6, 4)).astype(np.float32)
    assert plan.batch_max == 5
    assert (plan(x) == model.freeze()(x)).all()
    with pytest.raises(FileNotFoundError):
        fastnn.plan_from_file(tmp_path / "none.safetensors")


def test_positions_of_another_width_are_refused_before_their_table_is_made():
    """A file may claim any width: 2^31 columns are 8 GiB a row of the table."""
    model = nn.Sequential(nn.Embedding(5, 4, rng=0), nn.PositionalEncoding(2**31 - 1))
    with pytest.raises(ValueError, match="positions: 2147483647 columns for 4"):
        model.freeze()
