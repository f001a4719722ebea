"""Gradients that are sent while backward runs: only those that are final."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.distributed import OneProcess
from fastnn.nn.backward_progress import current_listener
from fastnn.train import shards

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 8)).astype(np.float32), RNG.integers(8, size=40)


class Late(OneProcess):
    """Sums that are complete at `finish` alone, of the gradient as it was at `start`."""

    overlap = True

    def __init__(self):
        super().__init__(4)
        self.parts, self.early = [], 0

    def start(self, nodes, out):
        self.early += current_listener() is not None
        self.parts.append((nodes[-1].copy(), out))

    def finish(self):
        for value, out in self.parts:
            out[:] = value
        self.parts = []


class Shared(nn.Module):
    """A stack whose first weight is also used after it, so that its gradient is final last."""

    def __init__(self):
        self.stack = nn.Sequential(*(nn.Linear(8, 8, activation="tanh", rng=i) for i in range(4)))
        super().__init__({"stack": self.stack})
        self.more = self.stack[0].weight

    def forward(self, x):
        h, ctx = self.stack.forward(x)
        return h @ self.more.data, (h, ctx)

    def backward(self, dy, ctx, need_dx=True):
        h, ctx = ctx
        dx = self.stack.backward(dy @ self.more.data.T, ctx, need_dx)
        self.more.grad += h.T @ dy
        return dx


class Twice(nn.Module):
    """A stack that runs twice."""

    def __init__(self):
        self.stack = nn.Sequential(*(nn.Linear(8, 8, activation="tanh", rng=i) for i in range(3)))
        super().__init__({"stack": self.stack})

    def forward(self, x):
        h, first = self.stack.forward(x)
        y, second = self.stack.forward(h)
        return y, (first, second)

    def backward(self, dy, ctx, need_dx=True):
        return self.stack.backward(self.stack.backward(dy, ctx[1]), ctx[0], need_dx)


class Changing(Twice):
    """A stack that runs once in the first step, and twice from then on."""

    steps = 0

    def forward(self, x):
        self.steps += 1
        if self.steps <= 5:  # the check of the labels, and four shards
            y, ctx = self.stack.forward(x)
            return y, (ctx,)
        return super().forward(x)

    def backward(self, dy, ctx, need_dx=True):
        if len(ctx) == 1:
            return self.stack.backward(dy, ctx[0], need_dx)
        return super().backward(dy, ctx, need_dx)


def plain():
    """Layers that do not lower to one program, and so call the listener one by one."""
    parts = [nn.Residual(nn.Linear(8, 8, activation="tanh", rng=i)) for i in range(4)]
    return nn.Sequential(*parts, nn.Dropout(0.2, rng=0))


def token_model():
    return fastnn.models.TransformerLM(8, 8, 2, 3, 8, dropout=0.1, rng=0)


def untied():
    return fastnn.models.TransformerLM(8, 8, 2, 3, 8, tie_weights=False, rng=0)


def frozen():
    model = plain()
    model.set_requires_grad(False, "0.*", "2.layer.bias")
    return model


def branches():
    return nn.LoRA(plain(), 2, rng=0)


def trained(model, comm):
    if hasattr(model, "loss_and_grad"):
        batches = fastnn.data.crops(Y, 8, 8, steps=4, seed=0)
        model.fit(batches, optimizer="adamw", comm=comm, verbose=0)
    else:
        fastnn.fit(model, X, Y, optimizer="adamw", batch_size=8, seed=0, comm=comm, verbose=0)
    return model.parameters().data


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    """Cut even small models into several buckets."""
    monkeypatch.setattr(shards, "BUCKET_BYTES", 160)


@pytest.fixture(autouse=True)
def layers_one_by_one(monkeypatch):
    """Run layers one by one, as those of large models, where programs take small ones."""
    monkeypatch.setattr(nn.container.Lowered, "program", lambda self: None)


@pytest.mark.parametrize("model", [plain, token_model, untied, Shared, Twice, frozen])
def test_what_is_sent_early_is_final(model):
    comm = Late()
    expected = trained(model(), OneProcess(4))
    np.testing.assert_array_equal(trained(model(), comm), expected)
    assert comm.early > 0


def test_branches_are_sent_at_the_end():
    np.testing.assert_array_equal(trained(branches(), Late()), trained(branches(), OneProcess(4)))


def test_a_model_that_changes_is_an_error():
    with pytest.raises(RuntimeError, match=r"was not in the first step.*overlap=False"):
        trained(Changing(), Late())
