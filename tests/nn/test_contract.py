"""What every layer promises: inference drops nothing, parameters stay, errors name things."""

import copy
import pickle
import threading

import numpy as np
import pytest

from fastnn import nn, optim

from .layers import LAYERS, D, rows, test_every_layer_is_in_the_table

__all__ = ["test_every_layer_is_in_the_table"]  # collected here

walk = pytest.mark.parametrize("name", LAYERS)


class Own(nn.Module):
    """A user's module without `__call__`."""

    def __init__(self, inner, inputs=()):
        self.inner, self.inputs = inner, inputs
        super().__init__({"inner": inner})

    def forward(self, x):
        return self.inner.forward(x, *self.inputs)

    def backward(self, dy, ctx, need_dx=True):
        return self.inner.backward(dy, ctx, need_dx)

    def config(self):
        return {"type": "Own"}


@walk
def test_an_inherited_call_drops_nothing_and_leaves_the_random_numbers_alone(name):
    layer, (x, *others) = LAYERS[name]()
    model = Own(Own(layer, others))
    before = model.random_state()
    found = model(x)
    assert model.random_state() == before
    np.testing.assert_allclose(found, layer(x, *others), rtol=1e-12, atol=1e-12)
    # training still does
    if before and name != "Embedding":
        outputs = [model.forward(x)[0] for _ in range(5)]
        assert any(not np.array_equal(outputs[0], y) for y in outputs)
        assert model.random_state() != before


def test_parts_that_were_not_handed_over_drop_nothing_either():
    class Forgetful(Own):
        def __init__(self):
            super().__init__(nn.Linear(D, D, dtype=np.float64, rng=0))
            self.drop = nn.Dropout(0.5, rng=0)

        def forward(self, x):
            y, ctx = self.inner.forward(x)
            return self.drop.forward(y)[0], ctx

    model = Forgetful()
    np.testing.assert_array_equal(model(rows()), model.inner(rows()))


def test_inference_is_of_one_thread_and_nested_calls_end_it_once():
    drop = nn.Dropout(0.5, rng=0)
    entered, trained = threading.Event(), threading.Event()

    class Waiting(Own):
        def forward(self, x):
            entered.set()
            assert trained.wait(10)
            return super().forward(x)

    x = np.ones((50, 50))
    found = []
    thread = threading.Thread(target=lambda: found.append(Waiting(drop)(x)))
    thread.start()
    assert entered.wait(10)
    assert (drop.forward(x)[0] == 0).any()  # while the other thread is in inference
    trained.set()
    thread.join()
    assert (found[0] == 1).all()

    class Teacher(Own):
        """A layer that runs inference on itself within a training pass."""

        def forward(self, x):
            assert (Own(Own(self.inner))(x) == x).all()
            return super().forward(x)

    assert (Teacher(drop).forward(x)[0] == 0).any()
    assert (Teacher(drop)(x) == 1).all()


def test_an_error_inside_ends_inference_too():
    drop = nn.Dropout(0.5, rng=0)
    with pytest.raises(TypeError):
        Own(drop)("no array")
    assert (drop.forward(np.ones((50, 50)))[0] == 0).any()


WRONG = [None, 1.0, "dy", (np.ones((2, 3, D)),), [[1.0]], np.ones(7), np.ones((1, 1, 1, 1))]


@walk
def test_backward_names_a_wrong_dy(name):
    layer, inputs = LAYERS[name]()
    y, ctx = layer.forward(*inputs)
    wrong, dy = [*WRONG], np.ones_like(y)
    if isinstance(y, tuple):
        dy = tuple(map(np.ones_like, y))
        wrong += [(dy[0],), (dy[0], 3), (3, dy[1]), dy[0]]
    elif name not in ("Dropout", "Residual"):  # which have no dtype
        wrong.append(dy.astype(np.float32))
    for each in wrong:
        with pytest.raises((TypeError, ValueError), match=r"dy|dh"):
            layer.backward(each, ctx)
        assert all((p.grad == 0).all() for p in layer.parameters())
    layer.backward(dy, ctx)


@walk
def test_assigned_values_are_copied_into_the_flat_arrays(name):
    layer, inputs = LAYERS[name]()
    if not len(layer.parameters()):
        return
    before = layer(*inputs)
    flat, optimizer = layer.parameters().data, optim.SGD(layer.parameters(), lr=1.0)
    rng = np.random.default_rng(1)
    state = {key: rng.normal(size=p.data.shape) for key, p in layer.parameters().named()}
    for key, parameter in layer.parameters().named():
        view = parameter.data
        parameter.data = state[key]
        assert parameter.data is view and np.shares_memory(view, flat)
        np.testing.assert_array_equal(view, state[key])
        parameter.grad = np.ones_like(view)
    found = layer(*inputs)
    assert not np.array_equal(found, before)
    twin, _ = LAYERS[name]()
    twin.load_state(state)
    np.testing.assert_array_equal(found, twin(*inputs))
    optimizer.step()
    for key, parameter in layer.parameters().named():
        np.testing.assert_array_equal(parameter.data, state[key] - 1)


@walk
def test_attributes_of_parameters_and_parts_stay_the_same_objects(name):
    layer, _ = LAYERS[name]()
    for module in [module for _, module in layer.modules()]:
        for key, own in list(vars(module).items()):
            if isinstance(own, nn.Parameter):
                value = np.full(own.data.shape, 7.0)
                setattr(module, key, value)
                assert getattr(module, key) is own and (own.data == 7).all()
                with pytest.raises(TypeError, match=rf"{key} is a parameter of this model"):
                    setattr(module, key, nn.Parameter(value))
            elif isinstance(own, nn.Module) and own in module.parts().values():
                with pytest.raises(TypeError, match=rf"{key} is a part of this model"):
                    setattr(module, key, nn.ReLU())
                assert getattr(module, key) is own


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros((3, D)), ValueError, r"data of '0.weight' has shape \(4, 3\), not \(3, 4\)"),
        (0.0, ValueError, r"not \(\)"),
        (None, TypeError, "data of '0.weight' cannot be None"),
        (np.zeros((D, 3), np.float32), TypeError, r"is float64, not float32: give value.astype"),
    ],
)
def test_values_that_do_not_fit_are_refused(value, error, message):
    model = nn.Sequential(nn.Linear(D, 3, dtype=np.float64, rng=0))
    before = model.parameters().data.copy()
    for assign in (
        lambda: setattr(model[0].weight, "data", value),
        lambda: setattr(model[0], "weight", value),
    ):
        with pytest.raises(error, match=message):
            assign()
    np.testing.assert_array_equal(model.parameters().data, before)


def test_what_may_be_assigned():
    layer = nn.Linear(2, 2, rng=0)
    layer.weight.data -= 1  # in place, and assigned to itself
    layer.weight.data = [[1, 2], [3, 4]]  # a list has no dtype
    layer.weight.data = layer.weight.data.T
    assert layer.weight.data.tolist() == [[1, 3], [2, 4]]
    layer.note = "an attribute of one's own"
    with pytest.raises(TypeError, match="this Linear was made without bias"):
        nn.Linear(2, 2, bias=False).bias = np.zeros(2)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        twin.weight.data = np.zeros((2, 2), np.float32)
        assert (twin.parameters().data == [0] * 32).all() and layer.weight.data.any()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("compile", "fastnn.fit"),
        ("fit", "fastnn.fit"),
        ("predict", r"model\(x\)"),
        ("evaluate", "fastnn.evaluate"),
        ("train", "forward"),
        ("eval", "inference"),
        ("state_dict", r"model.state\(\)"),
        ("load_state_dict", r"model.load_state"),
        ("forwrad", "no attribute 'forwrad'; did you mean 'forward'"),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(name, hint):
    with pytest.raises(AttributeError, match=hint):
        getattr(nn.MLP((2, 2)), name)
    assert not hasattr(nn.MLP((2, 2)), name)


def test_a_module_that_never_called_init_says_so():
    class Unfinished(Own):
        def __init__(self):
            self.inner = nn.ReLU()

    with pytest.raises(AttributeError, match=r"must end with super\(\).__init__"):
        Unfinished().parameters()


def test_a_transposed_state_says_so():
    model = nn.MLP((2, 3, 2), rng=0)
    state = model.state()
    state["0.weight"] = state["0.weight"].T
    with pytest.raises(ValueError, match=r"'0.weight' has shape \(3, 2\).*its transpose fits"):
        model.load_state(state)
    with pytest.raises(TypeError, match="state must be a mapping of names to arrays, got list"):
        model.load_state([1])


def test_square_weights_of_pytorch_are_doubted():
    tensor = type("Tensor", (), {"__module__": "torch", "__array__": lambda self, **_: self.a})

    def tensors(model):
        found = {}
        for name, a in model.state().items():
            found[name] = tensor()
            found[name].a = a
        return found

    square = nn.MLP((3, 3, 3), rng=0)
    with pytest.warns(RuntimeWarning, match="'0.weight' is square.*give its transpose"):
        square.load_state(tensors(square))
    other = nn.MLP((3, 3, 2), rng=0)
    other.load_state(tensors(other))  # the last weight shows that nothing is transposed


def test_images_for_a_dense_layer_are_answered_with_reshape():
    with pytest.raises(ValueError, match=r"0.weight \(64, 10\) .*give x.reshape\(len\(x\), -1\)"):
        nn.Sequential(nn.Linear(64, 10), nn.Dropout()).forward(np.zeros((5, 8, 8), np.float32))
    with pytest.raises(TypeError, match=r"x is float64.*give x.astype\(np.float32\)"):
        nn.Linear(64, 10)(np.zeros((5, 64)))
    for wrong, message in (
        (nn.ReLU, r"not a class: give ReLU\(\)"),
        ([nn.ReLU()], r"not a list: give the layers one by one, \*layers"),
        (3, "must be an nn.Module, got int"),
    ):
        with pytest.raises(TypeError, match=f"Sequential: layer 0 .*{message}"):
            nn.Sequential(wrong)


@walk
def test_empty_batches_and_sequences(name):
    """No rows, and rows without positions: empty results, and gradients of zero."""
    layer, inputs = LAYERS[name]()
    cuts = [np.s_[:0]]
    # Vectors of one axis have no positions; a pooled vector is a mean over them.
    if inputs[0].ndim == 2 + (inputs[0].dtype.kind == "f") and not name.startswith("PooledEncoder"):
        cuts.append(np.s_[:, :0])
    for cut in cuts:
        empty = [x[cut] for x in inputs]
        y, ctx = layer.forward(*empty)
        several = isinstance(y, tuple)
        dys = tuple(np.zeros_like(part) for part in (y if several else (y,)))
        layer.parameters().zero_grad()
        layer.backward(dys if several else dys[0], ctx)
        again = layer(*empty)
        for part, same in zip(*((z if several else (z,)) for z in (y, again)), strict=True):
            assert part.size == same.size == 0 and part.shape == same.shape
        assert not layer.parameters().grad.any()


@walk
def test_a_config_builds_the_layer_again(name):
    layer, _ = LAYERS[name]()
    config = layer.config()
    again = nn.build(config)
    assert again.config() == config
    for values in ({k: v.data.shape for k, v in m.parameters().named()} for m in (layer, again)):
        assert values == {k: s for k, (s, _) in nn.parameter_shapes(config).items()}
