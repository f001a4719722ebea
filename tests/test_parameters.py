"""Flat arrays: their layout, and what happens when layers are combined."""

import copy
import gc
import weakref

import numpy as np
import pytest

from fastnn import nn, optim


def two_layers(dtype=np.float32):
    return nn.Linear(3, 5, dtype=dtype, rng=0), nn.Linear(5, 2, dtype=dtype, rng=1)


def test_parameters_are_views_of_two_flat_arrays(real):
    model = nn.Sequential(*two_layers(real))
    parameters = model.parameters()
    names = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [name for name, _ in parameters.named()] == names
    assert [parameter.name for parameter in parameters] == names
    assert parameters.size == 3 * 5 + 5 + 5 * 2 + 2
    assert parameters.dtype == parameters.data.dtype == parameters.grad.dtype == real
    for parameter in parameters:
        assert np.shares_memory(parameter.data, parameters.data)
        assert np.shares_memory(parameter.grad, parameters.grad)
        assert parameter.data.ctypes.data % 64 == parameter.grad.ctypes.data % 64 == 0
    parameters.data.fill(7)
    assert all((parameter.data == 7).all() for parameter in parameters)


def test_putting_layers_together_keeps_objects_values_and_gradients():
    first, second = two_layers()
    weight, bias = first.weight, second.bias
    weight.grad[...] = 2
    bias.data[...] = 3
    values = weight.data.copy()
    model = nn.Sequential(first, second)
    assert first.weight is weight and second.bias is bias
    np.testing.assert_array_equal(weight.data, values)
    assert (weight.grad == 2).all() and (bias.data == 3).all()
    model.zero_grad()
    assert (weight.grad == 0).all()


def test_a_layer_that_occurs_twice_is_counted_once():
    shared = nn.Linear(4, 4, rng=0)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Sequential(shared))
    assert [name for name, _ in model.parameters().named()] == ["0.weight", "0.bias"]
    assert model.parameters().size == 20


def test_the_parameters_of_a_part_lie_inside_those_of_the_model():
    first, second = two_layers()
    inner = nn.Sequential(first)
    model = nn.Sequential(inner, second)
    for part in (first, inner, second):
        parameters = part.parameters()
        assert np.shares_memory(parameters.data, model.parameters().data)
        assert len(parameters) == 2
    second.parameters().data.fill(1)
    assert (second.weight.data == 1).all() and not (first.weight.data == 1).any()
    assert [name for name, _ in second.parameters().named()] == ["weight", "bias"]


def test_collections_from_before_a_move_say_so():
    first, second = two_layers()
    before = first.parameters()
    assert not before.moved
    nn.Sequential(first, second)
    assert before.moved and not first.parameters().moved
    for use in (lambda: before.data, lambda: before.grad, before.zero_grad):
        with pytest.raises(RuntimeError, match="moved into another model"):
            use()


def test_a_model_that_lost_a_layer_to_another_has_no_flat_arrays():
    a, b, c = nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1), nn.Linear(2, 2, rng=2)
    first = nn.Sequential(a, b)
    x = np.ones((1, 2), np.float32)
    expected = first(x)
    second = nn.Sequential(b, c)
    np.testing.assert_array_equal(first(x), expected)
    assert len(second.parameters()) == 4
    with pytest.raises(RuntimeError, match=r"0\.bias.*0\.weight.*side by side"):
        first.parameters()


def test_one_dtype_per_model_and_nothing_moves_on_error():
    single, double = nn.Linear(2, 2, rng=0), nn.Linear(2, 2, dtype=np.float64, rng=0)
    parameters = single.parameters()
    with pytest.raises(TypeError, match=r"'0\.weight' is float32, '1\.weight' is float64"):
        nn.Sequential(single, double)
    assert not parameters.moved and not double.parameters().moved


@pytest.mark.parametrize("value", [np.zeros(3, np.int64), np.zeros(3, np.float16)])
def test_a_parameter_is_float32_or_float64(value):
    with pytest.raises(TypeError, match=value.dtype.name):
        nn.Parameter(value)


def test_the_gaps_between_parameters_stay_zero(real):
    model = nn.Sequential(*two_layers(real))
    parameters = model.parameters()
    optimizers = [optim.AdamW(parameters, lr=0.1), optim.Adam(parameters, weight_decay=0.1)]
    optimizers.append(optim.SGD(parameters, lr=0.1, momentum=0.9))
    for optimizer in optimizers:
        y, ctx = model.forward(np.ones((4, 3), real))
        model.backward(np.ones_like(y), ctx)
        optimizer.step()
    n_inside = sum(np.count_nonzero(parameter.data) for parameter in parameters)
    assert np.count_nonzero(parameters.data) == n_inside > 0
    n_inside = sum(np.count_nonzero(parameter.grad) for parameter in parameters)
    assert np.count_nonzero(parameters.grad) == n_inside > 0


def test_a_copied_model_is_independent_and_whole():
    model = nn.MLP((3, 4, 2), rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    assert not np.shares_memory(model.parameters().data, twin.parameters().data)
    twin[0].weight.grad.fill(1)
    before = twin[0].weight.data.copy()
    twin_optimizer.step()
    np.testing.assert_allclose(twin[0].weight.data, before - 0.1, rtol=1e-6)
    np.testing.assert_array_equal(model[0].weight.data, before)
    assert twin.parameters().data.ctypes.data % 64 == 0


def test_a_model_without_parameters():
    model = nn.Sequential(nn.ReLU(), nn.Softmax())
    assert len(model.parameters()) == model.parameters().size == 0
    assert model.state() == {}
    model.zero_grad()


def test_a_model_holds_its_parameters_once():
    """The arrays of the layers are freed when their parameters move into the model's."""
    layers = [nn.Linear(30, 30, rng=0), nn.Linear(30, 30, rng=1)]
    old = [weakref.ref(layer.weight._block.data) for layer in layers]
    model = nn.Sequential(nn.Sequential(*layers), nn.ReLU())
    gc.collect()
    assert [array() for array in old] == [None, None]
    assert layers[0].parameters().size == 930 and nn.ReLU().parameters().size == 0
    assert np.may_share_memory(model[0].parameters().data, model.parameters().data)
