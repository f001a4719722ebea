"""The moving average of the weights: its values, and weights that come back."""

import copy

import numpy as np
import pytest

from fastnn import nn, optim


def make(real=np.float32, decay=0.9):
    model = nn.MLP((3, 4, 2), dtype=real, rng=0)
    return model, optim.ExponentialMovingAverage(model.parameters(), decay=decay)


def move(model, seed):
    for i, parameter in enumerate(model.parameters()):
        rng = np.random.default_rng((seed, i))
        parameter.data[...] = rng.normal(size=parameter.data.shape)


def test_against_numpy(real):
    model, average = make(real)
    expected = model.parameters().data.astype(float)
    np.testing.assert_array_equal(average.average, expected)
    for seed in range(20):
        move(model, seed)
        average.update()
        expected = 0.9 * expected + 0.1 * model.parameters().data
    tolerance = 8 * np.finfo(real).eps
    np.testing.assert_allclose(average.average, expected, rtol=tolerance, atol=tolerance)


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    ours = nn.Linear(3, 2, bias=False, rng=0)
    theirs = torch.nn.Linear(2, 3, bias=False)
    theirs.weight.data = torch.tensor(ours.weight.data)
    average = optim.ExponentialMovingAverage(ours.parameters(), decay=0.7)
    averaged = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    averaged.update_parameters(theirs)  # the first call copies
    for seed in range(5):
        move(ours, seed)
        theirs.weight.data = torch.tensor(ours.weight.data)
        average.update()
        averaged.update_parameters(theirs)
    average.apply()
    np.testing.assert_allclose(ours.weight.data, averaged.module.weight.detach(), rtol=1e-6)


def test_weights_come_back_even_after_an_error():
    model, average = make()
    move(model, 1)
    average.update()
    own, mean = model.parameters().data.copy(), average.average.copy()
    with pytest.raises(KeyError), average.applied():
        np.testing.assert_array_equal(model.parameters().data, mean)
        model[0].weight.data.fill(7)
        raise KeyError
    np.testing.assert_array_equal(model.parameters().data, own)
    np.testing.assert_array_equal(average.average, mean)
    with average.applied():
        pass
    np.testing.assert_array_equal(model.parameters().data, own)


def test_apply_is_for_good():
    model, average = make()
    before = model.state()
    move(model, 1)
    average.apply()
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_an_applied_average_refuses_what_would_corrupt_it():
    _, average = make()
    with average.applied():
        mean = average.average.copy()
        for use in (average.update, average.apply, average.applied().__enter__):
            with pytest.raises(RuntimeError, match="inside applied"):
                use()
        np.testing.assert_array_equal(average.average, mean)
    average.update()


def test_parameters_that_moved():
    model, average = make()
    nn.Sequential(model, nn.Linear(2, 2))
    for use in (average.update, average.apply, average.applied().__enter__):
        with pytest.raises(RuntimeError, match="moved into another model"):
            use()


def test_a_state_continues_bit_for_bit(real):
    model, average = make(real)
    move(model, 1)
    average.update()
    twin = optim.ExponentialMovingAverage(model.parameters(), decay=0.5)
    twin.load_state_dict(average.state_dict())
    assert twin.decay == 0.9
    _, copied = copy.deepcopy((model, average))
    for each in (average, twin, copied):
        each.update()
        np.testing.assert_array_equal(each.average, average.average)
    with pytest.raises(ValueError, match=r"not one of ExponentialMovingAverage: missing \['avera"):
        twin.load_state_dict({"decay": 0.3})
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1, got 2"):
        twin.load_state_dict(average.state_dict() | {"decay": 2})
    assert twin.decay == 0.9
